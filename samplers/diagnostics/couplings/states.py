"""Batches of chains taken apart and put together, field by field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from samplers.runs.state import State, each, values

S = TypeVar("S", bound=State)


def both(x: S, y: S) -> S:
    """Two batches as one, the rows of x first."""
    return _merged(x, y, lambda a, b: torch.cat([a, b]))


def halves(state: S) -> tuple[S, S]:
    """The first and the second half of the rows."""
    n = len(state.x) // 2
    return rows(state, slice(0, n)), rows(state, slice(n, 2 * n))


def rows(state: S, index: Tensor | slice) -> S:
    """Some of the rows."""
    return each(state, lambda value: value[index])


def with_rows(state: S, index: Tensor, part: S) -> S:
    """The state with `part` in the rows `index`."""
    return _merged(state, part, lambda old, new: old.index_copy(0, index, new))


def _merged(a: S, b: S, merge: Callable[[Tensor, Tensor], Tensor]) -> S:
    """A state of two, field by field; those that are None stay so."""
    others = values(b)
    merged: dict[str, Any] = {n: None if v is None else merge(v, others[n]) for n, v in values(a).items()}  # type: ignore[arg-type]
    return replace(a, **merged)
