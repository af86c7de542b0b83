"""Hypothesis strategies: targets with exact draws, and kernels with their hyper-parameters."""

from __future__ import annotations

import math
from typing import Any

import torch
from hypothesis import strategies as st

from samplers.kernels import HMC, MALA, Kernel, PreconditionedKernel, RandomWalkMetropolis
from targets import Banana, Funnel, Gaussian, GaussianMixture, LogExponential, Product, StudentMixture, Target

__all__ = ["gaussian_mixtures", "gaussians", "kernels", "step_sizes", "targets"]


def step_sizes(low: float = 0.01, high: float = 1.0) -> st.SearchStrategy[float]:
    """Step sizes for targets of unit scale."""
    return st.floats(low, high, allow_nan=False)


def _tensors(shape: tuple[int, ...], low: float, high: float) -> st.SearchStrategy[torch.Tensor]:
    size = math.prod(shape)
    numbers = st.lists(st.floats(low, high, width=32), min_size=size, max_size=size)
    return numbers.map(lambda values: torch.tensor(values, dtype=torch.float64).reshape(shape))


@st.composite
def gaussians(draw: Any, most_dim: int = 4) -> Gaussian:
    """Gaussians with any mean and a well-conditioned covariance."""
    dim = draw(st.integers(1, most_dim))
    factor = torch.eye(dim, dtype=torch.float64) + draw(_tensors((dim, dim), -0.375, 0.375)).tril(-1)
    return Gaussian(draw(_tensors((dim,), -3, 3)), covariance=factor @ factor.mT)


@st.composite
def gaussian_mixtures(draw: Any, most_dim: int = 4, most_components: int = 5) -> GaussianMixture:
    """Mixtures with unequal weights and isotropic, diagonal or full covariances."""
    dim, components = draw(st.integers(1, most_dim)), draw(st.integers(1, most_components))
    means = draw(_tensors((components, dim), -4, 4))
    weights = draw(_tensors((components,), 0.125, 1.0))
    kind = draw(st.sampled_from(["shared", "isotropic", "diagonal", "full"]))
    if kind == "full":
        factors = torch.eye(dim, dtype=torch.float64) + draw(_tensors((components, dim, dim), -0.375, 0.375)).tril(-1)
        return GaussianMixture(means, covariances=factors @ factors.mT, weights=weights)
    shape = {"shared": (), "isotropic": (components,), "diagonal": (components, dim)}[kind]
    return GaussianMixture(means, scales=draw(_tensors(shape, 0.5, 1.5)), weights=weights)


def targets() -> st.SearchStrategy[Target]:
    """Targets with exact draws, symmetric and skewed, light and heavy in the tails."""
    double = torch.float64
    skewed = st.integers(1, 3).map(lambda dim: LogExponential(dim, dtype=double))
    mixed = st.builds(Product, gaussians(2), skewed)
    student = _tensors((2, 2), -3, 3).map(lambda means: StudentMixture(means, dof=3.0))
    fixed = st.sampled_from([Banana(1.5, 0.3, dtype=double), Funnel(3, 1.0, dtype=double)])
    return st.one_of(gaussians(), gaussian_mixtures(), skewed, mixed, student, fixed)


@st.composite
def kernels(draw: Any, dim: int | None = None) -> Kernel:
    """Exact kernels with step sizes, leapfrog numbers, and for a given `dim` an inverse mass matrix."""
    step_size = draw(step_sizes())
    mass: Any = "identity"
    if dim is not None:
        mass = draw(st.one_of(st.just("identity"), _tensors((dim,), 0.5, 2.0)))
    kind: type[PreconditionedKernel] = draw(st.sampled_from([RandomWalkMetropolis, MALA, HMC]))
    if kind is HMC:
        return HMC(step_size, mass, steps=draw(st.integers(1, 8)))
    return kind(step_size, mass)
