"""World Models (Ha & Schmidhuber, 2018): see, remember, dream, and act. Usable without DVC.

``load_agent`` gives a trained agent to play with, ``Round`` what a round of the pipeline has made; both are imported
when they are asked for, so that importing a part of the library imports no more than that part.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodels.agents import load_agent
    from worldmodels.round import Round

__all__ = ["Round", "load_agent"]

_HOMES = {"Round": "worldmodels.round", "load_agent": "worldmodels.agents"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'worldmodels' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
