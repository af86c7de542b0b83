"""Which of the named values a user's function takes, by its own arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from targets.arguments import did_you_mean

RANDOM = {"generator", "rng", "key", "rng_key", "random_state", "seed"}


def taken_by(
    function: Callable[..., Any], names: Iterable[str], argument: str, derived: Iterable[str] = ()
) -> tuple[str, ...]:
    """The names of parameters that a function takes, in the order of `names`; all, where Python cannot tell.

    TypeError for an argument that is no parameter and has no default, and for one that cannot be given by name.
    derived: quantities that it cannot be given, for the message.
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
            raise TypeError(f"{argument}: takes {name!r}, {_why(name, names, derived)} Parameters: {', '.join(names)}")
    if any(one.kind is one.VAR_KEYWORD for one in arguments):
        return names
    return tuple(name for name in names if name in by_name)


def _why(name: str, names: Iterable[str], derived: Iterable[str]) -> str:
    if name in derived:
        return (
            "which is a derived quantity: these are made of draws after the run, and the density cannot take them; "
            "compute it inside the function, of the parameters, or after the run by draws.predict(fn) or "
            "draws.evaluate(fn), which give fn derived quantities too."
        )
    if name in RANDOM:
        return (
            "and functions of parameters get no source of randomness: draw by torch.distributions or torch.randn, "
            "which draws.predict(fn, seed=) seeds while the function runs."
        )
    return f"there is no such parameter{did_you_mean(name, names)}"


def given_what_it_takes(
    function: Callable[..., Any], taken: tuple[str, ...], names: Iterable[str]
) -> Callable[..., Any]:
    """A function of all named values that hands on those which `function` takes."""
    if set(taken) >= set(names):
        return function
    return lambda **values: function(**{name: values[name] for name in taken})
