"""Coordinates in which the scale of some coordinates no longer depends on others, as in a funnel.

    x = a + B y + exp(c + D y) * y,      y = (x - a - B x) * exp(-(c + D x)),      log |dx/dy| = sum_i (c + D y)_i

Rows of a, B, c, D belong to coordinates whose place and scale go by others; they are zero for the roots, which are the
same in x and y. B and D have columns at roots alone, so that the Jacobian is triangular. Papaspiliopoulos, Roberts and
Skoeld 2007; Gorinova, Moore and Hoffman 2020, who also find such coordinates from the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor


@dataclass(frozen=True, eq=False)
class NonCentring:
    """place a (dim,), places B (dim, dim), log_scale c (dim,), log_scales D (dim, dim).

    Raises ValueError where a column of B or D belongs to a coordinate that is no root, or the diagonal is not zero.
    """

    place: Tensor
    places: Tensor
    log_scale: Tensor
    log_scales: Tensor

    def __post_init__(self) -> None:
        dim = len(self.place)
        shapes = [tuple(value.shape) for value in (self.place, self.places, self.log_scale, self.log_scales)]
        if shapes != [(dim,), (dim, dim), (dim,), (dim, dim)]:
            raise ValueError(f"place, places, log_scale, log_scales: got shapes {shapes}, expected (dim,), (dim, dim)")
        if self.place.device.type == "meta":
            return
        linked = (self.places != 0) | (self.log_scales != 0)
        child = linked.any(1) | (self.place != 0) | (self.log_scale != 0)
        if bool(linked[:, child].any()):
            raise ValueError(
                "places, log_scales: got a column for a coordinate that has a row of its own, expected roots alone"
            )

    @property
    def dim(self) -> int:
        """Of x and y."""
        return len(self.place)

    def to(self, like: Tensor) -> Self:
        """The same in the dtype and on the device of a tensor."""
        return type(self)(*(value.to(like) for value in self.__dict__.values()))

    def log_scales_at(self, x: Tensor) -> Tensor:
        """c + D y, (*batch, dim), from x or y."""
        return self.log_scale + x @ self.log_scales.mT

    def to_x(self, y: Tensor) -> Tensor:
        """x, (*batch, dim)."""
        return self.place + y @ self.places.mT + self.log_scales_at(y).exp() * y

    def to_y(self, x: Tensor) -> Tensor:
        """y, (*batch, dim)."""
        return (x - self.place - x @ self.places.mT) * (-self.log_scales_at(x)).exp()

    def log_det(self, x: Tensor) -> Tensor:
        """log |dx/dy|, (*batch,), from x or y."""
        return self.log_scales_at(x).sum(-1)

    def score_to_y(self, y: Tensor, score: Tensor) -> Tensor:
        """grad_y [log p(x(y)) + log |dx/dy|] from the score of p at x, (*batch, dim)."""
        scaled = self.log_scales_at(y).exp() * score
        return scaled + score @ self.places + (y * scaled + 1) @ self.log_scales

    def score_to_x(self, y: Tensor, score: Tensor) -> Tensor:
        """grad_x [log q(y(x)) - log |dx/dy|] from the score of q at y, (*batch, dim)."""
        scaled = (-self.log_scales_at(y)).exp() * score
        return scaled - scaled @ self.places - (y * score + 1) @ self.log_scales
