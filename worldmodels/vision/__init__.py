"""V: the VAE and its training, normalisation of states, and the store of encoded episodes."""

from worldmodels.vision.latents import LatentError, LatentStore, LatentWriter

__all__ = ["LatentError", "LatentStore", "LatentWriter"]
