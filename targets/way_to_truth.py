"""What an error about a target without exact draws, log Z or moments says of how these can be had."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol

FOUND = ("log_z", "sample", "modes", "mode_weights", "mean", "covariance", "moments")  # by quadrature


class Asked(Protocol):
    """What is read of a target here."""

    dim: int

    @property
    def discrete(self) -> bool:
        """Whether its points are discrete."""

    @property
    def known(self) -> Set[str]:
        """What it states about itself."""


def way_to_truth(target: Asked) -> str:
    """The end of such a message; empty where `targets.with_truth` has nothing to add."""
    if target.discrete or {"log_z", "sample"} <= target.known:
        return ""
    if target.dim <= 2:
        return ". targets.with_truth(target) finds it by quadrature, in one or two dimensions"
    return (
        ". targets.with_truth finds it in one or two dimensions; of more, compare(witnesses=) holds a sampler against "
        "points that you trust"
    )
