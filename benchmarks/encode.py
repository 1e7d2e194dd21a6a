"""Benchmark of encoding recorded frames at the paper's sizes."""

import torch

from benchmarks import paper
from benchmarks.measure import Result, Way, apart, beside_products
from benchmarks.vae_train import Stock
from worldmodels.common.device import product_dtype
from worldmodels.vision.config import EncodeConfig, VAEConfig
from worldmodels.vision.encode import encode_observations
from worldmodels.vision.vae import VAE

FRAMES, NAIVE_FRAMES = 8192, 256


def run(device: torch.device) -> list[Result]:
    """In bfloat16 with hardware support."""
    dtype = product_dtype("auto", device)
    note = "; a frame at a time in float32"
    ways = ours(device), apart(stock, device), naive(device)
    return [beside_products("encode", *ways, paper.ENCODER_FLOP, dtype, device, note, unit="frames/s")]


def ours(device: torch.device) -> Way:
    """The project's encoding, from uint8 frames to (mu, logvar)."""
    vision, frames = VAE(VAEConfig(padding=0)).to(device).eval(), paper.frames(FRAMES)

    def work() -> float:
        encode_observations(vision, frames, EncodeConfig().batch_size)
        return FRAMES

    return work


def stock(device: torch.device) -> Way:
    """The stock layers at the same batch and precision."""
    vision, frames = Stock().to(device).eval(), torch.from_numpy(paper.frames(FRAMES))
    bfloat16 = product_dtype("auto", device) == torch.bfloat16

    @torch.inference_mode()
    def work() -> float:
        for batch in frames.split(EncodeConfig().batch_size):
            pixels = batch.to(device).permute(0, 3, 1, 2).contiguous().float() / 255
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                both = vision.encode(pixels)
            for tensor in both:
                tensor.float().cpu().numpy()
        return FRAMES

    return work


def naive(device: torch.device) -> Way:
    """One frame at a time, with the stock layers."""
    vision, frames = Stock().to(device).eval(), paper.frames(NAIVE_FRAMES)

    @torch.inference_mode()
    def work() -> float:
        for frame in frames:
            pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].to(device).float() / 255
            for tensor in vision.encode(pixels):
                tensor.cpu().numpy()
        return NAIVE_FRAMES

    return work
