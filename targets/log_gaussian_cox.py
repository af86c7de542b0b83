"""The log-Gaussian Cox process: points whose intensity is the exponential of a Gaussian field."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from targets.arguments import as_double, check_integer, floating_dtype, positive
from targets.base import Target, Variable
from targets.gaussian import Gaussian


class LogGaussianCox(Target):
    """Posterior of the log-intensity f on an M x M grid of cells of the unit square, given counts y of points.

        f ~ N(mean 1, K),   K_ab = variance exp(-|a - b| / length_scale),   y_a ~ Poisson(area exp(f_a)),   area = 1/M^2
        log p(f) = log N(f; mean 1, K) + sum_a [ y_a f_a - area exp(f_a) ],     the term -log y_a! is left out
        score = -K^-1 (f - mean) + y - area exp(f)

    |a - b| is the distance of cell centres. Either `points` (n, 2) in the unit square, binned as
    (floor(M x), floor(M y)) with M = `grid`, 40 by default, or `counts` (M, M). `mean` is log(n) - variance/2 by
    default, so that n points are expected a priori. dim = M^2, and dim^2 entries of a precision matrix are kept.
    Known: `prior`, a `Gaussian` with exact draws. Moller, Syversveen and Waagepetersen 1998 (the parameters),
    https://doi.org/10.1111/1467-9469.00115.

    dtype, name: as of `Target`. ValueError unless one of points and counts is given, and for points outside of the
    square.

        >>> process = targets.LogGaussianCox(counts=torch.ones(4, 4))
        >>> process.dim, round(process.prior.mean[0].item(), 4)
        (16, 1.8176)
    """

    def __init__(
        self,
        points: Any = None,
        *,
        counts: Any = None,
        grid: int | None = None,
        mean: float | None = None,
        variance: float = 1.91,
        length_scale: float = 1 / 33,
        dtype: torch.dtype | None = None,
        name: str | None = None,
    ) -> None:
        if (points is None) == (counts is None):
            raise ValueError("points, counts: expected exactly one of them")
        if points is not None:
            dtype = floating_dtype(points) if dtype is None else dtype
            counts64 = _binned(as_double(points, "points"), 40 if grid is None else grid)
        else:
            if grid is not None:
                raise ValueError("grid: got it beside counts, whose shape says how many cells there are")
            dtype = floating_dtype(counts) if dtype is None else dtype
            counts64 = as_double(counts, "counts")
        if counts64.ndim != 2 or counts64.shape[0] != counts64.shape[1]:
            raise ValueError(f"counts: got shape {tuple(counts64.shape)}, expected (M, M)")
        if bool(((counts64 < 0) | (counts64 != counts64.round())).any()):
            raise ValueError("counts: got values that are no counts, expected integers of at least 0")
        self.grid = len(counts64)
        super().__init__(self.grid**2, dtype=dtype, device=counts64.device, name=name)
        self.variance, self.length_scale = positive(variance, "variance"), positive(length_scale, "length_scale")
        if mean is None:
            total = float(counts64.sum())
            if total == 0:
                raise ValueError("counts: got no point at all, expected at least one, or mean= given")
            mean = math.log(total) - self.variance / 2
        self.prior_mean, self.area = float(mean), 1 / self.grid**2
        self._exact = {"counts": counts64.flatten()}
        self._place()
        centre = torch.full((self.dim,), self.prior_mean, dtype=torch.float64, device=self.device)
        self._prior = Gaussian(centre, covariance=self._covariance(), name=f"{self.name} prior").to(dtype=dtype)

    def _place(self) -> None:
        self._counts = self._exact["counts"].to(device=self.device, dtype=self.dtype)

    def _covariance(self) -> Tensor:
        axis = torch.arange(self.grid, dtype=torch.float64, device=self.device) / self.grid
        cells = torch.cartesian_prod(axis, axis).reshape(-1, 2)
        difference = cells[:, None] - cells
        return self.variance * (-difference.square().sum(-1).sqrt() / self.length_scale).exp()

    @property
    def counts(self) -> Tensor:
        """Numbers of points, (M, M)."""
        return self._counts.reshape(self.grid, self.grid)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """The log-likelihood alone without the term -log y!, (*batch, dim) -> (*batch,)."""
        self._check(x)
        return x @ self._counts - self.area * x.exp().sum(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_likelihood(x) + self._prior.log_prob(x)

    def log_likelihood_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        expected = self.area * x.exp()
        return x @ self._counts - expected.sum(-1), self._counts - expected

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = self._prior.log_prob_and_score(x)
        likelihood, pull = self.log_likelihood_and_score(x)
        return value + likelihood, score.add_(pull)

    @property
    def prior(self) -> Gaussian:
        return self._prior

    @property
    def variables(self) -> dict[str, Variable]:
        return {"log_intensity": Variable((self.grid, self.grid), ("x_cell", "y_cell"))}

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return {"log_intensity": x.reshape(*x.shape[:-1], self.grid, self.grid)}


def _binned(points: Tensor, grid: int) -> Tensor:
    check_integer(grid, "grid")
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points: got shape {tuple(points.shape)}, expected (n, 2)")
    if bool(((points < 0) | (points > 1)).any()):
        raise ValueError("points: got coordinates outside of [0, 1], expected points in the unit square")
    cell = (points * grid).floor().long().clamp_max(grid - 1)
    return torch.bincount(cell[:, 0] * grid + cell[:, 1], minlength=grid**2).reshape(grid, grid).double()
