"""A panel: controllers whose real returns are known, to measure a dream before a search trusts it.

A file of ``panels/`` holds linear controllers on an environment's own states, from those that fall like a stone to
those that solve it, and what they earned in many real episodes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.common import checkpoint
from worldmodels.control.controller import composed
from worldmodels.environment.config import EnvConfig
from worldmodels.vision.normaliser import StateNormaliser

KIND = "panel"
FOLDER = Path("panels")

ENDS = ("ended_well", "ended_badly", "left_the_data", "ran_out_of_time")


@dataclass(frozen=True)
class Panel:
    """Controllers of known real return.

    Attributes:
        env: ``id`` and ``kwargs`` of the environment.
        action_dim: A.
        weights: (P, N) float32, parameters of linear controllers on the states in the environment's units; the layout
            is that of ``Controller``.
        returns: (P,) float32, mean real return.
        ends: (P, 4) float32, shares of the real episodes that ended as in ``ENDS``: terminated by a step of positive
            reward, by another, by leaving the data's range (only dreams do), or not at all.
        episodes: real episodes of each controller.
    """

    env: dict[str, Any]
    action_dim: int
    weights: NDArray[np.float32]
    returns: NDArray[np.float32]
    ends: NDArray[np.float32]
    episodes: int

    def solutions(self, vision: StateNormaliser, feature_dim: int) -> NDArray[np.float32]:
        """The same controllers on F features, (P, (F + 1) · A): z, as ``vision`` normalises states, and h, ignored."""
        on_h = np.zeros((len(self.weights), (feature_dim - vision.z_dim) * self.action_dim), np.float32)
        on_z = composed(self.weights, self.action_dim, vision.std, vision.mean)
        weight, bias = np.split(on_z, [-self.action_dim], axis=1)
        return np.concatenate([weight, on_h, bias], axis=1)

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        about = {"kind": KIND, "env": self.env, "action_dim": self.action_dim, "episodes": self.episodes}
        checkpoint.save(path, {name: getattr(self, name) for name in ("weights", "returns", "ends")}, about)


def load_panel(path: Path) -> Panel:
    """The panel stored at ``path``.

    Raises:
        CheckpointError: the file is missing, damaged, or of another kind.
    """
    arrays, about = checkpoint.load(path, KIND)
    return Panel(**arrays, **{name: about[name] for name in ("env", "action_dim", "episodes")})


def panel_of(env: EnvConfig, folder: Path = FOLDER) -> Panel | None:
    """The panel of an environment; None if ``folder`` has none of the same id and kwargs."""
    panels = (load_panel(path) for path in sorted(folder.glob("*.safetensors")))
    return next((panel for panel in panels if _fits(panel.env, env)), None)


def _fits(ours: Mapping[str, Any], env: EnvConfig) -> bool:
    return env.frame_skip == 1 and ours == {"id": env.id, "kwargs": env.kwargs}


def ends(terminated: NDArray, last_reward: NDArray, left: NDArray) -> NDArray[np.float32]:
    """(P, 4) shares of each controller's R episodes that ended as in ``ENDS``; the arguments are (P, R)."""
    well = terminated & ~left & (last_reward > 0)
    badly = terminated & ~left & ~well
    return np.stack([well, badly, left, ~terminated], -1).mean(1, dtype=np.float32)
