"""Which of the named values a user's function takes, by its own arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from targets.arguments import did_you_mean


def taken_by(function: Callable[..., Any], names: Iterable[str], argument: str) -> tuple[str, ...]:
    """The names of parameters that a function takes, in the order of `names`; all, where Python cannot tell.

    TypeError for an argument that is no parameter and has no default, and for one that cannot be given by name.
    """
    names = tuple(names)
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # compiled code
        return names
    by_name = {one.name: one for one in arguments if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    for one in arguments:
        if one.kind is one.POSITIONAL_ONLY and one.default is one.empty:
            raise TypeError(
                f"{argument}: takes {one.name!r} by position alone; it is called by name, as in f(mu=..., tau=...)"
            )
    for name, one in by_name.items():
        if name not in names and one.default is one.empty:
            raise TypeError(
                f"{argument}: takes {name!r}, there is no such parameter{did_you_mean(name, names)} "
                f"Parameters: {', '.join(names)}"
            )
    if any(one.kind is one.VAR_KEYWORD for one in arguments):
        return names
    return tuple(name for name in names if name in by_name)


def given_what_it_takes(
    function: Callable[..., Any], taken: tuple[str, ...], names: Iterable[str]
) -> Callable[..., Any]:
    """A function of all named values that hands on those which `function` takes."""
    if set(taken) >= set(names):
        return function
    return lambda **values: function(**{name: values[name] for name in taken})
