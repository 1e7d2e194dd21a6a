"""Settings of V."""

from typing import Literal

from worldmodels.common.params import Count, Natural, NonNegative, Positive, Precision, settings


@settings
class VAEConfig:
    """The VAE and its training. Defaults are the paper's where it gives them.

    Attributes:
        z_dim: latent dimensions.
        width: channels of the first convolution; the others have 2, 4 and 8 times as many.
        padding: rows and columns of zeros around what each convolution sees: 1, or 0 as in the paper, where a frame's
            last two rows and columns are not seen.
        beta: weight of the KL term.
        free_bits: KL in nats per latent dimension, averaged over a frame's dimensions, below which it has no penalty.
        foreground_weight: a pixel at distance d, in [0, 1], from the data's mean frame has weight 1 + foreground_weight
            · d / sqrt(mean of d in the data + 0.003); 0 weights all pixels equally. Keeps what is small and rare, such
            as a ball, in the reconstruction.
        precision: of the convolutions and matrix products, in training and in later use
            (``worldmodels.common.device``).
        learning_rate: peak rate of Adam; it decays to zero along a cosine.
        batch_size: frames per update.
        epochs: passes over the training frames.
        max_updates: maximum number of updates, independent of the number of frames; 0: the number that the epochs give.
        grad_clip: maximum gradient norm; 0 does not clip.
    """

    z_dim: Count = 32
    width: Count = 32
    padding: Literal[0, 1] = 1
    beta: NonNegative = 1.0
    free_bits: NonNegative = 0.5
    foreground_weight: NonNegative = 0.0
    precision: Precision = "auto"
    learning_rate: Positive = 1e-4
    batch_size: Count = 100
    epochs: Count = 10
    max_updates: Natural = 0
    grad_clip: NonNegative = 0.0


@settings
class EncodeConfig:
    """Encoding.

    Attributes:
        batch_size: observations encoded at once.
        lives: name of the value of ``env.truth`` that counts a game's lives. With it a step that loses a life
            terminates for M, and so a dream ends there: what is lost with a life is lost in the dream too, though the
            game, and M's memory of it, goes on. The score and V are not affected. Empty: none.
        points: the same for every step whose reward is not 0, as Karpathy's "Pong from Pixels" (2016) ends an episode
            with each point. A dream is then worth its first reward, and cannot be paid for the same point twice.
    """

    batch_size: Count = 256
    lives: str = ""
    points: bool = False
