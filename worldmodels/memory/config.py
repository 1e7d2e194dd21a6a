"""Settings of M."""

from typing import Literal

from worldmodels.common.params import Count, Natural, NonNegative, Positive, Precision, settings


@settings
class MDNRNNConfig:
    """The MDN-RNN and its training.

    Attributes:
        hidden_dim: units of the LSTM.
        num_mixtures: Gaussians per latent dimension.
        ensemble_size: MDN-RNNs in the ensemble, each with its own weights and its own order of the data.
        head_hidden_dim: 0: the heads are linear in h, as in the paper; otherwise units of one hidden layer that reads
            [h, z, action], which sharp state dynamics need.
        outcome_hidden_dim: units of each of the two hidden layers of the heads for reward, termination and z's binary
            dimensions.
        reward_form: ``free``: the reward of a step is any function of z, action and z'. ``potential``: it is a change
            of a potential of the state plus a function of the action (Ng et al. 1999, "Policy Invariance under Reward
            Transformations"). Its sums over a dream telescope: no dream can earn by staying where M errs. ``auto``:
            the first round's data choose (``reward_form.choose_reward_form``).
        precision: of the matrix products in training (``worldmodels.common.device``).
        learning_rate: peak rate of Adam; it decays to zero along a cosine.
        batch_size: lanes per member: each reads its own sequence of episodes.
        sequence_length: steps of truncated backpropagation through time.
        epochs: passes over the data.
        max_updates: maximum number of updates, independent of the amount of data; 0: the number that the epochs give.
        validation_every: updates at least between two validations, which follow whole epochs, except that the last
            update is always followed by one; with few data a validation takes longer than an epoch's updates.
        grad_clip: maximum gradient norm of one member; 0 does not clip.
        input_noise: standard deviation of the noise on z in training, in units of ``WorldStats.scale``; 0: none. M then
            learns to lead back to the recorded states, which long dreams need (Sanchez-Gonzalez et al. 2020, "Learning
            to Simulate Complex Physics with Graph Networks").
        reward_weight, event_weight: of the two reward losses, and of the cross entropies of termination and of z's
            binary dimensions; the likelihood of z, averaged over its other dimensions, has weight 1.
    """

    hidden_dim: Count = 256
    num_mixtures: Count = 5
    ensemble_size: Count = 1
    head_hidden_dim: Natural = 0
    outcome_hidden_dim: Count = 128
    reward_form: Literal["free", "potential", "auto"] = "free"
    precision: Precision = "float32"
    learning_rate: Positive = 1e-3
    batch_size: Count = 100
    sequence_length: Count = 64
    epochs: Count = 20
    max_updates: Natural = 0
    validation_every: Count = 1
    grad_clip: NonNegative = 1.0
    input_noise: NonNegative = 0.0
    reward_weight: NonNegative = 1.0
    event_weight: NonNegative = 10.0
