"""One formula for NumPy arrays and for tensors: policies compute with the former, dreams with the latter."""

import sys
from typing import Any

import numpy as np


def module_of(array: Any) -> Any:
    """The module, numpy or torch, whose functions take ``array``. Torch is not imported: a tensor's existence has been
    its import."""
    return np if isinstance(array, np.ndarray | np.generic) else sys.modules["torch"]
