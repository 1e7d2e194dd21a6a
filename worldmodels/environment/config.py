"""Settings of the real environment."""

from dataclasses import field
from typing import Any, Literal

from worldmodels.common.params import Count, Fraction, Natural, settings

Source = int | str


@settings
class EnvConfig:
    """One environment and its preprocessing. Also used in evaluation, where ``evaluate.env_id`` may override the id.

    Attributes:
        id: a Gymnasium id; ``module:Id-v0`` imports ``module`` first, for user-defined environments.
        kwargs: passed to ``gymnasium.make`` (``continuous``, ``repeat_action_probability``, …).
        max_steps: steps after which an episode is truncated; 0 is the environment's own limit; 10,000 if it has none.
        observation: ``pixel`` or ``state``, whatever its space looks like; ``auto`` decides by that
            (``environment.observation``).
        key: the part of a Dict or Tuple observation that is seen; empty: all of it, flattened to one state.
        frame_skip: times an action is repeated within one step; rewards are summed.
        max_pool: observe the pixel-wise maximum of the last two frames of a step (Atari draws some objects only every
            other frame).
        noop_max: maximum number of idle frames after a reset, drawn from the reset's seed (Atari's random starts).
        crop: top, bottom, left, right of the part of a frame that is kept, in pixels; empty is the whole frame.
        skip_start: idle frames after a reset that are not observed (CarRacing's zoom).
        serve: action pressed, for a step's frames, after a reset and after each lost life (``info["lives"]``); None
            presses nothing. Breakout's ball comes only when it is asked for.
        pixels: take frames from ``render()`` instead of the environment's observation.
        truth: what is known beside the observation, by name: a number is a byte of an Atari game's memory, a text a key
            of the environment's ``info``; of several, the first is known only while the second is not 0 and, if a
            third is given, below this number (Breakout's ball falls on, unseen). Recorded with each observation, to
            measure models with; V, M and C never see it, but M's episodes can end where lives are lost
            (``encode.lives``). No gate asks for a value whose name begins with an underscore: it cannot be seen in what
            is kept of a frame.
        solved_return: mean return that counts as solved; None is the environment's own ``reward_threshold``.
    """

    id: str = "LunarLander-v3"
    kwargs: dict[str, Any] = field(default_factory=dict)
    max_steps: Natural = 0
    observation: Literal["auto", "pixel", "state"] = "auto"
    key: str | Natural = ""
    frame_skip: Count = 1
    max_pool: bool = False
    noop_max: Natural = 0
    crop: list[Natural] = field(default_factory=list)
    skip_start: Natural = 0
    serve: Natural | None = None
    pixels: bool = False
    truth: dict[str, Source | list[Source]] = field(default_factory=dict)
    solved_return: float | None = None

    def __post_init__(self) -> None:
        if self.crop:
            _check_crop(self.crop)
        if self.max_pool and self.frame_skip == 1:
            raise ValueError("max_pool = true takes the maximum of two frames: frame_skip has to be 2 or more")
        if self.max_pool and self.pixels:
            raise ValueError("max_pool = true is for observed frames: pixels has to be false")
        for name, source in self.truth.items():
            if isinstance(source, list) and not (len(source) == 2 or (len(source) == 3 and _is_number(source[2]))):
                raise ValueError(
                    f"truth.{name} = {source}: expected a source, a pair of sources, or such a pair and a number"
                )


def _is_number(value: Source) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_crop(crop: list[int]) -> None:
    if len(crop) != 4:
        raise ValueError(f"crop = {crop}: expected [top, bottom, left, right] or []")
    top, bottom, left, right = crop
    if not (top < bottom and left < right):
        raise ValueError(f"crop = {crop}: expected top < bottom and left < right")


@settings
class CollectConfig:
    """Collection of a round's episodes.

    Attributes:
        minari: name of a data set of Minari (``worldmodels.minari``) that is the round which has no controller yet;
            empty: it is recorded.
        random_episodes: episodes of a round that has no controller yet.
        controller_episodes: episodes of a round that has one.
        random_policy: ``uniform``, or ``brownian`` for temporally correlated actions.
        random_fraction: share of random-policy episodes in a round that has a controller.
        sample_fraction: share of the controller's episodes played by candidates from all over its search.
        exploration: noise on the controller's actions: probability of a random action (discrete), or standard deviation
            of the noise in encoded units (box).
        max_steps: steps after which a collected episode is truncated; 0 for the environment's own limit.
        patience: steps without a positive reward after which a collected episode is truncated, so that the data are not
            of a car that stands in the grass; 0: no such limit.
        episodes_per_shard: episodes in a file, and in a worker's task.
        envs_per_task: environments that run together, so that the networks act on a batch. Determines the memory per
            worker.
    """

    minari: str = ""
    random_episodes: Count = 100
    controller_episodes: Count = 100
    random_policy: Literal["uniform", "brownian"] = "uniform"
    random_fraction: Fraction = 0.1
    sample_fraction: Fraction = 0.5
    exploration: Fraction = 0.1
    max_steps: Natural = 0
    patience: Natural = 0
    episodes_per_shard: Count = 32
    envs_per_task: Count = 8
