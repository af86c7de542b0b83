"""Data in coordinates that a diffusion can model: u with a density on R^k for x of any kind, and back.

    log p(x) = log p(u) + c(x),   c = log |det du/dx|               real, positive, bounded columns; standardisation
    log P(x) >= E_u[ log p(u) + c(u, x) ],   c = -log q(u | x)      ordinal and categorical columns

A value of x that is one of finitely many has a probability and no density. It is spread over a cell of its own by
noise u ~ q(. | x), and P(x) is what p gives to the cell, int_cell p(u) du = E_q[p(u) / q(u | x)]: the mean over the
noise of log p(u) + c is a lower bound of log P(x) (Jensen), that of exp(log p(u) + c) is P(x) itself, so that the log
of its mean over K draws rises to log P(x) with K. One draw alone is neither. Theis, van den Oord and Bethge 2016.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Generator, Tensor

from samplers.generative.columns import Column
from targets.arguments import shown


class Transformation(ABC):
    """x (n, dim) -> u (n, k), and back.

    A subclass writes `forward` and `inverse`.

        >>> from samplers.generative import Standardisation
        >>> Standardisation([1.0], [2.0]).forward(torch.tensor([[5.0]]))
        (tensor([[2.]]), tensor([-0.6931], dtype=torch.float64))
    """

    @abstractmethod
    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """u in the dtype of x, and c (n,) in float64; generator: of the noise, where there is some."""

    @abstractmethod
    def inverse(self, u: Tensor) -> Tensor:
        """x, (n, dim), in the dtype of u."""

    def seen(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """u alone, for training, where c costs something."""
        return self.forward(x, generator)[0]

    def draw(self, u: Tensor, generator: Generator) -> Tensor:
        """x given u, drawn where u does not tell all of it; else `inverse`."""
        del generator
        return self.inverse(u)

    @property
    def random(self) -> bool:
        """Whether c is a bound only, by noise that is drawn for columns that have a probability and no density."""
        return False

    @property
    def affine(self) -> tuple[Tensor, Tensor] | None:
        """(shift, L) where x = shift + L u, else None."""
        return None


@dataclass(frozen=True)
class Columns(Transformation):
    """Each column of x by its kind, from `samplers.generative.columns`; c is the sum of theirs.

    kinds: one for each column. u has their `size` columns each, one after the other. ValueError for values that a kind
    does not take, and for a kind that draws noise without a generator.

        >>> from samplers.generative import Bounded, Columns, Real
        >>> Columns([Real(), Bounded(0.0, 2.0)]).forward(torch.tensor([[3.0, 1.0]]))
        (tensor([[3., 0.]]), tensor([0.6931], dtype=torch.float64))
    """

    kinds: Sequence[Column]

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
        for kind in self.kinds:
            if not isinstance(kind, Column):
                raise TypeError(f"kinds: got {shown(kind)}, expected a samplers.generative.Column")

    @property
    def size(self) -> int:
        """The number of columns of u."""
        return sum(kind.size for kind in self.kinds)

    @property
    def random(self) -> bool:
        """Of one kind at least."""
        return any(kind.random for kind in self.kinds)

    def learned(self, x: Tensor, shares: Tensor | None = None) -> Self:
        """With what the kinds take from the training rows x (n, dim) of these weights, (n,) or None for equal ones.
        ValueError for rows of another number of columns."""
        if x.shape[-1] != len(self.kinds):
            raise ValueError(f"columns: got {len(self.kinds)} kinds, expected {x.shape[-1]}, one for each column")
        self.check(x)
        return type(self)([kind.learned(column, shares) for kind, column in zip(self.kinds, x.mT, strict=True)])

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Column by column."""
        self.check(x)
        parts, total = [], torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for kind, column in zip(self.kinds, x.mT, strict=True):
            u, c = kind.encode(column.double(), generator)
            parts.append(u.to(x.dtype))
            total = total + c
        return torch.cat(parts, -1), total

    def check(self, x: Tensor) -> None:
        """ValueError for values that a kind does not take."""
        check_dim(x, len(self.kinds), "x")
        for number, (kind, column) in enumerate(zip(self.kinds, x.mT, strict=True)):
            bad = ~kind.takes(column)
            if not bad.is_meta and bool(bad.any()):
                raise ValueError(
                    f"x: got {float(column[bad][0]):.6g} in column {number}, expected {kind.domain}{kind.hint}"
                )

    def inverse(self, u: Tensor) -> Tensor:
        """Column by column."""
        check_dim(u, self.size, "u")
        parts = u.split([kind.size for kind in self.kinds], -1)
        return torch.stack([kind.decode(part) for kind, part in zip(self.kinds, parts, strict=True)], -1)


@dataclass(frozen=True)
class Chain(Transformation):
    """One transformation after the other; c is the sum of theirs.

    parts: in the order of `forward`.

        >>> from samplers.generative import Chain, Columns, Positive, Standardisation
        >>> both = Chain([Columns([Positive()]), Standardisation([0.0], [2.0])])
        >>> both.inverse(both.forward(torch.tensor([[3.0]]))[0])
        tensor([[3.]])
    """

    parts: Sequence[Transformation]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """From the first to the last."""
        total: Any = 0.0
        for part in self.parts:
            x, c = part.forward(x, generator)
            total = total + c
        return x, total

    def seen(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Likewise."""
        for part in self.parts:
            x = part.seen(x, generator)
        return x

    def draw(self, u: Tensor, generator: Generator) -> Tensor:
        """From the last to the first."""
        for part in reversed(self.parts):
            u = part.draw(u, generator)
        return u

    @property
    def random(self) -> bool:
        """Of one part at least."""
        return any(part.random for part in self.parts)

    @property
    def affine(self) -> tuple[Tensor, Tensor] | None:
        """That of a single part, as two are not needed."""
        return self.parts[0].affine if len(self.parts) == 1 else None

    def inverse(self, u: Tensor) -> Tensor:
        """From the last to the first."""
        for part in reversed(self.parts):
            u = part.inverse(u)
        return u


def check_dim(x: Tensor, dim: int, argument: str) -> None:
    """ValueError unless x is (n, dim)."""
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"{argument}: got shape {tuple(x.shape)}, expected (n, {dim})")
