"""What is said when a function that a user passed fails: what it was called with, and what to pass instead."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_DTYPES = re.compile(r"scalar type|same dtype|dtypes? match|result type \w+ can't be cast|data types to match")
# how torch and NumPy complain of shapes: of the others' errors one cannot tell that they are about the batch axis
_SHAPES = re.compile(
    "size|shape|dimension|dim |index|indices|one element|ambiguous|broadcast|aligned|elements cannot be converted"
    "|length-1|mat1 and mat2|1D tensors",
    re.IGNORECASE,
)
# a value at x was asked for as a number of Python: no advice about the batch axis helps, as vmap has no values either
_LEFT_TORCH = re.compile(r"converted to Python scalars|calling \.item\(\)|data-dependent control flow")
# how torch complains of arrays, data frames and strings among its own numbers, where NumPy itself is not at work:
# vmap's tensors have no memory that NumPy could read
_OF_OTHERS = re.compile(
    r"numpy\(\)|__array|ndarray|ufunc|data pointer of Tensor|argument to log_prob must be a Tensor|DataFrame|Series"
    r"|data type 'str'|dimensions 'str'|numpy\.(str|object)_"
)
CALLED_WITH = "it is called with torch tensors"
# of NumPy and of what is built on it, which need not be installed
_NUMPY_FOLDERS = tuple(
    f"{Path(np.__file__).parent.parent / name}{os.sep}" for name in ("numpy", "pandas", "scipy", "xarray")
)


def shapes_of(values: Mapping[str, Tensor]) -> str:
    """Names and shapes, for messages."""
    return ", ".join(f"{key} {tuple(value.shape)}" for key, value in values.items())


def axis_of(batched: bool) -> str:
    """Which axis is the batch, for messages."""
    if batched:
        return "the first axis is the batch; a function that is written for one point takes batched=False"
    return "it is given one point at a time, values without a batch axis"


def note_call(error: Exception, argument: str, values: Mapping[str, Tensor], axis: str) -> None:
    """Tell whoever reads an error of a user's function with what it was called."""
    if any(note.startswith(f"{argument} was called with ") for note in getattr(error, "__notes__", ())):
        return
    first = next(iter(values.values()))
    points = "" if axis.startswith("it is") else f"{COUNTS.get(len(first), len(first))} points at once, "
    error.add_note(f"{argument} was called with {points}{shapes_of(values)} in {first.dtype}: {axis}")


COUNTS = {1: "one", 2: "two", 3: "three"}

OF_ONE_POINT = (
    "; it gives one number for one point: pass batched=False for a function of one point, or write it for a batch, "
    "the first axis"
)


OUTSIDE = (
    "convert data by torch.as_tensor outside of it (strings by numbering them, as numpy.unique(..., "
    "return_inverse=True) does), and write it in torch operations"
)


def explained(
    error: Exception,
    argument: str,
    x: Tensor,
    one_point: Callable[[], Any] | None = None,
    *,
    numpy: bool = False,
    advice: str = f"{OUTSIDE}, or give a NumPy log-density to targets.from_numpy(fn, grad=..., dim=...)",
) -> Exception | None:
    """The error in words that say what to pass, where that can be told.

    one_point: of a function of a batch, its call with one point. advice: to one who has used NumPy.
    """
    if CALLED_WITH in str(error):  # by the function within
        return None
    said = f"{argument}: {(str(error).splitlines() or [''])[0] or type(error).__name__}"
    if numpy and "must be Tensor" in said:
        return TypeError(f"{said}; it is called with NumPy arrays: a function of torch operations is for LogDensity")
    if not numpy and _is_numpy(error):
        return TypeError(f"{said}; {CALLED_WITH}: {advice}")
    if not numpy and _DTYPES.search(said):
        other = torch.float32 if x.dtype == torch.float64 else torch.float64
        return TypeError(
            f"{said}; x comes in {x.dtype}: convert the data it closes over, or pass dtype={other} to the target"
        )
    if not numpy and _LEFT_TORCH.search(str(error)):
        return TypeError(
            f"{said}; {CALLED_WITH}, many points at once: write it in torch operations "
            "(torch.exp, not math.exp; torch.where, not `if` on a value; no float() or .item())"
        )
    if one_point is not None and _SHAPES.search(said) and is_number(one_point):
        return RuntimeError(said + OF_ONE_POINT)
    return None


def _is_numpy(error: Exception) -> bool:
    """Whether NumPy was at work on tensors."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename.startswith(_NUMPY_FOLDERS):
            return True
        step = step.tb_next
    return bool(_OF_OTHERS.search(str(error)))


def is_number(one_point: Callable[[], Any]) -> bool:
    """Whether a function of one point, called as one, gives one number."""
    try:
        value = one_point()
    except Exception:  # the first error is the one to tell
        return False
    return isinstance(value, (float, int)) or (isinstance(value, Tensor) and value.ndim == 0)
