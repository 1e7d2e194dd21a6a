"""The recurrence and its hand-written gradient, against autograd and against torch's own LSTM."""

import pytest
import torch

from worldmodels.memory import lstm

E, L, B, D = 2, 5, 3, 4


@pytest.fixture
def window():
    rng = torch.Generator().manual_seed(0)
    projected, recurrent, h, c = (
        torch.randn(shape, generator=rng, dtype=torch.float64)
        for shape in ((E, L, B, 4 * D), (E, D, 4 * D), *[(E, B, D)] * 2)
    )
    return projected.requires_grad_(), (0.5 * recurrent).requires_grad_(), h, c


def step_by_step(projected, recurrent, h, c):
    """The same window by ``lstm.cell``, for autograd."""
    hs = []
    for inputs in projected.unbind(1):
        h, c = lstm.cell(inputs + h @ recurrent, c)
        hs.append(h)
    return torch.stack(hs, 1), c


def test_a_window_is_its_steps(window):
    ours, theirs = (way(*(x.detach().float() for x in window)) for way in (lstm.unroll, step_by_step))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_its_gradient_is_autograds(window):
    weights = torch.randn(E, L, B, D, dtype=torch.float64), torch.randn(E, B, D, dtype=torch.float64)
    found = []
    for way in (lambda *x: lstm._Unroll.apply(*x, torch.float64), step_by_step):
        hs, c = way(*window)
        loss = (hs * weights[0]).sum() + (c * weights[1]).sum() + hs[:, -1].square().sum()
        found.append(torch.autograd.grad(loss, window[:2]))
    for one, other in zip(*found, strict=True):
        assert one.abs().max() > 0.01
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_it_is_torchs_lstm_but_for_the_names_of_its_weights(window):
    projected, recurrent, h, c = (x.detach().float() for x in window)
    theirs = torch.nn.LSTM(4 * D, D, bias=False)
    i, f, o, g = recurrent[0].chunk(4, -1)
    named = dict(theirs.named_parameters())
    eye = torch.eye(4 * D).chunk(4, 0)
    with torch.no_grad():  # torch has the order i, f, g, o, a tanh where we have a doubled σ, and c as it is
        named["weight_hh_l0"].copy_(torch.cat((i, f, g / 2, o), -1).T)
        named["weight_ih_l0"].copy_(torch.cat((eye[0], eye[1], eye[3] / 2, eye[2])))
        expected, (_, last) = theirs(projected[0], (h[:1].contiguous(), c[:1] / 2))
    hs, c = lstm.unroll(projected[:1], recurrent[:1], h[:1], c[:1])
    torch.testing.assert_close(hs[0], expected)
    torch.testing.assert_close(c / 2, last)
