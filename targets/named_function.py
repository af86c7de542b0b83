"""A user's function of named values, which gets those of them that it names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from targets.arguments import did_you_mean
from targets.user_function import copies, shapes_of


class NamedFunction:
    """function(**values), with the values that its signature names; all of `names` where it has ** or no signature.

    names: those a function may take; more: further ones, which it gets only where it names them. argument: for
    messages. `wanted`: what it takes. TypeError for what is no function, and for arguments that are no names.
    """

    def __init__(self, function: Any, argument: str, names: Sequence[str], more: Sequence[str] = ()) -> None:
        if not callable(function):
            raise TypeError(f"{argument}: got {type(function).__name__}, expected a function of {', '.join(names)}")
        self.argument, self._function = argument, function
        self.wanted = _wanted(function, argument, tuple(names), tuple(more))

    def __call__(self, values: Mapping[str, Tensor]) -> Any:
        """The function gets copies, which it may write into."""
        given = {name: values[name] for name in self.wanted}
        try:
            return self._function(**copies(given))
        except Exception as error:
            error.add_note(f"{self.argument} was called with {shapes_of(given)}")
            raise


def _wanted(function: Callable[..., Any], argument: str, names: tuple[str, ...], more: tuple[str, ...]) -> list[str]:
    try:
        signature = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of functions written in C
        return list(names)
    named = [one for one in signature if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    known = (*names, *more)
    for one in named:
        if one.name not in known and one.default is one.empty:
            raise TypeError(
                f"{argument}: takes {one.name!r}, expected a function of {', '.join(known)}"
                + did_you_mean(one.name, known)
            )
    if any(one.kind is one.VAR_KEYWORD for one in signature):
        return [*names, *(one.name for one in named if one.name in more)]
    return [one.name for one in named if one.name in known]
