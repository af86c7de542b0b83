"""Quantities that a user's function makes of named parameters, for draws to carry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from targets.labels import check_name
from targets.linear_algebra import is_failure
from targets.user_arguments import given_what_it_takes, taken_by
from targets.user_errors import OUTSIDE, axis_of, explained, note_call
from targets.user_function import copies, over_values


class Derived:
    """A function of values (n, *shape) by name, to further ones; `shapes`: theirs, for one draw.

    values: those at three points, where the function is looked at; an error for what draws could not carry. batched:
    whether the function is written for all points at once, or for one.
    """

    def __init__(self, function: Callable[..., Any], values: Mapping[str, Tensor], *, batched: bool) -> None:
        function = given_what_it_takes(function, taken_by(function, values, "derived"), values)
        self._batched, self._function = batched, function if batched else over_values(function)
        self.shapes: dict[str, tuple[int, ...]] = {}
        with torch.no_grad():
            found = self._called(values)
        if not isinstance(found, Mapping):
            raise TypeError(f"derived: returned {type(found).__name__}, expected a dict of tensors by name")
        for key, value in found.items():
            check_name(key, "derived")
            if key in values:
                raise ValueError(f"derived: got the name {key!r}, which is a parameter's; rename it")
            if not isinstance(value, Tensor):
                raise TypeError(f"derived[{key!r}]: got {type(value).__name__}, expected a tensor (3, ...)")
            if value.is_complex():
                raise TypeError(f"derived[{key!r}]: got {value.dtype}, expected real numbers")
            if value.shape[:1] != (3,):
                raise ValueError(
                    f"derived[{key!r}]: got shape {tuple(value.shape)} for three points, expected (3, ...): "
                    "the first axis is the batch"
                )
        self.shapes = {key: tuple(value.shape[1:]) for key, value in found.items()}

    def __call__(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What it gives at values (n, *shape), NaN where its linear algebra fails."""
        first = next(iter(values.values()))
        try:
            found = self._called(values)
        except Exception as error:
            if not (is_failure(error) and self.shapes):
                raise
            if len(first) == 1:
                return {key: first.new_full((1, *shape), math.nan) for key, shape in self.shapes.items()}
            halves = [self({key: value.tensor_split(2)[side] for key, value in values.items()}) for side in (0, 1)]
            return {key: torch.cat([half[key] for half in halves]) for key in halves[0]}
        return {key: value.clone() for key, value in found.items()}

    def _called(self, values: Mapping[str, Tensor]) -> Any:
        try:
            return self._function(**copies(values))
        except Exception as error:
            if is_failure(error) and self.shapes:
                raise
            better = explained(error, "derived", next(iter(values.values())), advice=_ADVICE)
            note_call(error if better is None else better, "derived", values, axis_of(self._batched))
            if better is None:
                raise
            raise better from error


_ADVICE = f"{OUTSIDE}, or compute it from draws.constrained after the run"
