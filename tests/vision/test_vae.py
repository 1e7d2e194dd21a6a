"""Tests of the VAE against the paper, and of its loss against closed forms."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from tests.vision.frames import SMALL, squares
from worldmodels.vision import loss as objective
from worldmodels.vision.base import LOGVAR_EXACT, float_to_frames, frames_to_float, sample_z
from worldmodels.vision.config import VAEConfig
from worldmodels.vision.vae import VAE, one_pixel_deconv


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def vae() -> VAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VAE(SMALL)


def test_the_paper_s_number_of_parameters():
    assert sum(weights.numel() for weights in VAE(VAEConfig(padding=0)).parameters()) == 4_348_547


@pytest.mark.parametrize("row", [0, 63])
@pytest.mark.parametrize("column", [0, 63])
@pytest.mark.parametrize("padding", [0, 1])
def test_it_sees_a_frame_s_corners_if_it_is_padded(row, column, padding):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = VAE(VAEConfig(width=8, padding=padding, precision="float32"))
    frames = np.full((2, 64, 64, 3), 127, np.uint8)
    frames[1, row, column] = 255
    mu, _ = vae.encode(frames)
    assert (np.abs(mu[1] - mu[0]).max() > 0) == (padding == 1 or (row, column) == (0, 0))


def test_shapes_types_and_ranges(vae):
    mu, logvar = vae.encode(squares(3))
    assert mu.shape == logvar.shape == (3, vae.z_dim)
    assert mu.dtype == logvar.dtype == np.float32
    pixels = vae.pixels_of(torch.from_numpy(10 * mu))
    assert pixels.shape == (3, 3, 64, 64)
    assert 0 <= pixels.min() < pixels.max() <= 1
    np.testing.assert_array_equal(vae.decode(10 * mu), float_to_frames(pixels.detach()))


def test_it_is_centred_on_the_mean_frame():
    mean = squares(8).mean(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = VAE(SMALL, mean)
    pixels = frames_to_float(torch.from_numpy(mean)[None])
    seen = vae.posterior(vae.encoder(torch.zeros(1, 3, 64, 64)))
    torch.testing.assert_close(torch.cat(vae.posterior_of(pixels), 1), seen, atol=1e-2, rtol=0)  # bfloat16
    vae.decoder[-1].weight.data.zero_()  # pyright: ignore[reportArgumentType, reportCallIssue]
    vae.decoder[-1].bias.data.zero_()  # pyright: ignore[reportArgumentType, reportCallIssue]
    drawn = vae.pixels_of(torch.zeros(1, vae.z_dim))
    torch.testing.assert_close(drawn, pixels, atol=1 / 500, rtol=0)  # black is drawn as half a step above it


def test_one_pixel_deconv_is_the_deconvolution(rng):
    layer = nn.ConvTranspose2d(6, 5, 4, stride=2)
    pixel = torch.randn(3, 6, generator=rng)
    torch.testing.assert_close(one_pixel_deconv(layer, pixel), layer(pixel[:, :, None, None]))


def test_frames_become_pixels_and_frames_again():
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    pixels = frames_to_float(torch.from_numpy(frames))
    assert pixels[1, 2, 5, 7] == pytest.approx(frames[1, 5, 7, 2] / 255)
    np.testing.assert_array_equal(float_to_frames(pixels), frames)


def test_z_has_the_posterior_s_moments(rng):
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2.0]])
    z = sample_z(mu, logvar, torch.randn(100_000, 2, generator=rng))
    torch.testing.assert_close(z.mean(0), mu[0], atol=0.03, rtol=0)
    torch.testing.assert_close(z.std(0), torch.exp(0.5 * logvar[0]), atol=0.03, rtol=0)


def test_an_exact_z_is_mu_to_the_last_bit(rng):
    mu = torch.tensor([0.0, 1e-20, 3.0])
    z = sample_z(mu, torch.full((3,), LOGVAR_EXACT), torch.randn(3, generator=rng))
    assert torch.equal(z, mu)


def test_kl_is_the_analytic_one(rng):
    mu, logvar = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    wanted = kl_divergence(Normal(mu, torch.exp(0.5 * logvar)), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(objective.kl_divergence(mu, logvar), wanted)


def test_reconstruction_is_the_squared_error_of_a_frame():
    pixels = torch.zeros(2, 3, 64, 64)
    reconstruction = pixels.clone()
    reconstruction[0, :, 3, 4] = 0.5  # three channels of one pixel, in one frame of two
    zero = torch.zeros(2, 4)
    _, parts = objective.vae_loss(VAEConfig(free_bits=0.0), pixels, reconstruction, zero, zero)
    assert parts["reconstruction"].item() == pytest.approx(3 * 0.25 / 2)
    assert parts["kl"].item() == 0


@pytest.mark.parametrize(("scale", "free"), [(0.1, True), (2.0, False)])
def test_bits_below_the_floor_are_free(scale, free):
    config = VAEConfig(free_bits=0.5, beta=3.0)
    same = torch.zeros(1, 3, 64, 64)
    mu = torch.full((1, 4), scale, requires_grad=True)
    loss, parts = objective.vae_loss(config, same, same, mu, torch.zeros(1, 4))
    loss.backward()
    assert mu.grad is not None
    assert loss.item() == pytest.approx(3.0 * max(parts["kl"].item(), 0.5 * 4))
    torch.testing.assert_close(mu.grad, torch.zeros(1, 4) if free else 3.0 * mu.detach())


def test_a_pixel_off_the_mean_frame_counts_more():
    mean_frame = torch.full((1, 3, 64, 64), 0.2)
    pixels = mean_frame.clone()
    pixels[0, 1, 10, 20] = 0.7  # a ball: one channel is 0.5 off
    zero, usual = torch.zeros(1, 4), torch.full((1, 1, 64, 64), 0.037)

    def error(where: int, weight: float) -> float:
        reconstruction = pixels.clone()
        reconstruction[0, 1, 10, where] -= 0.1
        weights = objective.pixel_weights(pixels, mean_frame, usual, weight)
        parts = objective.vae_loss(VAEConfig(free_bits=0.0), pixels, reconstruction, zero, zero, weights)[1]
        return parts["reconstruction"].item()

    assert error(20, 0.0) == pytest.approx(0.01, rel=1e-4)
    assert error(20, 8.0) == pytest.approx(0.01 * (1 + 8 * 0.5 / 0.2), rel=1e-4)
    assert error(21, 8.0) == pytest.approx(0.01, rel=1e-4)


def test_of_two_pixels_off_the_mean_frame_the_rarer_counts_more():
    pixels, usual = torch.full((1, 3, 64, 64), 0.5), torch.full((1, 1, 64, 64), 0.2)
    usual[0, 0, 10, 20] = 0.001
    weights = objective.pixel_weights(pixels, torch.zeros(1, 3, 64, 64), usual, 1.0)[0, 0]
    assert weights[10, 20] > 4 * weights[10, 21]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("padding", "width"), [(0, 4), (1, 8)])
def test_it_overfits_one_batch(rng, precision, padding, width):
    config = VAEConfig(z_dim=8, width=width, padding=padding, beta=0.1, precision=precision)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = VAE(config)
    pixels = frames_to_float(torch.from_numpy(squares(2)))
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    errors = []
    for _ in range(400):
        reconstruction, mu, logvar = vae(pixels, torch.randn(2, 8, generator=rng))
        loss, parts = objective.vae_loss(config, pixels, reconstruction, mu, logvar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(parts["reconstruction"].item())
    variance = (pixels - pixels.mean(0)).square().sum(dim=(1, 2, 3)).mean().item()
    assert errors[-1] < 0.2 * variance
