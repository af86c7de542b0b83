"""One direction of a static bridge: where the process ends, given where it is.

    pi(y | x) = psi(y) exp(-|x - y|^2 / (2 eps)) / int psi(y') exp(-|x - y'|^2 / (2 eps)) dy'
    h(x, t) = E[psi(x + sqrt(eps) B_{1-t})],   drift(x, t) = eps grad log h = (E[X_1 | X_t = x] - x) / (1 - t)

psi is the potential at the end that is led to, h its heat flow: Brownian motion conditioned by h is the process whose
plan is p(x) pi(y | x), a Schroedinger bridge between the start and whatever law it ends with. Schroedinger 1931;
Leonard 2014, https://arxiv.org/abs/1308.0215.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from samplers.generative.conditions import check_finite
from samplers.processes.base import Time
from targets.arguments import positive, shown

CHUNK = 1 << 22  # numbers in a batch of rows by components


class Potential(ABC):
    """psi, with what follows from it in closed form. noise: eps. density: whether pi(y | x) has one.

    Times count from the start of this direction, 0, to the end that is led to, 1. Points are (n, dim), results in their
    dtype; what is evaluated is in float64. ValueError for a noise that is not positive.

        >>> from samplers.generative.bridges import GaussianBridge, Potential
        >>> ahead = GaussianBridge.between(targets.Gaussian([0.0]), targets.Gaussian([2.0]), noise=1.5).forward
        >>> isinstance(ahead, Potential), ahead.mean(torch.zeros(1, 1))
        (True, tensor([[2.]]))
    """

    density: ClassVar[bool] = True
    noise: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", positive(self.noise, "noise"))

    @property
    @abstractmethod
    def dim(self) -> int:
        """Of both ends."""

    @abstractmethod
    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """A draw of the end given each start, (n, dim)."""

    def mean(self, x: Tensor) -> Tensor:
        """E[X_1 | X_0 = x], the barycentric map, (n, dim): rounded once, though ends are far from each other or 0."""
        double = x.double()
        return (double + self.drift(double, 0.0)).to(x.dtype)

    @abstractmethod
    def drift(self, x: Tensor, t: Time) -> Tensor:
        """eps grad log h(x, t), (n, dim); t a number or (n,), in [0, 1]."""

    @abstractmethod
    def log_prob(self, y: Tensor, x: Tensor) -> Tensor:
        """log pi(y | x), (n,) in float64; NotImplementedError where it has no density."""

    @abstractmethod
    def log_marginal(self, y: Tensor, x: Tensor) -> Tensor:
        """The log-density at y (n, dim) of the end of a process that starts at one of the rows of x (m, dim), taken at
        random: log of the mean of pi(y | x_j), (n,) in float64; NotImplementedError where it has none."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The tensors that it is made of, by the names of its arguments."""


def times(t: Time, x: Tensor) -> Tensor:
    """Times (n,) in float64 for rows x, checked to lie in [0, 1]."""
    try:
        found = torch.as_tensor(t, dtype=torch.float64).to(x.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"t: got {shown(t)}, expected a number or a tensor of times") from None
    if found.shape not in ((), (len(x),)):
        raise ValueError(f"t: got shape {tuple(found.shape)}, expected () or ({len(x)},), a time for each row of x")
    if not bool(((found >= 0) & (found <= 1)).all()):
        raise ValueError(f"t: got {t if isinstance(t, float | int) else 'times'} beyond [0, 1], expected times in it")
    return found.expand(len(x))


def check_points(x: Any, dim: int, argument: str) -> Tensor:
    """Points (n, dim) of a floating dtype, or one message."""
    if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[1] != dim:
        got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{argument}: got {got}, expected (n, {dim})")
    if not x.is_floating_point():
        raise TypeError(f"{argument}: got dtype {x.dtype}, expected a floating-point dtype")
    check_finite(x, argument)
    return x


def by_rows(function: Callable[..., Tensor], width: int, *rows: Tensor) -> Tensor:
    """A function of rows, in parts of at most CHUNK numbers where each row needs `width` of them."""
    return torch.cat([function(*part) for part in _parts(rows, max(1, CHUNK // width))])


def _parts(rows: tuple[Tensor, ...], size: int) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(one.split(size) for one in rows), strict=True)
