"""Samples of mean zero and of unit variances, or of unit covariance: the affine transformation of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.generative.transformations import Transformation, check_dim
from targets.arguments import as_double


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
        check_dim(x, len(self.shift), "x")
        centred, factor = x.double() - self.shift.to(x.device), self.factor.to(x.device)
        matrix = factor.ndim == 2
        u = torch.linalg.solve_triangular(factor, centred.mT, upper=False).mT if matrix else centred / factor
        return u.to(x.dtype), u.new_full((len(x),), -self.log_det)

    def inverse(self, u: Tensor) -> Tensor:
        """shift + L u."""
        check_dim(u, len(self.shift), "u")
        factor, wide = self.factor.to(u.device), u.double()
        x = self.shift.to(u.device) + (wide @ factor.mT if factor.ndim == 2 else wide * factor)
        return x.to(u.dtype)
