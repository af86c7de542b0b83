"""What a denoiser is: it answers what is known of X when Y = X + N(0, C) has been measured."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, Self, TypeVar

import torch
from torch import Generator, Tensor

from targets import Noise, Target
from targets.counting import Counted, Tally, charge_found, plain

Found = TypeVar("Found")
# points (n, particles, dim) that stand for X given y, from which a persistent denoiser goes on; None without them
Memory = Tensor | None


@dataclass(frozen=True, eq=False)
class Estimate:
    """Of n measurements y.

    mean: E[X | y], (n, dim). log_density: phi(y) = log of the integral of gamma(x) N(y; x, C), (n,), which is the
    log-density of Y up to the target's log Z; None where the denoiser gives none.
    error: standard error of each coordinate of the mean, (n, dim), None for exact ones. ess: effective draws of X
    behind the mean, (n,), None for exact ones. memory: (n, particles, dim) points that stand for X given y, from which
    the next call at nearby measurements may start; None for denoisers without memory.
    trusted: (n,), whether the estimate is believed by the denoiser's own floor; None where it always is.
    fallback: (n,), which rows a second denoiser answered because the first did not trust itself; None for no row.

        >>> from samplers.denoisers import Estimate
        >>> Estimate(mean=torch.zeros(3, 2)).trusted is None
        True
    """

    mean: Tensor
    log_density: Tensor | None = None
    error: Tensor | None = None
    ess: Tensor | None = None
    memory: Memory = None
    trusted: Tensor | None = None
    fallback: Tensor | None = None


class UntrustedEstimate(RuntimeError):
    """A denoiser does not believe its own estimate, and there is no other to ask."""


class Denoiser(ABC):
    """Estimates of E[X | y] and phi(y), and draws of X given y, for any number of measurements at once.

    exact: mean and log-density are exact, and the score of Y is P (E[X | y] - y), by Tweedie's formula.
    density: it gives phi(y). persistent: it takes and returns a memory.
    A denoiser does not change. What it finds once for a target (a grid, a pilot run) belongs to the one that `bind`
    gives; one that is not bound finds it anew in every call.
    All randomness comes from the generator that is passed in. Evaluations are counted in the tally of a `Counted`
    target: an exact smoothed score counts as one score.

    A subclass writes `estimate` and `draw`.

        >>> from samplers.denoisers import ClosedForm
        >>> y, noise = torch.tensor([[2.0]]), targets.IsotropicNoise(1.0)
        >>> ClosedForm().estimate(targets.Gaussian([0.0]), y, noise).mean
        tensor([[1.]])
    """

    exact: ClassVar[bool] = False
    persistent: ClassVar[bool] = False

    @property
    def density(self) -> bool:
        """Whether it gives phi(y)."""
        return False

    @abstractmethod
    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, memory: Memory = None
    ) -> Estimate:
        """The estimate at measurements y, (n, dim)."""

    @abstractmethod
    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        """A draw of X given each y, (n, dim)."""

    def check(self, target: Target, noise: Noise) -> None:
        """ValueError or TypeError for a target or noise that this denoiser cannot serve."""
        del target, noise

    def bind(self, target: Target, noise: Noise) -> Self:
        """This denoiser for that target and noise, checked, with what it finds once for them; itself where bound so."""
        self.check(target, noise)
        return self

    @property
    def pilot(self) -> str:
        """The name of the pilot that a bound one starts from (`samplers.annealing.pilot`), empty without one."""
        return ""

    @property
    def pilot_log_z(self) -> tuple[float, float] | None:
        """What that pilot says of log Z, with its standard error; it shares no randomness with what is sampled."""
        return None

    def describe(self) -> str:
        """A few words for reports."""
        return type(self).__name__


@dataclass(frozen=True, eq=False)
class Held(Generic[Found]):
    """What was found for a target and noise; spent: evaluations it took, by a name, that no counter has seen yet."""

    target: Target
    noise: Noise
    found: Found
    spent: dict[str, Tally]


class Finding(Denoiser, Generic[Found]):
    """A denoiser that finds something once for a target and noise."""

    _held: Held[Found] | None = None

    @abstractmethod
    def find(self, target: Counted, noise: Noise) -> Found:
        """What is to be found, with evaluations of that counted target alone."""

    def serves(self, held: Held[Found], noise: Noise) -> bool:
        """Whether what was found for a target at some noise also serves it at this one."""
        return held.noise is noise

    def bind(self, target: Target, noise: Noise) -> Self:
        bare, bound, held = plain(target), self, self._held
        if held is None or held.target is not bare or not self.serves(held, noise):
            self.check(target, noise)
            counted, bound = Counted(bare), copy.copy(self)
            found, spent = self.find(counted, noise), counted.tally.taken()
            held = Held(bare, noise, found, {type(self).__name__: spent} if spent != Tally() else {})
            object.__setattr__(bound, "_held", held)
        settle(target, held.spent)
        return bound

    def found(self, target: Target, noise: Noise) -> Found:
        """What `bind` holds, or has found now."""
        held = self.bind(target, noise)._held
        assert held is not None
        return held.found


def check_memory(memory: Tensor, shape: tuple[int, int, int]) -> None:
    """ValueError for a memory of other measurements or particles."""
    if memory.shape != shape:
        raise ValueError(f"memory: got shape {tuple(memory.shape)}, expected {shape}")


def settle(target: Target, spent: dict[str, Tally]) -> None:
    """Evaluations that were made before anybody counted are on the account of who counts first.

    A run that is continued finds again what it needs, and has counted it.
    """
    if isinstance(target, Counted):
        for name, tally in spent.items():
            charge_found(target, name, tally)
        spent.clear()


def blend(covariance: Tensor, variance: Tensor, noise: Noise) -> Tensor:
    """a = covariance / variance (..., dim), kept between the plain mean at 0 and the form of the score at C_ii."""
    dim = variance.shape[-1]
    variances = noise.variances(dim)
    most = (noise.covariance(dim).diagonal() if variances is None else variances).to(variance)
    return torch.where(variance > 0, covariance / variance, 0.0).clamp_min(0.0).minimum(most)


def stein_corrected(
    x: Tensor, y: Tensor, scores: Tensor, noise: Noise, log_weights: Tensor, families: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """E[X | y] and its standard error from weighted particles of X given y, with Stein's control variate.

        Z = grad log gamma(X) - P (X - y) has mean zero given y, so E[X] = E[X + a Z] for any a;
        a = -cov(X, Z) / var(Z) for each coordinate within [0, C_ii], exact for a Gaussian of diagonal covariance

    x, scores: (n, k, dim); y: (n, dim); log_weights: (n, k). a = 0 is the plain mean, a = C the form that averages
    the score of gamma instead: this is the blend of both of least variance (Mira, Solgi and Imparato 2013). For
    Gaussians a is the variance of X given y, never above C; an estimate of it from few particles may be anything.
    families: (n, k) integers below k; particles that share one are not independent, and the standard error adds up
    their deviations before they are squared. None: all are independent.
    """
    weights = log_weights.softmax(-1).to(x.dtype)[..., None]
    z = scores - noise.solve(x - y[:, None])
    mean_x, mean_z = (weights * x).sum(1), (weights * z).sum(1)
    dx, dz = x - mean_x[:, None], z - mean_z[:, None]
    # weights are squared: it is the variance of the estimate, not of X, that is made small
    heavy = weights.square()
    variance = (heavy * dz.square()).sum(1)
    slope = blend(-(heavy * dx * dz).sum(1), variance, noise)
    parts = weights * (dx + slope[:, None] * dz)
    if families is not None:
        parts = torch.zeros_like(parts).scatter_add_(1, families[..., None].expand_as(parts), parts)
    error = parts.square().sum(1).sqrt()
    return mean_x + slope * mean_z, error
