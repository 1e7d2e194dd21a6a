"""C: a linear map, or one with a hidden layer, from features [z, h] to an action, for many candidates at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from worldmodels.common import checkpoint
from worldmodels.common.arrays import module_of
from worldmodels.control.config import ControllerConfig

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", NDArray[np.float32], "Tensor")

KIND = "controller"


@dataclass(frozen=True, kw_only=True)
class Controller:
    """The shape of C (eq. 1). Its N parameters are an argument of ``act``: rows of ``solutions``.

    A row holds each layer's weights (inputs × outputs), then its biases.

    Attributes:
        feature_dim, action_dim: F, and A of the encoded action.
        features: ``z`` or ``zh``.
        action: ``discrete`` or ``box``.
        hidden_dim: units of a hidden layer of tanh; 0: C is linear, as in the paper.
    """

    feature_dim: int
    action_dim: int
    features: Literal["z", "zh"]
    action: Literal["discrete", "box"]
    hidden_dim: int = 0

    @classmethod
    def build(
        cls, config: ControllerConfig, *, z_dim: int, rnn_dim: int, action: Literal["discrete", "box"], action_dim: int
    ) -> "Controller":
        """The controller that ``config`` specifies.

        Args:
            z_dim: Z.
            rnn_dim: D, width of M's hidden state h; not used when ``config.features`` is ``z``.
            action: the environment's kind of action.
            action_dim: A, width of an encoded action.
        """
        feature_dim = z_dim + (rnn_dim if config.features == "zh" else 0)
        return cls(
            feature_dim=feature_dim,
            action_dim=action_dim,
            features=config.features,
            action=action,
            hidden_dim=config.hidden_dim,
        )

    @property
    def num_params(self) -> int:
        """N: weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.layers)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        return list(pairwise([self.feature_dim, *([self.hidden_dim] if self.hidden_dim else []), self.action_dim]))

    def act(self, solutions: Array, features: Array) -> Array:
        """Encoded actions: one-hot of the largest output, or tanh in [-1, 1]. Accepts and returns arrays or tensors.

        Args:
            solutions: (P, N) float32, one candidate per row.
            features: (P, R, F) float32, the features of candidate p in its R rollouts.

        Returns:
            (P, R, A) float32.
        """
        xp, output = module_of(features), self.outputs(solutions, features)
        if self.action == "discrete":
            return xp.eye(self.action_dim, dtype=output.dtype, device=output.device)[output.argmax(-1)]
        return xp.tanh(output)

    def outputs(self, solutions: Array, features: Array) -> Array:
        """The last layer's outputs (P, R, A), from which ``act`` makes actions."""
        xp = module_of(features)
        # column vectors: with so few outputs a product of row vectors is four times slower
        start, output = 0, cast("Any", features).mT  # (P, F, R)
        for inputs, outputs in self.layers:
            if start:
                output = xp.tanh(output)
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            weight = solutions[:, start:middle].reshape(-1, inputs, outputs)  # (P, F, A)
            output = weight.mT @ output + solutions[:, middle:end, None]  # (P, A, R), eq. (1): a = W_c [z h] + b_c
            start = end
        return output.mT

    def composed(
        self, solutions: NDArray[np.floating], gain: NDArray[np.floating], offset: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Controllers (P, N) on f that do as ``solutions`` (P, N) on gain · f + offset (the function ``composed``)."""
        inputs, outputs = self.layers[0]
        first = (inputs + 1) * outputs
        moved = composed(solutions[:, :first], outputs, gain, offset)
        return np.concatenate([moved, solutions[:, first:].astype(np.float32)], axis=1)


class FeatureScale(NamedTuple):
    """Mean and spread of C's features, (F,) each, where it is to act."""

    mean: NDArray[np.floating]
    std: NDArray[np.floating]

    def to_plain(self, controller: Controller, solutions: NDArray[np.floating]) -> NDArray[np.float32]:
        """Controllers of plain features that do as ``solutions`` (P, N) on (f - mean) / std."""
        return controller.composed(solutions, 1 / self.std, -self.mean / self.std)

    def from_plain(self, controller: Controller, solutions: NDArray[np.floating]) -> NDArray[np.float32]:
        """The inverse of ``to_plain``."""
        return controller.composed(solutions, self.std, self.mean)


@dataclass(frozen=True, kw_only=True)
class TrainedController:
    """The result of the search.

    Attributes:
        controller: the shape of C.
        best: (N,) float32, the search mean with the best validation return.
        samples: (S, N) float32, S ≤ 64 candidates of generations spread over the whole search: varied controllers to
            collect with, and among them those by which the search exploited the dream.
        validation_return: mean return of ``best`` in the selection that it won; biased upwards, since the winner of a
            selection was also lucky.
        lineage: (k, N) float32, the best of the previous rounds, oldest first; if V is a normaliser, as functions of
            this round's z.
        env_steps: real environment steps of the searches of all rounds so far, fitness and validation together.
    """

    controller: Controller
    best: NDArray[np.float32]
    samples: NDArray[np.float32]
    lineage: NDArray[np.float32]
    validation_return: float
    env_steps: int

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        checkpoint.save(path, *self.pack())

    def pack(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Arrays, and plain values that describe them."""
        about = {"kind": KIND, "controller": asdict(self.controller)}
        about |= {"validation_return": self.validation_return, "env_steps": self.env_steps}
        return {name: getattr(self, name) for name in ("best", "samples", "lineage")}, about

    @classmethod
    def unpack(cls, arrays: Mapping[str, NDArray], about: Mapping[str, Any]) -> "TrainedController":
        """The inverse of ``pack``."""
        values = {name: about[name] for name in ("validation_return", "env_steps")}
        return cls(controller=Controller(**about["controller"]), **arrays, **values)

    def composed(self, gain: NDArray[np.floating], offset: NDArray[np.floating]) -> "TrainedController":
        """All controllers on f that do as these on gain · f + offset."""
        best, samples, lineage = (
            self.controller.composed(rows, gain, offset) for rows in (self.best[None], self.samples, self.lineage)
        )
        return replace(self, best=best[0], samples=samples, lineage=lineage)


def composed(
    solutions: NDArray[np.floating], action_dim: int, gain: NDArray[np.floating], offset: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Linear maps of f whose outputs are those of ``solutions`` on gain · f + offset.

    Args:
        solutions: (P, N), each a layer of ``Controller`` with ``action_dim`` outputs.
        gain, offset: (G,), of the first G features; the others stay as they are.
    """
    players, features = len(solutions), solutions.shape[1] // action_dim - 1
    weight = solutions[:, :-action_dim].reshape(players, features, action_dim).astype(np.float64)  # (P, F, A)
    moved = weight[:, : len(gain)]
    bias = solutions[:, -action_dim:] + (moved * offset[:, None]).sum(1)  # (P, A)
    weight = np.concatenate([moved * gain[:, None], weight[:, len(gain) :]], axis=1)
    return np.concatenate([weight.reshape(players, features * action_dim), bias], axis=1).astype(np.float32)


def load_controller(path: Path) -> TrainedController:
    """The controller stored at ``path``.

    Raises:
        CheckpointError: the file is missing, damaged, or of another kind.
    """
    return TrainedController.unpack(*checkpoint.load(path, KIND))
