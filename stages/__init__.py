"""One thin script per stage of dvc.yaml: read the parameters, call the library, log."""

import gc
import sys

if sys.argv[0] == "-m":  # as it is while Python looks for the module of `python -m stages.<stage>`
    gc.disable()  # a third of the time that imports take; ``run_stage`` turns it on again
