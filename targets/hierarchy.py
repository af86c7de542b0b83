"""Priors that depend on other parameters, in the order in which they can be drawn."""

from __future__ import annotations

from collections.abc import Mapping

from targets.conditional_prior import ConditionalPrior
from targets.parameter import Parameter


def conditional_priors(kinds: Mapping[str, Parameter]) -> dict[str, ConditionalPrior]:
    """Those of the parameters whose prior is a function of others."""
    return {key: ConditionalPrior(key, kinds) for key, kind in kinds.items() if kind.conditional is not None}


def ancestral_order(kinds: Mapping[str, Parameter], conditional: Mapping[str, ConditionalPrior]) -> tuple[str, ...]:
    """The parameters, each after those that its prior is a function of; as they were given where nothing hinders.

    ValueError, with the circle, where there is no such order.
    """
    left = {key: set(conditional[key].parents) if key in conditional else set() for key in kinds}
    order: list[str] = []
    while left:
        free = next((key for key, parents in left.items() if parents <= set(order)), None)
        if free is None:
            raise ValueError(f"parameters: the priors go in a circle, {_circle(left)}; expected one to draw first")
        order.append(free)
        del left[free]
    return tuple(order)


def _circle(left: Mapping[str, set[str]]) -> str:
    """One circle among parameters each of which waits for another one; an arrow is from what a prior takes."""
    path = [next(iter(left))]
    while path[-1] not in path[:-1]:
        path.append(next(parent for parent in left if parent in left[path[-1]]))
    return " -> ".join(reversed(path[path.index(path[-1]) :]))
