"""Tests of the mixture density against closed forms."""

import pytest
import torch

from worldmodels.memory import mixture


def parameters(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logpi, mean, logstd = torch.randn(3, *shape, generator=rng)
    return 2 * logpi, 3 * mean, 0.5 * logstd


def noise(count: int, z_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.rand(count, z_dim, generator=rng), torch.randn(count, z_dim, generator=rng)


def test_one_component_is_the_normal_distribution():
    logpi, mean, logstd = parameters(7, 3, 1)
    target = torch.linspace(-9, 9, 21).reshape(7, 3)
    normal = torch.distributions.Normal(mean[..., 0], logstd[..., 0].exp())
    torch.testing.assert_close(mixture.log_prob(logpi, mean, logstd, target), normal.log_prob(target))


def test_many_components_are_torchs_mixture_however_the_logits_are_shifted():
    logpi, mean, logstd = parameters(7, 3, 5)
    target = torch.linspace(-9, 9, 21).reshape(7, 3)
    weights = torch.distributions.Categorical(logits=logpi)
    truth = torch.distributions.MixtureSameFamily(weights, torch.distributions.Normal(mean, logstd.exp()))
    torch.testing.assert_close(mixture.log_prob(logpi + 5, mean, logstd, target), truth.log_prob(target))


def test_density_integrates_to_one():
    logpi, mean, logstd = parameters(2, 4)
    x = torch.linspace(-30, 30, 60_001)
    density = mixture.log_prob(logpi, mean, logstd, x[:, None].expand(-1, 2)).exp()
    torch.testing.assert_close(torch.trapezoid(density, x, dim=0), torch.ones(2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_moments_of_samples(temperature):
    logpi, mean, logstd = parameters(3, 5)
    uniform, normal = noise(200_000, 3)
    many = [p.expand(200_000, 3, 5) for p in (logpi, mean, logstd)]
    draws = mixture.sample(many[0], many[1], many[2], uniform, normal, temperature)
    pi = torch.softmax(logpi / temperature, -1)
    first = (pi * mean).sum(-1)
    variance = (pi * (mean.square() + temperature * (2 * logstd).exp())).sum(-1) - first.square()
    torch.testing.assert_close(draws.mean(0), first, rtol=0, atol=0.03)
    torch.testing.assert_close(draws.var(0), variance, rtol=0.03, atol=0)
    torch.testing.assert_close(mixture.expected(logpi / temperature, mean), first)


def test_cold_samples_are_the_heaviest_components_mean():
    logpi, mean, logstd = parameters(3, 5)
    uniform, normal = noise(1000, 3)
    many = [p.expand(1000, 3, 5) for p in (logpi, mean, logstd)]
    draws = mixture.sample(many[0], many[1], many[2], uniform, normal, temperature=1e-10)
    heaviest = mean.gather(-1, logpi.argmax(-1, keepdim=True)).squeeze(-1)
    torch.testing.assert_close(draws, heaviest.expand(1000, 3), rtol=0, atol=1e-3)


def test_the_last_component_is_reached_and_never_passed():
    mean = torch.arange(5.0).expand(1, 5)
    logpi, logstd = torch.full((1, 5), 0.1), torch.full((1, 5), -50.0)
    for uniform in (0.0, 0.999, 1.0):
        draw = mixture.sample(logpi, mean, logstd, torch.tensor([uniform]), torch.zeros(1))
        assert draw.item() == (4.0 if uniform else 0.0)


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
@pytest.mark.parametrize("target", [0.0, 1e4])
def test_extreme_input_gives_finite_values_and_gradients(extreme, target):
    logpi, mean, raw = (torch.full((2, 3), value, requires_grad=True) for value in (0.0, 1.0, extreme))
    logpi = logpi + torch.tensor([extreme, 0.0, -extreme])
    value = mixture.log_prob(logpi, mean, mixture.bound(raw, -4.0, 2.0), torch.full((2,), target))
    value.sum().backward()
    assert value.isfinite().all()
    assert mean.grad is not None and mean.grad.isfinite().all()
    assert raw.grad is not None and raw.grad.isfinite().all()


def test_bound_keeps_order_range_and_zero():
    x = torch.linspace(-5, 5, 101)
    y = mixture.bound(x, -4.0, 2.0)
    assert (y.diff() > 0).all()
    assert y.min() > -4 and y.max() < 2
    assert mixture.bound(torch.zeros(()), -4.0, 2.0).item() == pytest.approx(0.0, abs=1e-6)


def test_its_gradient_is_that_of_its_values():
    logpi, mean, logstd = (parameter.double().requires_grad_() for parameter in parameters(3, 4, 5))
    target = torch.linspace(-2, 2, 12, dtype=torch.float64).view(3, 4)
    assert torch.autograd.gradcheck(lambda *x: mixture.log_prob(x[0], x[1], x[2], target), (logpi, mean, logstd))
