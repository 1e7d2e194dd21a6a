"""Hydra plugin: the resolver ``chain`` creates the section ``rounds`` from the number ``run.rounds``."""

from omegaconf import DictConfig, OmegaConf


def chain(count: object) -> DictConfig:
    """Rounds r1 to r``count``, each with its previous round.

    Raises:
        ValueError: ``count`` is not a number of rounds; Hydra shows the message.
    """
    if type(count) is not int or count < 1:
        raise ValueError(f"run.rounds = {count!r}: expected a whole number from 1 on")
    return OmegaConf.create({f"r{k}": {"previous": f"r{k - 1}"} for k in range(1, count + 1)})


OmegaConf.register_new_resolver("chain", chain, replace=True)
