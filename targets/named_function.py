"""A user's function of named values, which gets those of them that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from targets.linear_algebra import is_failure
from targets.user_arguments import taken_by
from targets.user_errors import OUTSIDE, axis_of, explained, note_call
from targets.user_function import copies


class NamedFunction:
    """function(**values) with the values that it takes, `wanted`.

    names: of what it may take; argument, batched, derived: for messages. TypeError for what is no function, and for
    arguments that are no names.
    """

    def __init__(
        self, function: Any, argument: str, names: Iterable[str], *, batched: bool, derived: Iterable[str] = ()
    ) -> None:
        names = tuple(names)
        if not callable(function):
            raise TypeError(f"{argument}: got {type(function).__name__}, expected a function of {', '.join(names)}")
        self.wanted = taken_by(function, names, argument, derived)
        self._function, self._argument, self._axis = function, argument, axis_of(batched)

    def __call__(self, values: Mapping[str, Tensor]) -> Any:
        """The function gets copies, which it may write into."""
        try:
            return self._function(**copies({name: values[name] for name in self.wanted}))
        except Exception as error:
            better = (
                None
                if is_failure(error)
                else explained(error, self._argument, next(iter(values.values())), advice=OUTSIDE)
            )
            note_call(better or error, self._argument, values, self._axis)
            if better is None:
                raise
            raise better from error
