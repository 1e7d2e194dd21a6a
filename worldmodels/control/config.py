"""Settings of C and of its search."""

from typing import Literal

from worldmodels.common.params import Count, Natural, NonNegative, Positive, settings

MIN_POPSIZE = 4  # CMA-ES needs at least two parents to recombine


@settings
class ControllerConfig:
    """C and its evolution. In a round with a previous controller the search starts there.

    Attributes:
        features: inputs of C: ``zh`` is z and M's hidden state h, ``z`` is z alone.
        hidden_dim: units of C's hidden layer of tanh; 0: C is linear, as in the paper.
        standardise: search for C as a function of features that have zero mean and unit spread over recorded states (h
            after ``dream.warmup`` recorded steps); what is stored acts on plain features. A normaliser's z is already
            so, a VAE's z and h are not.
        fitness: where candidates are scored: ``dream``, ``real``, or ``both``: first in the dream, then, from the best
            found there, in the real environment.
        popsize: candidates per generation.
        sigma0: initial standard deviation of a parameter in a search from zero.
        warm_sigma0: initial standard deviation in a search that starts at a controller.
        max_sigma: the largest standard deviation of a parameter; 0: any. CMA-ES enlarges its steps where scores hardly
            tell candidates apart, and continuous actions are then at their bounds in every step: a sum of F
            standardised features has a spread of sqrt(F) of it.
        covariance: what CMA-ES learns of the covariance of N parameters: all (``full``), its ``diagonal``, or nothing
            (``identity``); ``auto`` is full up to 2,000 parameters and diagonal above. A generation of popsize P moves
            the full covariance by about P / 2N², which with N above a thousand is nothing in hundreds of generations,
            and costs 0.4 s at 1,700 parameters, 4 s at 10,000.
        start: where a later round's search begins: at the ``previous`` round's controller, or at ``zero``, as the first
            round's does: in a better dream, with another h, the previous controller can be a worse beginning than none.
        generations: generations of that search.
        fresh_generations: where there is one, generations of a second search, from zero. It finds unlike controllers:
            to collect with, and where the first search is stuck.
        real_generations: with ``both``, generations of the search in the real environment.
        rollouts: dreams per candidate and generation, the same for all candidates.
        real_rollouts: episodes per candidate and generation of a search in the real environment, likewise.
        validation_every: generations between two validations of the search's mean, on fresh episodes where it searches.
        validation_rollouts: episodes of one validation.
        finalists: number of best means of each search that play against each other and the previous round's controller
            at the end, in the real environment on common seeds; 1 takes the best directly, without a real step.
        final_rollouts: episodes of each finalist.
        candidates_per_task: candidates in one worker's batch of dreams, if the dream runs on CPUs.
        episodes_per_task: real episodes that one worker runs as a batch. Determines the memory per worker.
    """

    features: Literal["z", "zh"] = "zh"
    hidden_dim: Natural = 0
    standardise: bool = False
    fitness: Literal["dream", "real", "both"] = "dream"
    popsize: Count = 64
    sigma0: Positive = 0.1
    warm_sigma0: Positive = 0.1
    max_sigma: NonNegative = 0.0
    covariance: Literal["auto", "full", "diagonal", "identity"] = "auto"
    start: Literal["previous", "zero"] = "previous"
    generations: Count = 800
    fresh_generations: Natural = 0
    real_generations: Natural = 50
    rollouts: Count = 16
    real_rollouts: Count = 16
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
    """Settings of the evaluation.

    Attributes:
        episodes: held-out episodes, on the same seeds in every run.
        episodes_per_task: episodes that one worker runs as a batch.
        dream_rollouts: dreams per controller when its dream return is measured.
        check_controllers: number of random controllers, and of candidates of the last search, in the dream check, in
            addition to each round's best.
        check_episodes: real episodes of each controller of the dream check.
        videos: videos of the agent; 0: none.
        env_id: Gymnasium id of the environment of the score, if it is not the training environment; empty: the same
            one. The agent's and the random policy's episodes and the videos use it; the dream check does not, since a
            dream can only match the environment it models.
    """

    episodes: Count = 100
    episodes_per_task: Count = 10
    dream_rollouts: Count = 64
    check_controllers: Natural = 8
    check_episodes: Count = 8
    videos: Natural = 0
    env_id: str = ""
