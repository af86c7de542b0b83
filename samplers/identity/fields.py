"""The fields of an object, without those that only keep what follows from others."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from torch.distributions import Distribution
from torch.distributions.utils import lazy_property

from targets import Target

SKIPPED = {"name", "device"}  # of targets: compared as such, or free to change


def state_of(value: Any) -> Any:
    """The fields of an object, or what it would be copied by; None where neither is told."""
    kind = type(value)
    fields = dict(getattr(value, "__dict__", None) or {})
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                fields[slot] = getattr(value, slot)
    if fields or (hasattr(value, "__dict__") and _plain(kind)):
        return {name: item for name, item in fields.items() if not _cache(value, name, fields)}
    try:
        copied = value.__reduce_ex__(2)
    except Exception:  # locks, files, sockets, objects of C: they say that they cannot be copied
        return None
    if isinstance(copied, str):
        return copied
    return [list(part) if isinstance(part, Iterator) else part for part in copied]


def _plain(kind: type) -> bool:
    """Whether all classes that an object comes from are written in Python, so that no fields means none at all."""
    return all(base is object or not base.__flags__ & (1 << 8) for base in kind.__mro__)


def _cache(value: Any, name: str, fields: Mapping[str, Any]) -> bool:
    """Whether a field only keeps what follows from others."""
    if isinstance(value, Target) and name in SKIPPED:
        return True
    made = getattr(type(value), name, None)
    lazy = isinstance(inspect.getattr_static(type(value), name, None), lazy_property)
    if isinstance(value, Distribution) and lazy:
        return "_param" in fields or "_unbroadcasted_scale_tril" in fields
    return isinstance(made, functools.cached_property)
