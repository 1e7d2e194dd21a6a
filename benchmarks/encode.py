"""Encoding recorded frames at the paper's sizes."""

import torch

from benchmarks import paper
from benchmarks.measure import Result, Way, beside_products
from benchmarks.vae_train import Stock
from worldmodels.common.device import product_dtype
from worldmodels.vision.config import EncodeConfig, VAEConfig
from worldmodels.vision.encode import encode_observations
from worldmodels.vision.vae import VAE

FRAMES, NAIVE_FRAMES = 8192, 256


def run(device: torch.device) -> list[Result]:
    """In bfloat16 where the hardware has it."""
    dtype = product_dtype("auto", device)
    note = "; a frame at a time in float32"
    ways = ours(device), naive(device)
    return [beside_products("encode", *ways, paper.ENCODER_FLOP, dtype, device, note, unit="frames/s")]


def ours(device: torch.device) -> Way:
    """The product's, from uint8 frames to (mu, logvar)."""
    vision, frames = VAE(VAEConfig()).to(device).eval(), paper.frames(FRAMES)

    def work() -> float:
        encode_observations(vision, frames, EncodeConfig().batch_size)
        return FRAMES

    return work


def naive(device: torch.device) -> Way:
    """A frame at a time, through the stock layers."""
    vision, frames = Stock().to(device).eval(), paper.frames(NAIVE_FRAMES)

    @torch.inference_mode()
    def work() -> float:
        for frame in frames:
            pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].to(device).float() / 255
            for tensor in vision.encode(pixels):
                tensor.cpu().numpy()
        return NAIVE_FRAMES

    return work
