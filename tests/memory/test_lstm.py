"""Tests of whole windows with torch's LSTM against stepwise ``cell`` and against torch's order of weights."""

import pytest
import torch

from worldmodels.common.device import autocast
from worldmodels.memory import lstm

E, B, L, X, D = 2, 3, 5, 6, 4
CPU = torch.device("cpu")


@pytest.fixture
def window():
    rng = torch.Generator().manual_seed(0)
    shapes = (E, B, L, X), (E, X + D, 4 * D), (E, 1, 4 * D), (E, B, D), (E, B, D)
    x, weight, bias, h, c = (torch.randn(shape, generator=rng) for shape in shapes)
    return x, (0.5 * weight).requires_grad_(), bias.requires_grad_(), h, c


def step_by_step(x, weight, bias, h, c):
    """The same window with ``lstm.cell``, for autograd."""
    hs = []
    for inputs in x.unbind(2):
        h, c = lstm.cell(torch.cat((inputs, h), -1) @ weight + bias, c)
        hs.append(h)
    return torch.stack(hs, 2), c


def test_a_window_is_its_steps(window):
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            torch.testing.assert_close(lstm.unroll(*window), step_by_step(*window))


def gradients(way, window):
    weights = torch.randn(E, B, L, D, generator=torch.Generator().manual_seed(1))
    hs, c = way(*window)
    return torch.autograd.grad((hs * weights).sum() + c.square().sum(), window[1:3])


def test_its_gradient_is_that_of_its_steps(window):
    for one, other in zip(gradients(lstm.unroll, window), gradients(step_by_step, window), strict=True):
        assert one.abs().max() > 0.01
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_the_same_but_for_rounding(window):
    with autocast("bfloat16", CPU):
        rounded = gradients(lstm.unroll, window)
    for one, other in zip(rounded, gradients(lstm.unroll, window), strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05 * other.abs().max().item())


def test_in_bfloat16_a_state_that_grows_by_little_steps_does_not_stand_still():
    gates = torch.tensor([-3.0, 12.0, -1.0, 0.04]).repeat_interleave(D)  # input gate nearly closed, forget gate open
    x, state, weight = torch.zeros(1, 1, 1000, X), torch.zeros(1, 1, D), torch.zeros(1, X + D, 4 * D)
    with torch.no_grad():
        _, exact = lstm.unroll(x, weight, gates.expand(1, 1, -1), state, state)
        with autocast("bfloat16", CPU):
            _, rounded = lstm.unroll(x, weight, gates.expand(1, 1, -1), state, state)
    assert exact.min() > 1.5 and rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.01, atol=0)
