"""Samplers in a line: the fields that differ from their defaults, and of tensors no more than the shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from torch import Tensor

from samplers.draws.keywords import Keywords

MOST = 160  # characters, beyond which what is inside another sampler is left out
FEW = 3  # of several values, the most that are written out
SHORT, LONG = 6, 60  # characters: of a number that is written as it is; of a value, at most


class Brief(Keywords):
    """What a dataclass inherits for such a `repr`; `in_full` has every field, for records that tell runs apart."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in cls.__dict__:  # here, so that the decorator `dataclass` writes none of its own
            cls.__repr__ = in_brief  # type: ignore[method-assign]


def in_brief(value: Any) -> str:
    """The `repr` of a sampler."""
    shown = (one for one in fields(value) if one.repr and not _as_by_default(value, one))
    changed = {one.name: getattr(value, one.name) for one in shown}
    text = _call(value, changed, inside=True)
    return text if len(text) <= MOST else _call(value, changed, inside=False)


def _call(value: Any, changed: Mapping[str, Any], *, inside: bool) -> str:
    said = (f"{name}={_short(one, inside)}" for name, one in changed.items())
    return f"{type(value).__qualname__}({', '.join(said)})"


def _as_by_default(value: Any, one: Field[Any]) -> bool:
    found = getattr(value, one.name)
    default = one.default
    if default is MISSING and one.default_factory is not MISSING:
        default = one.default_factory()
    if default is MISSING:
        return False
    return found is default or (type(found) is type(default) and in_full(found) == in_full(default))


def _short(value: Any, inside: bool) -> str:
    if isinstance(value, Tensor):
        return f"{value.item():.4g}" if value.ndim == 0 else f"tensor{tuple(value.shape)}"
    if isinstance(value, float):
        return repr(value) if len(repr(value)) <= SHORT else f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return _several(value, inside)
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    text = repr(value) if inside or not is_dataclass(value) else ""
    return text if 0 < len(text) <= (MOST if isinstance(value, Brief) else LONG) else f"{type(value).__qualname__}(...)"


def _several(values: Sequence[Any], inside: bool) -> str:
    if len(values) <= FEW:
        said = ", ".join(_short(one, inside) for one in values)
        said += "," if isinstance(values, tuple) and len(values) == 1 else ""
        return f"({said})" if isinstance(values, tuple) else f"[{said}]"
    kinds = {type(one).__qualname__ for one in values}
    numbers = kinds <= {"int", "float"}
    if numbers:
        return f"<{len(values)} values from {_short(values[0], inside)} to {_short(values[-1], inside)}>"
    return f"<{len(values)} {' or '.join(sorted(kinds))}>"


def in_full(value: Any) -> str:
    """The `repr` that a dataclass has by itself, with every field."""
    if isinstance(value, Brief):
        said = (f"{one.name}={in_full(getattr(value, one.name))}" for one in fields(value) if one.repr)  # type: ignore[arg-type]
        return f"{type(value).__qualname__}({', '.join(said)})"
    if type(value) is list:
        return f"[{', '.join(map(in_full, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(in_full, value))}{',' if len(value) == 1 else ''})"
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {in_full(one)}' for key, one in value.items())}}}"
    return repr(value)
