"""Data in coordinates that a diffusion can model: u with a density on R^k for x of any kind, and back.

    log p(x) = log p(u) + c(x),   c = log |det du/dx|               real, positive, bounded columns; standardisation
    log P(x) >= E_u[ log p(u) + c(u, x) ],   c = -log q(u | x)      ordinal and categorical columns

A value of x that is one of finitely many has a probability and no density. It is spread over a cell of its own by
noise u ~ q(. | x), and P(x) is what p gives to the cell, int_cell p(u) du = E_q[p(u) / q(u | x)]: the mean over the
noise of log p(u) + c is a lower bound of log P(x) (Jensen), that of exp(log p(u) + c) is P(x) itself, so that the log
of its mean over K draws rises to log P(x) with K. One draw alone is neither. Theis, van den Oord and Bethge 2016.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Generator, Tensor

from samplers.generative.columns import Column
from targets.arguments import as_double


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

    @property
    def random(self) -> bool:
        """Whether c is a bound only, by noise that is drawn for columns that have a probability and no density."""
        return False

    @property
    def affine(self) -> tuple[Tensor, Tensor] | None:
        """(shift, L) where x = shift + L u, else None."""
        return None


@dataclass(frozen=True, eq=False)
class Standardisation(Transformation):
    """u = L^-1 (x - shift), c = -log det L.

    shift: (dim,). factor: L, positive numbers (dim,) or lower triangular (dim, dim) with a positive diagonal.
    ValueError for other shapes and values.

        >>> from samplers.generative import Standardisation
        >>> found = Standardisation.of(torch.tensor([0.0, 1.0]), torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        >>> found.inverse(torch.ones(1, 2))
        tensor([[2., 2.]])
    """

    shift: Tensor
    factor: Tensor

    def __post_init__(self) -> None:
        for name in ("shift", "factor"):
            object.__setattr__(self, name, as_double(getattr(self, name), name))
        dim, shape = len(self.shift), tuple(self.factor.shape)
        if self.shift.ndim != 1 or shape not in ((dim,), (dim, dim)):
            raise ValueError(
                f"shift, factor: got shapes {tuple(self.shift.shape)} and {shape}, expected (dim,) and (dim,) or "
                "(dim, dim)"
            )
        if not bool((self._diagonal > 0).all()) or (
            len(shape) == 2 and not torch.equal(self.factor, self.factor.tril())
        ):
            raise ValueError("factor: expected positive numbers, or a lower triangular matrix with a positive diagonal")

    @classmethod
    def of(cls, mean: Tensor, covariance: Tensor, whiten: bool = True) -> Standardisation:
        """By which u has mean zero and unit covariance, or without `whiten` unit variances.

        ValueError for a covariance that is not positive definite: columns of the samples that depend on one another.
        """
        covariance = covariance.double()
        deviation = covariance.diagonal().sqrt()
        if not whiten:
            return cls(mean, deviation)
        factor, info = torch.linalg.cholesky_ex(covariance / deviation / deviation[:, None])
        least = float(factor.diagonal().min()) if int(info) == 0 else 0.0  # of a column, what the others do not explain
        if least < len(mean) * math.sqrt(torch.finfo(torch.float64).eps):
            raise ValueError(
                "samples: got columns that depend linearly on one another, expected none that is a sum of multiples of "
                "others: no density exists; leave them out"
            )
        return cls(mean, deviation[:, None] * factor)

    @property
    def affine(self) -> tuple[Tensor, Tensor]:
        """The fields."""
        return self.shift, self.factor

    @property
    def _diagonal(self) -> Tensor:
        return self.factor.diagonal() if self.factor.ndim == 2 else self.factor

    @property
    def log_det(self) -> float:
        """log det L."""
        return float(self._diagonal.log().sum())

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """L^-1 (x - shift), reckoned in float64, and -log det L."""
        _check_dim(x, len(self.shift), "x")
        centred, factor = x.double() - self.shift.to(x.device), self.factor.to(x.device)
        matrix = factor.ndim == 2
        u = torch.linalg.solve_triangular(factor, centred.mT, upper=False).mT if matrix else centred / factor
        return u.to(x.dtype), u.new_full((len(x),), -self.log_det)

    def inverse(self, u: Tensor) -> Tensor:
        """shift + L u."""
        _check_dim(u, len(self.shift), "u")
        factor, wide = self.factor.to(u.device), u.double()
        x = self.shift.to(u.device) + (wide @ factor.mT if factor.ndim == 2 else wide * factor)
        return x.to(u.dtype)


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
                raise TypeError(f"kinds: got {kind!r}, expected a samplers.generative.Column")

    @property
    def size(self) -> int:
        """The number of columns of u."""
        return sum(kind.size for kind in self.kinds)

    @property
    def random(self) -> bool:
        """Of one kind at least."""
        return any(kind.random for kind in self.kinds)

    def learned(self, x: Tensor, shares: Tensor | None = None) -> Self:
        """With what the kinds take from the training rows x (n, dim) of these weights, (n,) or None for equal ones."""
        self._check(x)
        return type(self)([kind.learned(column, shares) for kind, column in zip(self.kinds, x.mT, strict=True)])

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Column by column."""
        self._check(x)
        parts, total = [], torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for kind, column in zip(self.kinds, x.mT, strict=True):
            u, c = kind.encode(column.double(), generator)
            parts.append(u.to(x.dtype))
            total = total + c
        return torch.cat(parts, -1), total

    def _check(self, x: Tensor) -> None:
        _check_dim(x, len(self.kinds), "x")
        for number, (kind, column) in enumerate(zip(self.kinds, x.mT, strict=True)):
            bad = ~kind.takes(column)
            if not bad.is_meta and bool(bad.any()):
                raise ValueError(
                    f"x: got {float(column[bad][0]):.6g} in column {number}, expected {kind.domain}{kind.hint}"
                )

    def inverse(self, u: Tensor) -> Tensor:
        """Column by column."""
        _check_dim(u, self.size, "u")
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


def _check_dim(x: Tensor, dim: int, argument: str) -> None:
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"{argument}: got shape {tuple(x.shape)}, expected (n, {dim})")
