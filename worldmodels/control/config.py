"""The settings of C and of its search."""

from typing import Literal

from worldmodels.common.params import Count, Natural, Positive, settings

MIN_POPSIZE = 4  # below it, CMA-ES has nothing to recombine


@settings
class ControllerConfig:
    """C and how it is evolved. A round that has a previous controller starts its search there.

    Attributes:
        features: what C sees: ``zh`` is z and M's hidden state h, ``z`` is z alone.
        fitness: where candidates are scored: ``dream``, ``real``, or ``both``: in the dream first, and from the best
            found there in the real environment.
        popsize: candidates a generation.
        sigma0: initial standard deviation of a parameter in a search from zero.
        warm_sigma0: initial standard deviation in a search that starts at a controller.
        generations: generations of one search.
        real_generations: with ``both``, generations of the search in the real environment.
        rollouts: episodes a candidate in a generation, the same for all candidates.
        validation_every: generations between two validations of the search's mean, which are in the real environment.
        validation_rollouts: episodes of one validation.
        finalists: how many of the best means meet again at the end on common seeds; 1 takes the best at once.
        final_rollouts: episodes of each finalist.
        candidates_per_task: candidates that one worker dreams at once, where the dream runs on CPUs.
        episodes_per_task: real episodes that one worker plays side by side. It sets the memory a worker needs.
    """

    features: Literal["z", "zh"] = "zh"
    fitness: Literal["dream", "real", "both"] = "dream"
    popsize: Count = 64
    sigma0: Positive = 0.1
    warm_sigma0: Positive = 0.1
    generations: Count = 800
    real_generations: Natural = 50
    rollouts: Count = 16
    validation_every: Count = 10
    validation_rollouts: Count = 16
    finalists: Count = 4
    final_rollouts: Count = 64
    candidates_per_task: Count = 32
    episodes_per_task: Count = 32

    def __post_init__(self) -> None:
        if self.popsize < MIN_POPSIZE:
            raise ValueError(f"popsize = {self.popsize}: CMA-ES needs at least {MIN_POPSIZE}")


@settings
class EvaluateConfig:
    """The evaluation.

    Attributes:
        episodes: held-out episodes, on the same seeds in every run.
        episodes_per_task: episodes that one worker plays side by side.
        dream_rollouts: dreams of each controller whose dream return is asked for.
        check_controllers: the dream check takes so many random controllers, and so many samples of the last search,
            besides each round's best.
        check_episodes: real episodes of each controller of the dream check.
        videos: videos of the agent; 0: none.
        env_id: Gymnasium id of the environment that the score is taken in, where it is not the one trained in; empty:
            the same one. The agent's and the random policy's episodes and the videos are played there; the dream check
            is not, since a dream can only be as good as what it models.
    """

    episodes: Count = 100
    episodes_per_task: Count = 10
    dream_rollouts: Count = 64
    check_controllers: Natural = 8
    check_episodes: Count = 8
    videos: Natural = 0
    env_id: str = ""
