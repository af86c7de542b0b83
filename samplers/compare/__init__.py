"""Several samplers on several targets, side by side. `samplers.compare(...)` calls this module: it is `compare`."""

import inspect
import sys
from types import ModuleType

from samplers.compare.comparison import Comparison
from samplers.compare.grid import compare
from samplers.compare.suites import run_suite
from samplers.compare.table import format_table

__all__ = ["Comparison", "compare", "format_table", "run_suite"]


class _Callable(ModuleType):
    """Importing `samplers.compare` puts the module where `samplers` has the function of that name: it is both."""

    __call__ = staticmethod(compare)


sys.modules[__name__].__class__ = _Callable
# `help(samplers.compare)` begins as that of the function does
__doc__ = f"compare{inspect.signature(compare)}\n\n{inspect.getdoc(compare)}"
