"""V: the VAE and its training, normalisation of states, and the store of encoded episodes."""

from worldmodels.vision.base import LOGVAR_EXACT, Vision, sample_z
from worldmodels.vision.encode import EncodeConfig, encode_episodes, reconstruct
from worldmodels.vision.files import load_vision, save_vision
from worldmodels.vision.latents import LatentError, LatentStore, LatentWriter
from worldmodels.vision.normaliser import StateNormaliser, fit_normaliser
from worldmodels.vision.train import BEST, LAST, FrameSource, TrainingError, train_vision
from worldmodels.vision.vae import VAE, VAEConfig

__all__ = [
    "BEST",
    "LAST",
    "LOGVAR_EXACT",
    "VAE",
    "EncodeConfig",
    "FrameSource",
    "LatentError",
    "LatentStore",
    "LatentWriter",
    "StateNormaliser",
    "TrainingError",
    "VAEConfig",
    "Vision",
    "encode_episodes",
    "fit_normaliser",
    "load_vision",
    "reconstruct",
    "sample_z",
    "save_vision",
    "train_vision",
]
