"""Columns of integers whose order means something, and the logit of one that is spread over its cell.

Ordinal    x + U, U ~ U(0, 1), as Bounded(low, high + 1)         c as there: q = 1 on the cell [x, x + 1)
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.generative.columns import Bounded, Column, needed
from targets.arguments import check_integer

GRID = 2.0**32  # the uniform noise has as many values, the centres of equal parts: none is an end of the cell


@dataclass(frozen=True)
class Integers(Column):
    """Integers from low to high. ValueError unless both are integers, low < high."""

    low: int
    high: int

    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        least = check_integer(self.low, "low", -(2**31))
        check_integer(self.high, "high", least + 1)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.high - self.low + 1

    @property
    def domain(self) -> str:
        """An integer between the ends."""
        return f"an integer from {self.low} to {self.high}"

    @abstractmethod
    def edges(self, like: Tensor) -> Tensor:
        """Where one cell ends in u and the next begins, (count - 1,) in float64 on the device of `like`."""

    @abstractmethod
    def middle(self, x: Tensor) -> Tensor:
        """The u in the middle, by the law of the noise, of the cell of each x (n,); in float64."""

    def takes(self, x: Tensor) -> Tensor:
        """The integers."""
        return (x >= self.low) & (x <= self.high) & (x == x.round())


class Ordinal(Integers):
    """Integers from low to high, whose order means something: uniform dequantisation into [x, x + 1), then the logit.

    log p(u) + c has a mean over the noise that is a lower bound of log P(x), tight only for a density that is constant
    on the cell. Uria, Murray and Larochelle 2013, https://arxiv.org/abs/1306.0186; Theis, van den Oord and Bethge 2016,
    https://arxiv.org/abs/1511.01844.

    low, high: the least and the greatest. ValueError unless they are integers, low < high.

        >>> from samplers.generative import Ordinal
        >>> kind = Ordinal(0, 255)
        >>> u, c = kind.encode(torch.tensor([7.0]).double(), torch.Generator().manual_seed(0))
        >>> kind.decode(u)
        tensor([7.], dtype=torch.float64)
    """

    @property
    def _bounded(self) -> Bounded:
        return Bounded(float(self.low), float(self.high + 1))

    def edges(self, like: Tensor) -> Tensor:
        """The logits of the integers between the ends."""
        inner = torch.arange(self.low + 1, self.high + 1, dtype=torch.float64, device=like.device)
        return self._bounded.encode(inner, None)[0][:, 0]

    def middle(self, x: Tensor) -> Tensor:
        """The logit of x + 1/2."""
        return self._bounded.encode(x.double() + 0.5, None)[0][:, 0]

    def encode(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """The logit of x + U."""
        return self._bounded.encode(x + within_cells(x, generator), None)

    def decode(self, u: Tensor) -> Tensor:
        """The integer of the cell."""
        return self._bounded.decode(u.double()).floor().clamp(self.low, self.high).to(u.dtype)  # beyond by rounding


def within_cells(x: Tensor, generator: Generator | None) -> Tensor:
    """A uniform place in (0, 1) for each of x, in float64; ValueError without a generator."""
    whole = (torch.rand(x.shape, generator=needed(generator), dtype=torch.float64, device=x.device) * GRID).floor()
    return (whole + 0.5) / GRID
