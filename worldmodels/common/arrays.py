"""Functions for code that runs on both NumPy arrays (policies) and torch tensors (dreams)."""

import sys
from typing import Any

import numpy as np


def module_of(array: Any) -> Any:
    """The module, numpy or torch, whose functions take ``array``. If it is a tensor, torch is already imported."""
    return np if isinstance(array, np.ndarray | np.generic) else sys.modules["torch"]
