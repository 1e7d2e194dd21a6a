"""The stages of dvc.yaml, one thin script each: read the parameters, call the library, log."""

import gc
import sys

if sys.argv[0] == "-m":  # argv[0] is "-m" while Python locates the module of `python -m stages.<stage>`
    gc.disable()  # collection takes a third of the import time; ``run_stage`` enables it again
