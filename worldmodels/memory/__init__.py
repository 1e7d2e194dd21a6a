"""M: the memory that predicts what happens next."""

from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig, MDNRNNOutput, RNNState
from worldmodels.memory.stats import WorldStats

__all__ = ["MDNRNN", "MDNRNNConfig", "MDNRNNOutput", "RNNState", "WorldStats"]
