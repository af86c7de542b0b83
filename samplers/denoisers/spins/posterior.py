"""Spins given a measurement y = s + N(0, C): a pairwise model again, in fields that depend on y.

    log gamma(s) - (y - s)'P (y - s) / 2 = s'J's / 2 + (b + P y)'s - (y'P y + tr P) / 2,    J' = J - offdiag P

since s_i^2 = 1. Noise that is independent at each site keeps the couplings, noise of the shape of the model removes
them. phi(y) = log Z_{J'}(b + P y) - (y'P y + tr P) / 2 - log normaliser of the noise.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Estimate, Finding, Memory
from samplers.kernels import _choices
from targets import MRFNoise, Noise, PairwiseMRF, Target
from targets.counting import Counted, charge, counted_like, plain


@dataclass(frozen=True, eq=False)
class SpinPosterior:
    """The model of couplings J' in fields of its own, (b less those), and the noise with tr P."""

    model: PairwiseMRF
    rest: Tensor | float
    noise: Noise
    trace: float

    @classmethod
    def of(cls, spins: PairwiseMRF, noise: Noise) -> Self:
        """That of a model and noise of any covariance."""
        noise.check(spins.dim)
        variances = noise.variances(spins.dim)
        if variances is not None:
            return cls(spins, 0.0, noise, float((1 / variances).sum()))
        if isinstance(noise, MRFNoise) and noise.matches(spins):
            share = 1 - 1 / noise.scale  # J' = J - J / scale on the same graph
            return cls(spins.annealed(share), spins.fields / noise.scale, noise, float(noise.shift.sum()) / noise.scale)
        double = spins.to(dtype=torch.float64)
        precision = noise.solve(torch.eye(spins.dim, dtype=torch.float64, device=spins.device))
        diagonal = torch.diag(precision.diagonal())
        couplings = double.couplings_matrix() - 0.5 * (precision + precision.mT) + diagonal
        model = PairwiseMRF(couplings, double.fields, dtype=spins.dtype, device=spins.device, name=spins.name)
        return cls(model, 0.0, noise, float(diagonal.sum()))

    def tilt(self, y: Tensor) -> Tensor:
        """The fields of the posterior, b + P y, less those of `model`, (n, dim)."""
        return self.noise.solve(y) + self.rest

    def log_density(self, y: Tensor, tilt: Tensor, log_z: Tensor) -> Tensor:
        """phi(y) from log Z_{J'}(b + P y), (n,), in float64."""
        square = torch.linalg.vecdot(y.double(), (tilt - self.rest).double())
        return log_z.double() - 0.5 * (square + self.trace) - self.noise.log_normaliser(self.model.dim)

    # Heat baths

    def sweep(self, x: Tensor, tilt: Tensor, counted: PairwiseMRF, generator: Generator) -> tuple[Tensor, Tensor]:
        """Every site drawn given the others, and the mean that each was drawn with, both (rows, dim).

        The means, tanh of local fields, average to E[s | y] as the draws do, with less noise.
        """
        x, means = x.clone(), torch.empty_like(x)
        for sites in self.model.colours:
            logits = counted.conditional_logits(x, sites)
            local = 0.5 * (logits[..., 1] - logits[..., 0]) + tilt.index_select(-1, sites)
            x.index_copy_(-1, sites, independent_spins(local, generator))
            means.index_copy_(-1, sites, local.tanh())
        return x, means

    def sweeps(self, x: Tensor, y: Tensor, target: Target, number: int, generator: Generator) -> Tensor:
        """Rows of spins after a number of sweeps at their measurements."""
        tilt, counted = self.tilt(y), counted_like(target, self.model)
        for _ in range(number):
            x, _ = self.sweep(x, tilt, counted, generator)
        return x


def independent_spins(fields: Tensor, generator: Generator) -> Tensor:
    """Independent spins in given fields, P(s = 1) = sigmoid(2 h)."""
    return torch.where(_choices.coin((2 * fields.double()).sigmoid(), generator), 1.0, -1.0).to(fields.dtype)


def log_two_cosh(x: Tensor) -> Tensor:
    """log(2 cosh x) without overflow."""
    return torch.logaddexp(x, -x)


def parts(n: int, numbers_a_row: int, most: int = 2**24) -> Iterator[slice]:
    """Slices of n rows that hold at most so many numbers."""
    size = max(1, most // numbers_a_row)
    for start in range(0, n, size):
        yield slice(start, min(n, start + size))


@dataclass(frozen=True, eq=False)
class SpinDenoiser(Finding[SpinPosterior]):
    """What denoisers of spins share: the law of the spins given a measurement."""

    def check(self, target: Target, noise: Noise) -> None:
        if not isinstance(plain(target), PairwiseMRF):
            raise TypeError(
                f"denoiser: {type(self).__name__} is for spins, got {target.name}; expected a PairwiseMRF or an Ising "
                "model, or another denoiser"
            )
        noise.check(target.dim)

    def find(self, target: Counted, noise: Noise) -> SpinPosterior:
        assert isinstance(target.inner, PairwiseMRF)
        return SpinPosterior.of(target.inner, noise)


class ExactSpinDenoiser(SpinDenoiser):
    """Means, phi and draws without error. An estimate counts as one score and one log-density, a draw as the latter."""

    exact: ClassVar[bool] = True
    density: ClassVar[bool] = True

    @abstractmethod
    def told(self, posterior: SpinPosterior, y: Tensor) -> Estimate:
        """What `estimate` tells, from the law of the spins given y."""

    @abstractmethod
    def drawn(self, posterior: SpinPosterior, y: Tensor, generator: Generator) -> Tensor:
        """What `draw` gives."""

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Memory = None
    ) -> Estimate:
        posterior = self.found(target, noise)
        charge(target, log_probs=len(y), scores=len(y))
        return self.told(posterior, y)

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        posterior = self.found(target, noise)
        charge(target, log_probs=len(y))
        return self.drawn(posterior, y, generator)
