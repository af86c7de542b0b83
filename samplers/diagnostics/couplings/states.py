"""Batches of chains taken apart and put together, field by field."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from samplers.runs.state import State

S = TypeVar("S", bound=State)


def both(x: S, y: S) -> S:
    """Two batches as one, the rows of x first."""
    joined: dict[str, Any] = {}
    for name in _names(x):
        a, b = getattr(x, name), getattr(y, name)
        joined[name] = None if a is None else torch.cat([a, b])
    return type(x)(**joined)


def halves(state: S) -> tuple[S, S]:
    """The first and the second half of the rows."""
    n = len(state.x) // 2
    return rows(state, slice(0, n)), rows(state, slice(n, 2 * n))


def rows(state: S, index: Tensor | slice) -> S:
    """Some of the rows."""
    found: dict[str, Any] = {}
    for name in _names(state):
        value = getattr(state, name)
        found[name] = None if value is None else value[index]
    return type(state)(**found)


def with_rows(state: S, index: Tensor, part: S) -> S:
    """The state with `part` in the rows `index`."""
    changed: dict[str, Any] = {}
    for name in _names(state):
        old, new = getattr(state, name), getattr(part, name)
        changed[name] = None if old is None else old.index_copy(0, index, new)
    return type(state)(**changed)


def _names(state: State) -> list[str]:
    return [field.name for field in fields(state)]
