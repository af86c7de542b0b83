"""What a cell is asked for, by which it is known again: in words for people, and by digests of all that it holds."""

from __future__ import annotations

import functools
import hashlib
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samplers.compare.cell import Cell
from targets import Target

PROBES = 6
SCALES = (0.5, 1.0, 4.0)
DEEPEST = 12


def request(cell: Cell, density: list[float] | str) -> dict[str, Any]:
    """Sampler and options as words, their contents as a digest, the density at fixed points, and what is measured."""
    options = {name: words(value) for name, value in cell.options.items()}
    return {
        "sampler": words(cell.sampler),
        **options,
        "budget": str(cell.budget),
        "contents": digest([cell.sampler, dict(cell.options)]),
        "density": density,
        "measured against": digest(cell.truth),
        "distances": cell.distances,
    }


MEASURED = ("measured against", "distances")  # another one is no other run, but must be measured anew


def differences(asked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two requests for a run differ, in words."""
    found = []
    for name in {**asked, **now}:
        a, b = asked.get(name), now.get(name)
        alike = close(asked[name], now[name]) if name == "density" else a == b or name in MEASURED
        if not alike:
            found.append(f"{name} was {a}, here {b}")
    if len(found) > 1:  # what the digest tells stands in words already
        found = [text for text in found if not text.startswith("contents ")]
    return found


def close(a: Sequence[float] | str, b: Sequence[float] | str) -> bool:
    """Whether two densities are the same at the fixed points: they may differ by rounding, in a dtype told by its eps.

    Both begin with the dimension and the eps of the dtype.
    """
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    if len(a) != len(b) or a[:2] != b[:2]:
        return False
    x, y = np.array(a[2:]), np.array(b[2:])
    size = np.abs(x[np.isfinite(x)]).max(initial=1.0)
    return bool(np.allclose(x, y, rtol=0.0, atol=64 * a[1] * size, equal_nan=True))


def density(target: Target) -> list[float] | str:
    """The dimension, the eps of the dtype, and the log-density at a few fixed points near and far; or its error."""
    known = [float(target.dim), torch.finfo(target.dtype).eps]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(SCALES), PROBES, target.dim, generator=generator, dtype=torch.float64)
    x = (x * torch.tensor(SCALES, dtype=torch.float64)[:, None, None]).reshape(-1, target.dim)
    if target.discrete:
        x = target.values.cpu()[(x > 0).long()]  # type: ignore[attr-defined]
    try:
        with torch.no_grad():
            return known + target.log_prob(x.to(target.device, target.dtype)).double().tolist()
    except Exception as error:  # it will fail in its cell, and say why; until then it is known by its error
        return words(error)


def words(value: Any) -> str:
    """repr without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def digest(value: Any) -> str:
    """Of all that a value holds: numbers, tensors, fields, and the code of functions."""
    return hashlib.sha256(_contents(value, 0).encode()).hexdigest()[:16]


def _contents(value: Any, depth: int) -> str:
    inner = functools.partial(_contents, depth=depth + 1)
    if depth > DEEPEST or value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return words(value)
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return f"{array.dtype}{array.shape}{hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}"
    if isinstance(value, Target):
        return f"{type(value).__qualname__}{density(value)}"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{inner(key)}:{inner(item)}" for key, item in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(inner, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(inner, value))) + "}"
    if isinstance(value, functools.partial):
        return inner([value.func, value.args, value.keywords])
    if isinstance(value, types.MethodType):
        return inner([value.__func__, value.__self__])
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return f"{value.__qualname__}{_code(value.__code__)}{inner([value.__defaults__, value.__kwdefaults__, cells])}"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    fields = getattr(value, "__dict__", None)
    return f"{type(value).__qualname__}{inner(fields)}" if fields else f"{type(value).__qualname__}{words(value)}"


def _code(code: types.CodeType) -> str:
    constants = [_code(one) if isinstance(one, types.CodeType) else words(one) for one in code.co_consts]
    return hashlib.sha256(f"{code.co_code!r}{constants}{code.co_names}".encode()).hexdigest()
