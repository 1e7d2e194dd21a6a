"""The learned world: many dreams at once for the search, or one as a Gymnasium environment."""

from worldmodels.dream.env import DreamEnv
from worldmodels.dream.simulator import Act, Dream, DreamConfig
from worldmodels.dream.starts import Starts
from worldmodels.dream.state import DreamResult, DreamState, Noise

__all__ = ["Act", "Dream", "DreamConfig", "DreamEnv", "DreamResult", "DreamState", "Noise", "Starts"]
