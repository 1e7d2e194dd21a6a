"""The settings of C and of its search."""

from typing import Literal

from worldmodels.common.params import Count, Natural, Positive, settings
from worldmodels.control.cmaes import MIN_POPSIZE


@settings
class ControllerConfig:
    """C and how it is evolved.

    Attributes:
        kind: ``linear`` as in the paper, or ``mlp`` with one hidden layer, which exploits a dream more easily.
        hidden_dim: units of that hidden layer.
        features: what C sees: ``zh`` is z and M's hidden state h, ``z`` is z alone.
        fitness: where candidates are scored: ``dream``, ``real``, or ``both``: in the dream first, and from the best
            found there in the real environment.
        popsize: candidates a generation.
        sigma0: initial standard deviation of a parameter in a search from zero.
        warm_start: the first search starts at the previous round's controller, if there is one.
        warm_sigma0: initial standard deviation in a search that starts at a controller.
        generations: generations of one search.
        real_generations: with ``both``, generations of the search in the real environment.
        restarts: independent searches; the best by validation wins. All but the first start from zero.
        rollouts: episodes a candidate in a generation, the same for all candidates.
        diagonal: a diagonal covariance in CMA-ES; ``auto`` is on above 2,000 parameters.
        validate_in: where the search's mean is validated.
        validation_every: generations between two validations.
        validation_rollouts: episodes of one validation.
        finalists: how many of the best means meet again at the end on common seeds; 1 takes the best at once.
        final_rollouts: episodes of each finalist.
        target: mean validation return at which the search ends early; None: never.
        fitness_max_steps: real fitness episodes are cut after so many steps; 0: never. Validation never cuts.
        candidates_per_task: candidates that one worker dreams at once, where the dream runs on CPUs.
        episodes_per_task: real episodes that one worker plays side by side. It sets the memory a worker needs.
        checkpoint_every: generations between two writes of the resumable state.
    """

    kind: Literal["linear", "mlp"] = "linear"
    hidden_dim: Count = 16
    features: Literal["z", "zh"] = "zh"
    fitness: Literal["dream", "real", "both"] = "dream"
    popsize: Count = 64
    sigma0: Positive = 0.1
    warm_start: bool = True
    warm_sigma0: Positive = 0.1
    generations: Count = 800
    real_generations: Natural = 50
    restarts: Count = 1
    rollouts: Count = 16
    diagonal: Literal["auto", "on", "off"] = "auto"
    validate_in: Literal["dream", "real"] = "real"
    validation_every: Count = 10
    validation_rollouts: Count = 16
    finalists: Count = 4
    final_rollouts: Count = 64
    target: float | None = None
    fitness_max_steps: Natural = 0
    candidates_per_task: Count = 32
    episodes_per_task: Count = 32
    checkpoint_every: Count = 1

    def __post_init__(self) -> None:
        if self.popsize < MIN_POPSIZE:
            raise ValueError(f"popsize = {self.popsize}: CMA-ES needs at least {MIN_POPSIZE}")
        if self.fitness != "dream" and self.validate_in == "dream":
            raise ValueError(f"validate_in = dream cannot judge fitness = {self.fitness}; it has to be real")

    def is_diagonal(self, num_params: int) -> bool:
        """Whether a search over so many parameters keeps its covariance diagonal."""
        return num_params > 2000 if self.diagonal == "auto" else self.diagonal == "on"
