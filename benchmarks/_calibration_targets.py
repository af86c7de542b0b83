"""The targets of the calibration benchmark: exact log Z, all of them blind, none normalised.

A sampler is given density and score alone (`Scaled`), times a constant that differs from target to target.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from _calibration_densities import flat_top, laplace, light_and_heavy, rosenbrock, shell, student
from _calibration_posteriors import cauchy_location, dirichlet, gaussian_process, rates, regression, shares
from scouts import Hidden, far_and_narrow, wide_and_narrow
from torch import Tensor

import targets
from targets import Gaussian, GaussianMixture, StudentMixture, benchmark


@dataclass(frozen=True)
class Case:
    """A target by name: of which kind, how it is built; of two modes one of which is narrow: its sd, how far, its mass.

    narrow: (sd, distance, mass) where the mode is so narrow that no search can be expected to find it, else None.
    """

    name: str
    kind: str
    build: Callable[[], targets.Target]
    narrow: tuple[float, float, float] | None = None

    @property
    def log_scale(self) -> float:
        """The log of the constant that the density is multiplied by, from 5 to 35, made from the name."""
        return 5 + zlib.crc32(self.name.encode()) % 3001 / 100


class Scaled(Hidden):
    """log p + log_scale and the score, and no more."""

    def __init__(self, inner: targets.Target, log_scale: float) -> None:
        super().__init__(inner)
        self.log_scale = log_scale

    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x) + self.log_scale

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = super().log_prob_and_score(x)
        return value + self.log_scale, score


def _zeros(dim: int) -> Tensor:
    return torch.zeros(dim, dtype=torch.float64)


def _scales(dim: int, narrowest: float, widest: float) -> targets.Target:
    return Gaussian(_zeros(dim) + 1, torch.logspace(0, 1, dim, widest / narrowest, dtype=torch.float64) * narrowest)


def _autoregressive(dim: int, correlation: float) -> targets.Target:
    at = torch.arange(dim, dtype=torch.float64)
    return Gaussian(_zeros(dim), covariance=correlation ** (at[:, None] - at).abs())


def _equicorrelated(dim: int, correlation: float) -> targets.Target:
    eye, ones = torch.eye(dim, dtype=torch.float64), torch.ones(dim, dim, dtype=torch.float64)
    return Gaussian(_zeros(dim), covariance=(1 - correlation) * eye + correlation * ones)


def _students(dim: int, dof: float) -> targets.Target:
    return StudentMixture(_zeros(dim)[None], dof=dof)


def _two_students() -> targets.Target:
    return StudentMixture(torch.stack([_zeros(4), _zeros(4) + 6]), dof=3.0, weights=[0.8, 0.2])


def _ising(side: int) -> targets.Target:
    return targets.Ising((side, side), coupling=0.4, dtype=torch.float64).relaxed()


def _two_modes(dim: int, distance: float, sd: float, weight: float) -> targets.Target:
    """N(0, I) and, `distance` along the first axis, N(., sd^2 I) with that weight."""
    means = torch.stack([_zeros(dim), _zeros(dim)])
    means[1, 0] = distance
    return GaussianMixture(means, scales=torch.tensor([1.0, sd]).double(), weights=[1 - weight, weight])


def _four_modes() -> targets.Target:
    """Four Gaussians some 13 apart, of sd 1, 0.5, 0.8 and 0.3: from nearly everywhere the widest ones dominate."""
    means = 3 * torch.randn(4, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    sds = torch.tensor([1.0, 0.5, 0.8, 0.3]).double()
    return GaussianMixture(means, scales=sds, weights=[0.45, 0.3, 0.15, 0.1])


def _narrow(dim: int, distance: float, sd: float, weight: float = 0.5) -> Case:
    name = f"narrow: sd {sd:g} at {distance:g}, d = {dim}"
    return Case(name, "narrow mode", partial(_two_modes, dim, distance, sd, weight), (sd, distance, weight))


def _named(kind: str, *names: str) -> list[Case]:
    return [Case(name, kind, partial(benchmark, name)) for name in names]


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("gaussian-sd-0.01-to-10, d = 20", "ridge", partial(_scales, 20, 0.01, 10.0)),
        Case("gaussian-autoregressive-0.95, d = 16", "ridge", partial(_autoregressive, 16, 0.95)),
        Case("gaussian-equicorrelated-0.99, d = 50", "ridge", partial(_equicorrelated, 50, 0.99)),
        Case("gaussian-correlation-0.998, d = 2", "ridge", partial(_equicorrelated, 2, 0.998)),
        *_named("many modes", "gmm9", "gmm9-unequal", "gmm40-jax", "gmm40-jax-d50", "gmm10-wishart", "two-modes-d32"),
        *_named("many modes", "two-gaussians-unequal-d8", "many-well5-delta4", "many-well32-fab"),
        *_named("many modes", "many-well50-delta2", "prinz"),
        Case("double-well, d = 2", "many modes", lambda: targets.DoubleWell(3.0, 0.5, dtype=torch.float64)),
        Case("half N(0, 1), half N(20, 0.1^2)", "many modes", far_and_narrow),
        Case("sd 1 at -2.5, sd 0.3 at 2.5, d = 8", "many modes", wide_and_narrow),
        Case("four sds from 0.3 to 1, d = 16", "many modes", _four_modes),
        *_named("funnel", "funnel10-std1", "funnel10-var3", "funnel10-std3"),
        *_named("funnel", "eight-schools", "eight-schools-centred"),
        Case("student-product-2, d = 10", "heavy tails", partial(_students, 10, 2.0)),
        Case("student-product-3, d = 10", "heavy tails", partial(_students, 10, 3.0)),
        Case("student-product-5, d = 20", "heavy tails", partial(_students, 20, 5.0)),
        Case("student-elliptical-3, d = 10", "heavy tails", partial(student, 10, 3.0)),
        Case("cauchy-product, d = 2", "heavy tails", partial(_students, 2, 1.0)),
        Case("two students, 3 degrees, d = 4", "heavy tails", _two_students),
        *_named("heavy tails", "mos10-d10"),
        Case("light-and-heavy, d = 6", "heavy tails", light_and_heavy),
        Case("laplace, d = 10", "other shapes", laplace),
        Case("flat-top, d = 5", "other shapes", flat_top),
        Case("log-exponential, d = 10", "other shapes", lambda: targets.LogExponential(10, dtype=torch.float64)),
        Case("rosenbrock, d = 5", "ridge", rosenbrock),
        Case("shell, d = 10", "ridge", shell),
        *_named("ridge", "banana", "rings3-nearest", "rings-cosine"),
        Case("ising-relaxed-4x4", "spins and fields", partial(_ising, 4)),
        Case("ising-relaxed-8x8", "spins and fields", partial(_ising, 8)),
        Case(
            "phi4-chain, 16 sites",
            "spins and fields",
            lambda: targets.PhiFourChain(16, b=0.005, dtype=torch.float64),
        ),
        *_named("spins and fields", "phi4-lattice-4x8-open"),
        Case("linear-regression, d = 7", "posterior", regression),
        Case("gaussian-process, d = 20", "posterior", gaussian_process),
        Case("dirichlet, d = 6", "posterior", dirichlet),
        Case("rates, d = 5", "posterior", rates),
        Case("shares, d = 4", "posterior", shares),
        Case("cauchy-location, d = 1", "posterior", cauchy_location),
        _narrow(1, 20.0, 0.01),
        _narrow(1, 20.0, 0.001),
        _narrow(1, 20.0, 1e-5),
        _narrow(1, 50.0, 0.1),
        _narrow(1, 200.0, 0.1),
        _narrow(1, 2000.0, 1.0),
        _narrow(8, 5.0, 0.1),
        _narrow(8, 20.0, 0.3),
        _narrow(8, 40.0, 0.1),
        _narrow(32, 10.0, 0.3),
        _narrow(32, 30.0, 0.1),
    )
}
