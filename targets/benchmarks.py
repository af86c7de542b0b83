"""Named benchmark targets: `benchmark(name)`. Every variant that the literature confuses has a name of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from targets import _threefry, datasets
from targets._benchmark import Benchmark
from targets.arguments import did_you_mean
from targets.base import Target
from targets.benchmarks_physics import PHYSICS
from targets.eight_schools import EightSchools
from targets.funnel import Funnel
from targets.gaussian_mixture import GaussianMixture
from targets.logistic_regression import LogisticRegression
from targets.many_well import ManyWell, SquareWell
from targets.rings import CosineRings, NearestRing, Rings
from targets.student_mixture import StudentMixture
from targets.toy import Banana


def benchmark(name: str, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Target:
    """The target of that name, by default in its own dtype on the CPU. `benchmarks()` lists the names.

    Raises KeyError naming the nearest names for an unknown one, ModuleNotFoundError naming the package to install
    for a data set that is not there, FileNotFoundError naming the file and the folder for a file.
    """
    registry = benchmarks()
    if name not in registry:
        hint = did_you_mean(name, registry)
        raise KeyError(f"name: no benchmark {name!r}{hint} targets.benchmarks() lists all {len(registry)}")
    target = registry[name].build()
    target.name = name
    return target.to(device, dtype)


def benchmarks() -> dict[str, Benchmark]:
    """All benchmarks by name."""
    return _REGISTRY | PHYSICS


# Mixtures


def _grid(values: list[float]) -> GaussianMixture:
    axis = torch.tensor(values)
    return GaussianMixture(torch.cartesian_prod(axis, axis), scales=math.sqrt(0.3))


def _grid_unequal() -> GaussianMixture:
    axis = torch.tensor([-5.0, 0.0, 5.0])
    weights = torch.arange(1.0, 10.0) / 45
    return GaussianMixture(torch.cartesian_prod(axis, axis), scales=math.sqrt(0.3), weights=weights)


def _circle(points: int, radius: float, variance: float) -> GaussianMixture:
    angle = 2 * math.pi * torch.arange(points) / points
    return GaussianMixture(radius * torch.stack([angle.cos(), angle.sin()], -1), scales=math.sqrt(variance))


def _two_modes(dim: int) -> GaussianMixture:
    means = torch.stack([torch.full((dim,), -2 / 3), torch.full((dim,), 4 / 3)])
    return GaussianMixture(means, scales=math.sqrt(0.05), weights=[2 / 3, 1 / 3])


def _bach(dim: int, weights: tuple[float, float]) -> GaussianMixture:
    means = torch.stack([torch.full((dim,), -3.0), torch.full((dim,), 3.0)])
    return GaussianMixture(means, scales=1.0, weights=weights)


def _fab_means(seed: int) -> Tensor:
    return 80 * (torch.rand(40, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float32) - 0.5)


def _fab(seed: int) -> GaussianMixture:
    return GaussianMixture(_fab_means(seed), scales=math.log1p(math.e))


def _jax_means(components: int, dim: int, reach: float) -> Tensor:
    """reach * U(-1, 1), drawn as the published code draws it: the range inside the generator or outside by 40."""
    if reach == 40:
        return torch.from_numpy(np.float32(40) * _threefry.uniform(_threefry.key(0), (components, dim), -1, 1))
    return torch.from_numpy(_threefry.uniform(_threefry.key(0), (components, dim), -reach, reach))


def _student_modes(dim: int) -> StudentMixture:
    return StudentMixture(_jax_means(10, dim, 10), dof=2.0)


def _wishart_mixture(dim: int) -> GaussianMixture:
    """Covariances Wishart(dim + 2, I) from legacy NumPy seeds that are drawn from successive splits of key 0."""
    parent, factors = _threefry.key(0), []
    for _ in range(10):
        parent, child = _threefry.split(parent)
        legacy = np.random.RandomState(_threefry.integer(child))
        factor = np.zeros((dim, dim))
        factor[np.tril_indices(dim, -1)] = legacy.normal(size=dim * (dim - 1) // 2)
        for i in range(dim):
            factor[i, i] = math.sqrt(legacy.chisquare(dim + 2 - i))
        factors.append(factor)
    covariances = torch.tensor(np.stack([factor @ factor.T for factor in factors]), dtype=torch.float32)
    return GaussianMixture(_jax_means(10, dim, 10), covariances=covariances)


def _aft() -> GaussianMixture:
    wide, tall, tilted = [[0.7, 0.0], [0.0, 0.05]], [[0.05, 0.0], [0.0, 0.7]], [[1.0, 0.95], [0.95, 1.0]]
    means = [(3.0, 0.0), (-2.5, 0.0), (2.0, 3.0), (0.0, 3.0), (0.0, -2.5), (3.0, 2.0)]
    return GaussianMixture(means, covariances=[wide, wide, tilted, tall, tall, tilted])


def _mixture_well() -> GaussianMixture:
    means = torch.cartesian_prod(torch.tensor([-1.0, 1.0]), torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]))
    return GaussianMixture(means, scales=math.sqrt(0.05), log_z=math.log(10 * 2 * math.pi * 0.05))


def _distant() -> GaussianMixture:
    means = torch.tensor([(0.0, 0.0), (2.0, 0.0), (0.0, 3.0), (-4.0, 0.0), (0.0, -5.0)])
    return GaussianMixture(means, scales=math.sqrt(0.2))


# Posteriors


def _regression(
    data: Callable[[], tuple[np.ndarray, np.ndarray]],
    prepare: Callable[[np.ndarray], np.ndarray],
    prior_scale: float | None,
) -> Callable[[], Target]:
    def build() -> Target:
        features, labels = data()
        return LogisticRegression(
            torch.from_numpy(prepare(features)), torch.from_numpy(labels), prior_scale=prior_scale
        )

    return build


_REGISTRY: dict[str, Benchmark] = {
    "gmm9": Benchmark(lambda: _grid([-5.0, 0.0, 5.0]), "9 equal modes on {-5,0,5}^2, variance 0.3 (PIS and others)"),
    "gmm9-unequal": Benchmark(_grid_unequal, "gmm9 with weights 1..9 over 45"),
    "gmm25": Benchmark(lambda: _grid([-10.0, -5.0, 0.0, 5.0, 10.0]), "25 equal modes on a grid, variance 0.3"),
    "gmm8-circle": Benchmark(lambda: _circle(8, 10.0, 0.7), "8 modes on a circle of radius 10, VARIANCE 0.7 (SLIPS)"),
    "gmm8-circle-small": Benchmark(lambda: _circle(8, 4.0, 0.3), "8 modes on radius 4, variance 0.3 (sde_sampler)"),
    "gmm5-distant": Benchmark(_distant, "5 modes at unequal distances, variance 0.2 (sde_sampler 'dist')"),
    "gmm40-fab": Benchmark(lambda: _fab(0), "40 modes, torch seed 0, std softplus(1) (FAB, iDEM, DiGS: variant A)"),
    "gmm40-sde-sampler": Benchmark(lambda: _fab(42), "40 modes, torch seed 42, std softplus(1) (variant B)"),
    "gmm40-jax": Benchmark(
        lambda: GaussianMixture(_jax_means(40, 2, 40), scales=1.0),
        "40 modes, JAX key 0, std 1 (Beyond-ELBOs: variant C)",
    ),
    "gmm40-jax-d50": Benchmark(
        lambda: GaussianMixture(_jax_means(40, 50, 40), scales=1.0), "40 modes in d = 50, JAX key 0, std 1 (variant C)"
    ),
    "gmm40-cmcd": Benchmark(
        lambda: GaussianMixture(_jax_means(40, 2, 40), scales=math.log1p(math.exp(0.1))),
        "40 modes, JAX key 0, std softplus(0.1) (CMCD: variant D)",
    ),
    "gmm10-wishart": Benchmark(lambda: _wishart_mixture(2), "10 modes, Wishart covariances (Beyond-ELBOs MoG)"),
    "gmm6-aft": Benchmark(_aft, "6 anisotropic modes, symmetrised (AFT 'challenging two-dimensional mixture')"),
    "gmm10-mixture-well": Benchmark(_mixture_well, "10 modes summed without normalisation, log Z 1.14473 (DDS)"),
    "gmm4-1d": Benchmark(
        lambda: GaussianMixture([[-3.0], [0.5], [1.5], [2.5]], scales=[0.5, 0.6, 0.3, 0.4]), "4 modes on the line"
    ),
    **{
        f"mos10-d{d}": Benchmark(
            partial(_student_modes, d),
            f"10 products of Student-t, 2 degrees of freedom, d = {d} (Beyond-ELBOs, SCLD MoS)",
        )
        for d in (2, 10, 50)
    },
    **{
        f"two-modes-d{d}": Benchmark(
            partial(_two_modes, d),
            f"weights 2/3 and 1/3, covariance 0.05 I, d = {d} (SLIPS)",
        )
        for d in (8, 16, 32, 64, 128)
    },
    **{
        f"two-gaussians-d{d}": Benchmark(
            partial(_bach, d, (0.5, 0.5)),
            f"equal modes at -+3 per coordinate, unit covariance, d = {d} (Bach)",
        )
        for d in (2, 8, 32, 128)
    },
    **{
        f"two-gaussians-unequal-d{d}": Benchmark(
            partial(_bach, d, (0.8, 0.2)),
            f"modes at -3 (weight 0.8) and +3 (0.2) per coordinate, unit covariance, d = {d}",
        )
        for d in (2, 8, 32, 128)
    },
    "funnel10-std3": Benchmark(lambda: Funnel(10, 3.0), "Neal's funnel, v has STANDARD DEVIATION 3 (most papers)"),
    "funnel10-std1": Benchmark(lambda: Funnel(10, 1.0), "Neal's funnel, v has standard deviation 1 (PIS)"),
    "funnel10-var3": Benchmark(lambda: Funnel(10, math.sqrt(3)), "Neal's funnel, v has VARIANCE 3 (SLIPS, RDSMC)"),
    "many-well6-fab": Benchmark(lambda: ManyWell(3), "3 asymmetric double-well blocks, log Z 30.880439"),
    "many-well32-fab": Benchmark(lambda: ManyWell(16), "16 asymmetric double-well blocks, log Z 164.695675 (FAB)"),
    "many-well64-fab": Benchmark(lambda: ManyWell(32), "32 asymmetric double-well blocks, log Z 329.391351"),
    "double-well1-delta2": Benchmark(lambda: SquareWell(1, delta=2.0), "-(x^2 - 2)^2, log Z 0.2930017"),
    "double-well1-delta4": Benchmark(lambda: SquareWell(1, delta=4.0), "-(x^2 - 4)^2, log Z -0.1082111"),
    "many-well5-delta4": Benchmark(
        lambda: SquareWell(5, delta=4.0), "32 equal modes, log Z -0.5410555 (MW 5-d, '554')"
    ),
    "many-well50-delta2": Benchmark(
        lambda: SquareWell(5, 50, 2.0), "5 wells and 45 Gaussian coordinates, log Z 42.8172427 (MW 50-d)"
    ),
    "rings3-nearest": Benchmark(NearestRing, "radii 1, 3, 5, sharpness 100, log Z 2.3048815 (PIS, sde_sampler)"),
    "rings4-slips": Benchmark(Rings, "radius from 4 Gaussians, std 0.15, normalised (SLIPS, RDSMC)"),
    "rings4-dds": Benchmark(
        lambda: Rings([0.5, 1.0, 1.5, 2.0], 0.075, jacobian=False), "toy rings of DDS, not normalised in the plane"
    ),
    "rings-cosine": Benchmark(CosineRings, "concentric rings, log Z 6.69228 (Beyond-ELBOs)"),
    "banana": Benchmark(Banana, "x_1 bent along x_0^2, scale 10, curvature 0.03 (TFP inference gym)"),
    "eight-schools": Benchmark(EightSchools, "eight schools, non-centred, log evidence -31.311348"),
    "eight-schools-centred": Benchmark(lambda: EightSchools(centred=True), "eight schools, centred: a funnel"),
    "sonar": Benchmark(
        _regression(datasets.sonar, datasets.standardised, 1.0),
        "logistic regression, d = 61, prior N(0, I)",
        (-108.39, 0.04),
    ),
    "ionosphere": Benchmark(
        _regression(datasets.ionosphere, datasets.standardised, 1.0),
        "logistic regression, d = 34, prior N(0, I); the same log Z as with the constant column (d = 35)",
        (-111.63, 0.02),
    ),
    "credit-wide-prior": Benchmark(
        _regression(datasets.german_credit, datasets.scaled, 10.0),
        "logistic regression, d = 25, columns not centred, prior N(0, 10^2 I)",
        (-585.10, 0.01),
    ),
    "credit-unit-prior": Benchmark(
        _regression(datasets.german_credit, datasets.scaled, 1.0),
        "logistic regression, d = 25, columns not centred, prior N(0, I)",
        (-531.28, 0.01),
    ),
    "credit-no-prior": Benchmark(
        _regression(datasets.german_credit, datasets.scaled, None),
        "logistic regression, d = 25, columns not centred, NO prior (what Beyond-ELBOs and SCLD sample)",
        (-504.488, 0.003),
    ),
    "cancer-wide-prior": Benchmark(
        _regression(datasets.breast_cancer, datasets.scaled, 10.0),
        "logistic regression, d = 31, columns not centred, prior N(0, 10^2 I)",
        (-77.9, 0.5),
    ),
}
