"""The settings of M."""

from worldmodels.common.params import Count, Natural, NonNegative, Positive, Precision, settings


@settings
class MDNRNNConfig:
    """The MDN-RNN and its training.

    Attributes:
        hidden_dim: units of the LSTM.
        num_mixtures: Gaussians per latent dimension.
        ensemble_size: MDN-RNNs in the ensemble, each with its own weights and its own order of the data.
        head_hidden_dim: 0: the heads read h linearly, as in the paper; else one hidden layer of so many units that
            reads [h, z, action], which sharp state dynamics need.
        precision: of the matrix products in training (``worldmodels.common.device``).
        learning_rate: of Adam, at its highest; it falls to zero along a cosine.
        batch_size: lanes, per member: each streams through episodes of its own.
        sequence_length: steps of truncated backpropagation through time.
        epochs: passes over the data.
        max_updates: at most so many updates whatever the amount of data; 0: as many as the epochs make.
        grad_clip: largest norm of the gradient of one member; 0 does not clip.
        reward_weight, terminated_weight: of the two reward losses and of the termination loss; the likelihood of z,
            averaged over its dimensions, has weight 1.
    """

    hidden_dim: Count = 256
    num_mixtures: Count = 5
    ensemble_size: Count = 1
    head_hidden_dim: Natural = 0
    precision: Precision = "float32"
    learning_rate: Positive = 1e-3
    batch_size: Count = 100
    sequence_length: Count = 64
    epochs: Count = 20
    max_updates: Natural = 0
    grad_clip: NonNegative = 1.0
    reward_weight: NonNegative = 1.0
    terminated_weight: NonNegative = 10.0
