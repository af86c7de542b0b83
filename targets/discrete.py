"""Laws on finitely many configurations: every coordinate takes one of a few values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from targets.base import Target

MOST_STATES = 2**20


class DiscreteTarget(Target):
    """p(x) = exp(log_prob(x)) / Z, summed over x in values^dim; a configuration is a floating-point (*batch, dim).

    `values` (q,) are what a site may be: -1 and +1 for spins, 0 .. q-1 for colours. Kernels move by
    `conditional_logits` (heat baths), by `local_differences` (informed proposals), or by the edges of a graph.
    `prior` is the uniform law on all configurations, where annealing starts; `annealed(b)` is p(x)^b.
    Up to 2^20 configurations `log_z`, `sample`, `mean` and `covariance` come from enumeration.

    dim: number of sites. dtype, device, name: as of `Target`. ValueError for fewer than two values, or the same one
    twice.

        >>> one_up = targets.Ising((3,), coupling=0.0)
        >>> one_up.enumerate().shape, one_up.annealed(0.5).dim
        (torch.Size([8, 3]), 3)
    """

    discrete: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        values: Sequence[float],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(dim, dtype=dtype, device=device, name=name)
        self.values = torch.as_tensor(values, dtype=self.dtype, device=self.device)
        if self.values.ndim != 1 or len(self.values.unique()) != len(self.values) or len(self.values) < 2:
            raise ValueError(f"values: got {values}, expected at least two different numbers")

    def _place(self) -> None:
        self.__dict__.pop("_enumerated_log_prob", None)  # stays in float64

    # What kernels need

    def conditional_logits(self, x: Tensor, sites: Tensor) -> Tensor:
        """log p(x_i = value | the rest) up to a constant a site, (*batch, dim) and (k,) -> (*batch, k, q)."""
        columns = []
        for value in self.values:
            moved = x[..., None, :].expand(*x.shape[:-1], len(sites), self.dim).clone()
            moved[..., torch.arange(len(sites), device=x.device), sites] = value
            columns.append(self.log_prob(moved))
        return torch.stack(columns, -1)

    def local_differences(self, x: Tensor) -> Tensor:
        """log p(x with x_i set to a value) - log p(x) to first order in the change, (*batch, dim) -> (*batch, dim, q).

        From the gradient of log_prob continued to real x; exact where log_prob is linear in each coordinate.
        """
        return self.score(x)[..., None] * (self.values - x[..., None])

    @cached_property
    def colours(self) -> tuple[Tensor, ...]:
        """Sets of sites (k,) that cover all; sites of one set are independent of each other given the rest."""
        return tuple(torch.arange(self.dim, device=self.device)[:, None])

    def annealed(self, beta: float) -> Self:
        """The law p(x)^beta."""
        raise NotImplementedError(f"{type(self).__name__} does not define annealed")

    # What is exactly known

    @property
    def enumerable(self) -> bool:
        """Whether there are at most 2^20 configurations."""
        return self.dim * math.log(len(self.values)) <= math.log(MOST_STATES) + 1e-9

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset() if self.enumerable else frozenset(["log_z", "sample", "mean", "covariance", "moments"])

    def enumerate(self) -> Tensor:
        """Every configuration, (q^dim, dim), the last site changing fastest; ValueError for more than 2^20."""
        q = len(self.values)
        if not self.enumerable:
            raise ValueError(f"{self.name}: {q}^{self.dim} configurations, at most 2^20 can be enumerated")
        index = torch.arange(q**self.dim, device=self.device)[:, None]
        place = q ** torch.arange(self.dim - 1, -1, -1, device=self.device)
        return self.values[index // place % q]

    @cached_property
    def _enumerated_log_prob(self) -> Tensor:
        double = self.to(dtype=torch.float64)
        return torch.cat([double.log_prob(part) for part in double.enumerate().split(65536)])

    def _need(self, name: str) -> None:
        if not self.enumerable:
            self._raise_unknown(name)

    @property
    def log_z(self) -> float:
        self._need("log_z")
        return float(self._enumerated_log_prob.logsumexp(0))

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        self._need("sample")
        cumulative = self._enumerated_log_prob.softmax(0).cumsum(0)
        uniform = torch.rand(n, generator=generator, dtype=torch.float64, device=self.device)
        which = torch.searchsorted(cumulative, uniform * cumulative[-1]).clamp_max(len(cumulative) - 1)
        return self.enumerate()[which]

    @property
    def mean(self) -> Tensor:
        self._need("mean")
        return (self._enumerated_log_prob.softmax(0) @ self.enumerate().double()).to(self.dtype)

    @property
    def covariance(self) -> Tensor:
        self._need("covariance")
        states, weights = self.enumerate().double(), self._enumerated_log_prob.softmax(0)
        centred = states - weights @ states
        return (centred.mT @ (weights[:, None] * centred)).to(self.dtype)

    @property
    def prior(self) -> UniformSites:
        return UniformSites(self.dim, self.values.tolist(), dtype=self.dtype, device=self.device)

    # Checks

    def _check_values(self, x: Tensor) -> None:
        """ValueError for a value that is none of `values`; not while differentiating, which is done at real x.

        On the CPU alone: elsewhere every call would wait for the device.
        """
        self._check(x)
        if x.requires_grad or x.device.type != "cpu":
            return
        first, *others = self.values.tolist()
        allowed = x == first
        for value in others:
            allowed |= x == value
        if not bool(allowed.all()):
            self.check_configuration(x)

    def check_configuration(self, x: Tensor, argument: str = "x") -> None:
        """ValueError where a coordinate is none of `values`."""
        self._check(x)
        wrong = (x[..., None] != self.values.to(x)).all(-1)
        if bool(wrong.any()):
            found = float(x[wrong][0])
            raise ValueError(f"{argument}: got {found} at a site, expected one of {self.values.tolist()}")


def as_discrete(target: Target) -> DiscreteTarget:
    """The target as what it is; TypeError for one that is no DiscreteTarget."""
    if not isinstance(target, DiscreteTarget):
        raise TypeError(
            f"target: {target.name} is no law on configurations, expected a DiscreteTarget such as Ising or Potts"
        )
    return target


class UniformSites(DiscreteTarget):
    """Every site uniform on `values`, independent of the others; normalised.

    dim: number of sites. dtype, device, name: as of `Target`.

        >>> sites = targets.UniformSites(3, [0.0, 1.0])
        >>> sites.log_z, sites.mean
        (0.0, tensor([0.5000, 0.5000, 0.5000]))
    """

    def log_prob(self, x: Tensor) -> Tensor:
        self._check_values(x)
        return x.new_full(x.shape[:-1], -self.dim * math.log(len(self.values)))

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_prob(x), torch.zeros_like(x)

    def conditional_logits(self, x: Tensor, sites: Tensor) -> Tensor:
        return x.new_zeros(*x.shape[:-1], len(sites), len(self.values))

    @cached_property
    def colours(self) -> tuple[Tensor, ...]:
        return (torch.arange(self.dim, device=self.device),)

    def annealed(self, beta: float) -> UniformSites:
        return self

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset()

    @property
    def log_z(self) -> float:
        return 0.0

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        which = torch.randint(len(self.values), (n, self.dim), generator=generator, device=self.device)
        return self.values[which]

    @property
    def mean(self) -> Tensor:
        return self.values.mean().expand(self.dim)

    @property
    def covariance(self) -> Tensor:
        return torch.eye(self.dim, dtype=self.dtype, device=self.device) * self.values.var(correction=0)


class DiscreteLogDensity(DiscreteTarget):
    """A user's log-density on configurations: log_prob(x) = fn(x) for x in values^dim, (n, dim) -> (n,).

    Gradient-informed kernels differentiate `fn` at real x near the configurations; the others need no gradient.

    dim: number of sites. values: of a site, (q,). dtype, device, name: as of `Target`.

        >>> aligned = targets.DiscreteLogDensity(lambda s: s.sum(-1).square() / 8, dim=4)
        >>> round(aligned.log_z, 4), aligned.mean.abs().max().item() < 1e-6
        (3.5254, True)
    """

    def __init__(
        self,
        fn: Callable[[Tensor], Tensor],
        dim: int,
        values: Sequence[float] = (-1.0, 1.0),
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(dim, values, dtype=dtype, device=device, name=name or getattr(fn, "__name__", None))
        self._fn = fn
        self._beta = 1.0

    def log_prob(self, x: Tensor) -> Tensor:
        from targets.user_function import check_values

        self._check_values(x)
        flat = x.reshape(-1, self.dim)
        return self._beta * check_values(self._fn(flat), flat, "fn").reshape(x.shape[:-1])

    def annealed(self, beta: float) -> DiscreteLogDensity:
        new = DiscreteLogDensity(
            self._fn, self.dim, self.values.tolist(), dtype=self.dtype, device=self.device, name=self.name
        )
        new._beta = self._beta * beta
        return new
