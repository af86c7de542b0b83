"""A distance beside what it is for exact draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Generator, Tensor

from targets import Target
from targets.arguments import check_integer


@dataclass(frozen=True)
class Floored:
    """value of the draws; floor and highest: mean and largest value of as many exact draws, several times.

    A value at the floor says no more than that the draws are as good as so many exact ones.

        >>> from samplers.diagnostics import Floored
        >>> Floored(value=0.12, floor=0.1, highest=0.15).value < 0.15
        True
    """

    value: float
    floor: float
    highest: float

    @property
    def at_floor(self) -> bool:
        """Whether exact draws were as far away at least once."""
        return self.value <= self.highest

    def __str__(self) -> str:
        return f"{self.value:.4g} (exact draws {self.floor:.4g}, at most {self.highest:.4g})"


def floored(
    distance: Callable[[Tensor, Tensor], float], x: Tensor, target: Target, *, sets: int = 10, seed: int = 0
) -> Floored:
    """distance(x, y) of draws x (n, dim) from exact draws y, and that of `sets` further sets of n exact draws from y.

    x: independent draws, or as many of a chain as it has effective ones: the floor of n exact draws is no floor of n
    dependent ones. NotImplementedError for a target that has no exact draws.
    """
    check_integer(sets, "sets")
    if x.ndim != 2 or x.shape[1] != target.dim:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected (n, {target.dim})")
    generator = Generator(target.device).manual_seed(seed)
    exact = target.sample(len(x), generator=generator)
    found = [distance(target.sample(len(x), generator=generator), exact) for _ in range(sets)]
    return Floored(distance(x.to(exact), exact), sum(found) / sets, max(found))
