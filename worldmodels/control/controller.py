"""C: a small function from features [z, h] to an action, for many candidates at once."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from worldmodels.common import checkpoint
from worldmodels.control.config import ControllerConfig

KIND = "controller"


@dataclass(frozen=True, kw_only=True)
class Controller:
    """The shape of C, a linear map (eq. 1). Its N parameters are an argument of ``act``: rows of ``solutions``.

    Attributes:
        feature_dim, action_dim: F, and A of the encoded action.
        features: ``z`` or ``zh``.
        action: ``discrete`` or ``box``.
    """

    feature_dim: int
    action_dim: int
    features: Literal["z", "zh"]
    action: Literal["discrete", "box"]

    @classmethod
    def build(
        cls, config: ControllerConfig, *, z_dim: int, rnn_dim: int, action: Literal["discrete", "box"], action_dim: int
    ) -> "Controller":
        """The controller that ``config`` asks for.

        Args:
            z_dim: Z.
            rnn_dim: D, width of M's hidden state h; of no account when ``config.features`` is ``z``.
            action: the environment's kind of action.
            action_dim: A, width of an encoded action.
        """
        feature_dim = z_dim + (rnn_dim if config.features == "zh" else 0)
        return cls(feature_dim=feature_dim, action_dim=action_dim, features=config.features, action=action)

    @property
    def num_params(self) -> int:
        """N: weights and biases."""
        return (self.feature_dim + 1) * self.action_dim

    def act(self, solutions: Tensor, features: Tensor) -> Tensor:
        """Encoded actions: one-hot of the largest output, or tanh in [-1, 1].

        Args:
            solutions: (P, N) float, one candidate a row.
            features: (P, R, F) float, what candidate p sees in its R rollouts.

        Returns:
            (P, R, A) float.
        """
        weight, bias = solutions.split((self.feature_dim * self.action_dim, self.action_dim), dim=1)
        weight = weight.reshape(-1, self.feature_dim, self.action_dim)  # (P, F, A)
        # as columns: with so few outputs a product of rows is four times slower
        x = torch.baddbmm(bias[..., None], weight.mT.contiguous(), features.mT).mT  # eq. (1): a = W_c [z h] + b_c
        if self.action == "discrete":
            return one_hot(x.argmax(-1), x.shape[-1]).to(x.dtype)
        return torch.tanh(x)


@dataclass(frozen=True, kw_only=True)
class TrainedController:
    """What the search found.

    Attributes:
        controller: the shape of C.
        best: (N,) float32, the search mean that did best in validation.
        samples: (S, N) float32, S ≤ 16 candidates of the generation that led to it: varied controllers to collect with.
        validation_return: mean return of ``best`` in the selection that it won; the winner of a selection was also
            lucky, so this is above what it is worth.
        lineage: (k, N) float32, the best of the rounds before, oldest first.
        env_steps: real environment steps that the searches of all rounds so far took, fitness and validation together.
    """

    controller: Controller
    best: Tensor
    samples: Tensor
    lineage: Tensor
    validation_return: float
    env_steps: int

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        content: dict[str, Any] = {name: getattr(self, name) for name in ("best", "samples", "lineage")}
        content |= {"validation_return": self.validation_return, "env_steps": self.env_steps}
        checkpoint.save(path, {"kind": KIND, "controller": asdict(self.controller), **content})


def load_controller(path: Path, device: str | torch.device = "cpu") -> TrainedController:
    """The controller that a search left at ``path``.

    Raises:
        CheckpointError: the file is missing, damaged, or something else.
    """
    content = checkpoint.load(path, device)
    if content.pop("kind", None) != KIND:
        raise checkpoint.CheckpointError(f"{path}: not a controller")
    return TrainedController(**{**content, "controller": Controller(**content["controller"])})
