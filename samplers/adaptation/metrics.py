"""Metrics: an inverse mass matrix C = L L' as the products that kernels take with it.

    diagonal   C = diag(v),                              L = diag(v)^(1/2)
    dense      C,                                        L lower triangular
    low-rank   C = D (I + U (diag(a) - I) U') D,         L = D (I + U (diag(a)^(1/2) - I) U'),   D diagonal, U'U = I

Products with a low-rank metric of k directions in d dimensions take O(d k) operations a row; nothing of d x d is made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from samplers.draws.brief import Brief

ORTHONORMAL = 64.0  # times the square root of the rounding unit, by which U'U may differ from I


class Metric(ABC):
    """C = L L' of a target in `dim` dimensions; all products take and give rows, (n, dim)."""

    dim: int

    @abstractmethod
    def sqrt(self, z: Tensor) -> Tensor:
        """L z: from whitened coordinates to x."""

    @abstractmethod
    def sqrt_transposed(self, score: Tensor) -> Tensor:
        """L' s: the score with respect to z."""

    @abstractmethod
    def whiten(self, x: Tensor) -> Tensor:
        """L^-1 x."""

    @abstractmethod
    def whiten_transposed(self, z: Tensor) -> Tensor:
        """L^-T z."""

    @property
    @abstractmethod
    def log_det(self) -> Tensor:
        """log det C, a scalar in float64."""

    @abstractmethod
    def to(self, device: Any, dtype: torch.dtype) -> Self:
        """The same on another device, in another dtype."""

    def apply(self, score: Tensor) -> Tensor:
        """C s."""
        return self.sqrt(self.sqrt_transposed(score))

    def solve(self, x: Tensor) -> Tensor:
        """C^-1 x."""
        return self.whiten_transposed(self.whiten(x))


class Diagonal(Metric):
    """C = diag(variances). ValueError for variances that are not positive."""

    def __init__(self, variances: Tensor) -> None:
        if not bool((variances > 0).all()):
            raise ValueError("inverse_mass_matrix: got values that are not positive, expected variances")
        self._take(variances.sqrt())

    def _take(self, factor: Tensor) -> None:
        self.factor, self.dim = factor, len(factor)

    def sqrt(self, z: Tensor) -> Tensor:
        return z * self.factor

    def sqrt_transposed(self, score: Tensor) -> Tensor:
        return score * self.factor

    def whiten(self, x: Tensor) -> Tensor:
        return x / self.factor

    def whiten_transposed(self, z: Tensor) -> Tensor:
        return z / self.factor

    @property
    def log_det(self) -> Tensor:
        return 2 * self.factor.double().log().sum()

    def to(self, device: Any, dtype: torch.dtype) -> Self:
        made = object.__new__(type(self))
        made._take(self.factor.to(device, dtype))
        return made


class Dense(Diagonal):
    """C a matrix (dim, dim), by its Cholesky factor. ValueError where it has none."""

    def __init__(self, matrix: Tensor) -> None:
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info) != 0:
            raise ValueError("inverse_mass_matrix: got a matrix that is not positive definite")
        self._take(factor)

    def sqrt(self, z: Tensor) -> Tensor:
        return z @ self.factor.mT

    def sqrt_transposed(self, score: Tensor) -> Tensor:
        return score @ self.factor

    def whiten(self, x: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor, x.mT, upper=False).mT

    def whiten_transposed(self, z: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor.mT, z.mT, upper=True).mT

    @property
    def log_det(self) -> Tensor:
        return 2 * self.factor.diagonal().double().log().sum()


@dataclass(frozen=True, eq=False, repr=False)
class LowRank(Metric, Brief):
    """C = D (I + U (diag(a) - I) U') D, for `inverse_mass_matrix=`: a diagonal metric, and directions where it is off.

    scales: the diagonal of D, (dim,), in the units of x. directions: U, (dim, k), orthonormal columns. values: a, (k,),
    by how much C is larger or smaller along them than D D. Kernels find one in the warmup with `metric="low-rank"`
    (`samplers.adaptation.fisher`). Its products take O(dim k) operations. ValueError for shapes that do not fit one
    another, scales or values that are not positive, and columns that are not orthonormal. Seyboldt, Carlson and
    Carpenter 2026, https://arxiv.org/abs/2603.18845.

        >>> from samplers.adaptation.metrics import LowRank
        >>> along = torch.ones(4, 1) / 2
        >>> metric = LowRank(torch.ones(4), along, torch.tensor([100.0]))
        >>> metric, metric.apply(along.mT)
        (LowRank(dim=4, rank=1), tensor([[50., 50., 50., 50.]]))
        >>> samplers.HMC(0.5, metric)
        HMC(step_size=0.5, inverse_mass_matrix=LowRank(dim=4, rank=1))
    """

    scales: Tensor
    directions: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        scales, directions, values = self.scales, self.directions, self.values
        dim, rank = scales.numel(), values.numel()
        shapes = tuple(tuple(one.shape) for one in (scales, directions, values))
        if shapes != ((dim,), (dim, rank), (rank,)):
            raise ValueError(
                "scales, directions, values: got shapes {}, {}, {}, expected (dim,), (dim, k), (k,)".format(*shapes)
            )
        for argument, given in (("scales", scales), ("values", values)):
            if not bool(((given > 0) & given.isfinite()).all()):
                raise ValueError(f"{argument}: got values that are not positive and finite")
        off = directions.mT @ directions - torch.eye(rank, dtype=directions.dtype, device=directions.device)
        if rank and not float(off.abs().max()) < ORTHONORMAL * torch.finfo(directions.dtype).eps ** 0.5:
            raise ValueError("directions: got columns that are not orthonormal, expected U'U = I")

    @classmethod
    def from_eigen(cls, scales: Tensor, directions: Tensor, values: Tensor, cutoff: float) -> Self:
        """With those of the directions alone whose value is outside [1 / cutoff, cutoff]."""
        kept = (values > cutoff) | (values < 1 / cutoff)
        return cls(scales, directions[:, kept].contiguous(), values[kept])

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Of x."""
        return len(self.scales)

    @property
    def rank(self) -> int:
        """How many directions there are."""
        return len(self.values)

    @property
    def dtype(self) -> torch.dtype:
        """Of its tensors."""
        return self.scales.dtype

    @property
    def device(self) -> torch.device:
        """Of its tensors."""
        return self.scales.device

    @cached_property
    def _longer(self) -> Tensor:
        return self.directions * (self.values.sqrt() - 1)

    @cached_property
    def _shorter(self) -> Tensor:
        return self.directions * (self.values.rsqrt() - 1)

    def sqrt(self, z: Tensor) -> Tensor:
        return (z + (z @ self.directions) @ self._longer.mT) * self.scales

    def sqrt_transposed(self, score: Tensor) -> Tensor:
        scaled = score * self.scales
        return scaled + (scaled @ self.directions) @ self._longer.mT

    def whiten(self, x: Tensor) -> Tensor:
        scaled = x / self.scales
        return scaled + (scaled @ self.directions) @ self._shorter.mT

    def whiten_transposed(self, z: Tensor) -> Tensor:
        return (z + (z @ self.directions) @ self._shorter.mT) / self.scales

    @property
    def log_det(self) -> Tensor:
        return 2 * self.scales.double().log().sum() + self.values.double().log().sum()

    def to(self, device: Any, dtype: torch.dtype) -> Self:
        made = object.__new__(type(self))  # what was checked stays so, up to rounding; a device without values has none
        for name, value in self.tensors().items():
            object.__setattr__(made, name, value.to(device, dtype))
        return made

    def dense(self) -> Tensor:
        """C as a matrix, (dim, dim)."""
        return self.apply(torch.eye(self.dim, dtype=self.dtype, device=self.device))

    def tensors(self) -> dict[str, Tensor]:
        """The three fields by name, as checkpoints hold them."""
        return {"scales": self.scales, "directions": self.directions, "values": self.values}

    def tolist(self) -> dict[str, Any]:
        """The three fields as lists, for records."""
        return {name: value.tolist() for name, value in self.tensors().items()}

    def __repr__(self) -> str:
        return f"LowRank(dim={self.dim}, rank={self.rank})"


def metric_of(matrix: Tensor | LowRank) -> Metric:
    """The metric of a field `inverse_mass_matrix` that holds one: (dim,), (dim, dim) or low-rank."""
    if isinstance(matrix, LowRank):
        return matrix
    return Diagonal(matrix) if matrix.ndim == 1 else Dense(matrix)


def kept(matrix: Any) -> Any:
    """Such a field, or any other value, as a checkpoint holds it: tensors, words and numbers."""
    return matrix.tensors() if isinstance(matrix, LowRank) else matrix


def from_kept(saved: Any, device: Any = None) -> Any:
    """What `kept` was given, its tensors on a device where one is named."""
    if isinstance(saved, dict):
        return LowRank(**{name: from_kept(value, device) for name, value in saved.items()})
    return saved.to(device) if isinstance(saved, Tensor) and device is not None else saved
