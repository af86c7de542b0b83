"""Hypothesis strategies: targets with exact draws, and kernels with their hyper-parameters."""

from __future__ import annotations

import math
from typing import Any

import torch
from hypothesis import strategies as st

from samplers.kernels import HMC, MALA, Kernel, PreconditionedKernel, RandomWalkMetropolis
from targets import Banana, Funnel, Gaussian, GaussianMixture, LogExponential, Product, StudentMixture, Target
from targets.arguments import check_integer

__all__ = ["gaussian_mixtures", "gaussians", "kernels", "step_sizes", "targets"]


def step_sizes(low: float = 0.01, high: float = 1.0) -> st.SearchStrategy[float]:
    """Step sizes for targets of unit scale."""
    return st.floats(low, high, allow_nan=False)


def _tensors(shape: tuple[int, ...], low: float, high: float) -> st.SearchStrategy[torch.Tensor]:
    size = math.prod(shape)
    numbers = st.lists(st.floats(low, high, width=32), min_size=size, max_size=size)
    return numbers.map(lambda values: torch.tensor(values, dtype=torch.float64).reshape(shape))


def _dims(most: int, dim: int | None) -> st.SearchStrategy[int]:
    return st.integers(1, most) if dim is None else st.just(check_integer(dim, "dim"))


@st.composite
def gaussians(draw: Any, most_dim: int = 4, dim: int | None = None) -> Gaussian:
    """Gaussians with any mean and a well-conditioned covariance; in `dim` dimensions, or in up to `most_dim`."""
    dim = draw(_dims(most_dim, dim))
    factor = torch.eye(dim, dtype=torch.float64) + draw(_tensors((dim, dim), -0.375, 0.375)).tril(-1)
    return Gaussian(draw(_tensors((dim,), -3, 3)), covariance=factor @ factor.mT)


@st.composite
def gaussian_mixtures(
    draw: Any, most_dim: int = 4, most_components: int = 5, dim: int | None = None
) -> GaussianMixture:
    """Mixtures with unequal weights and isotropic, diagonal or full covariances; dimensions as of `gaussians`."""
    dim, components = draw(_dims(most_dim, dim)), draw(st.integers(1, most_components))
    means = draw(_tensors((components, dim), -4, 4))
    weights = draw(_tensors((components,), 0.125, 1.0))
    kind = draw(st.sampled_from(["shared", "isotropic", "diagonal", "full"]))
    if kind == "full":
        factors = torch.eye(dim, dtype=torch.float64) + draw(_tensors((components, dim, dim), -0.375, 0.375)).tril(-1)
        return GaussianMixture(means, covariances=factors @ factors.mT, weights=weights)
    shape = {"shared": (), "isotropic": (components,), "diagonal": (components, dim)}[kind]
    return GaussianMixture(means, scales=draw(_tensors(shape, 0.5, 1.5)), weights=weights)


def targets(dim: int | None = None) -> st.SearchStrategy[Target]:
    """Targets with exact draws, symmetric and skewed, light and heavy in the tails; all in `dim` dimensions, if given.

    For a kernel that works in one dimension, say, or in two: `@given(target=targets(dim=2))`.
    """
    double = torch.float64
    skewed = _dims(3, dim).map(lambda dim: LogExponential(dim, dtype=double))
    student = _tensors((2, 2 if dim is None else dim), -3, 3).map(lambda means: StudentMixture(means, dof=3.0))
    found: list[st.SearchStrategy[Any]] = [gaussians(dim=dim), gaussian_mixtures(dim=dim), skewed, student]
    if dim is None:
        found.append(st.builds(Product, gaussians(2), skewed))
    elif dim > 1:
        ahead = gaussians(dim=dim - 1)
        found.append(st.builds(Product, ahead, st.just(LogExponential(1, dtype=double))))
    if dim in (None, 2):
        found.append(st.just(Banana(1.5, 0.3, dtype=double)))
    if dim is None or dim > 1:
        found.append(st.just(Funnel(3 if dim is None else dim, 1.0, dtype=double)))
    return st.one_of(found)


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
