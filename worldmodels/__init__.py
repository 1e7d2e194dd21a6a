"""World Models (Ha & Schmidhuber, 2018): V, M, dreams and C. Usable without DVC.

``load_agent`` loads a trained agent; ``Round`` gives access to the results of a pipeline round. Both are imported on
first access, so that importing one part of the library does not import the others.
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
