"""The learned world: many dreams at once for the search.

One dream as a Gymnasium environment is ``worldmodels.dream.env.DreamEnv``; the rest does without Gymnasium.
"""

from worldmodels.dream.simulator import Act, Dream, DreamConfig
from worldmodels.dream.starts import Starts
from worldmodels.dream.state import DreamResult, DreamState, Noise

__all__ = ["Act", "Dream", "DreamConfig", "DreamResult", "DreamState", "Noise", "Starts"]
