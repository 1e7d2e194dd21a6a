"""M: the memory that predicts what happens next."""

from worldmodels.memory.files import load_memory, save_memory
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig, MDNRNNOutput, RNNState
from worldmodels.memory.open_loop import OpenLoopRow, open_loop
from worldmodels.memory.stats import WorldStats, world_stats
from worldmodels.memory.train import BEST, LAST, TrainingError, train_memory
from worldmodels.memory.validate import validate
from worldmodels.memory.windows import split_episodes

__all__ = [
    "BEST",
    "LAST",
    "MDNRNN",
    "MDNRNNConfig",
    "MDNRNNOutput",
    "OpenLoopRow",
    "RNNState",
    "TrainingError",
    "WorldStats",
    "load_memory",
    "open_loop",
    "save_memory",
    "split_episodes",
    "train_memory",
    "validate",
    "world_stats",
]
