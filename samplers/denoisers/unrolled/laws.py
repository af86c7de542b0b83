"""X given a measurement y = X + N(0, C) of a Markov field, as a law on a graph in which y enters the fields alone.

spins    g_i(v) = v (b + P y)_i,                        K = 2 J'  on J' = J - offdiag P
colours  g_i(v) = h_i(v) + v (P y)_i - v^2 P_ii / 2,    K as it is; P = C^-1 diagonal
Gaussian A = Q + P,  A m = Q mean + P y                 on the edges of Q and P

so that no network needs to be told how much noise there was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.denoisers.spins.posterior import SpinPosterior
from samplers.kernels import _choices
from samplers.networks.slots import Slots
from targets import Gaussian, Noise, PairwiseMRF, Potts, Target
from targets.counting import charge, counted_like, plain
from targets.graph import GraphTarget

NO_EDGE = 1e-9  # of sqrt(A_ii A_jj), below which an entry of a precision is rounding


@dataclass(frozen=True, eq=False)
class SiteLaw(ABC):
    """The graph with a number on each edge, (n, degree), in float64; and what depends on y."""

    slots: Slots
    couplings: Tensor

    @abstractmethod
    def potentials(self, y: Tensor) -> Tensor:
        """What stands at the sites, (b, n) -> (b, n, q), in the dtype of y."""

    @abstractmethod
    def mean(self, found: Tensor) -> Tensor:
        """E[X | y] from what a network finds, (b, n)."""

    @abstractmethod
    def given_others(self, x: Tensor, potentials: Tensor) -> Tensor:
        """What is known of each site given all others at x, (b, n), and y: probabilities (b, n, q), or a mean (b, n).

        At a draw of X given y it has the mean that is to be learned, with less variance than the draw.
        """

    @abstractmethod
    def loss(self, found: Tensor, wanted: Tensor, potentials: Tensor) -> Tensor:
        """Of each row, (b,): least in the mean over `wanted` where `found` is right."""

    @abstractmethod
    def draw(self, target: Target, y: Tensor, found: Tensor, sweeps: int, noise: Noise, generator: Generator) -> Tensor:
        """A draw of X given each y, (b, n)."""


@dataclass(frozen=True, eq=False)
class DiscreteLaw(SiteLaw):
    """Of spins and colours. model: whose couplings and fields these are, `own` its fields by value, (n, q).

    rest: added to P y. precision: P_ii / 2 of each site for colours, whose squares differ, (n, 1); 0 for spins.
    """

    model: GraphTarget
    values: Tensor
    own: Tensor
    noise: Noise
    rest: Tensor | float
    precision: Tensor | float

    @classmethod
    def of_spins(cls, target: PairwiseMRF, noise: Noise) -> DiscreteLaw:
        """Of any noise."""
        posterior = SpinPosterior.of(target, noise)
        model = posterior.model.to(dtype=torch.float64)
        slots = Slots.of(model.dim, model.edges)
        own = model.fields[:, None] * model.values
        couplings = slots.on_edges(2 * model.edge_couplings)
        return cls(slots, couplings, posterior.model, model.values, own, noise, posterior.rest, 0.0)

    @classmethod
    def of_colours(cls, target: Potts, noise: Noise) -> DiscreteLaw:
        """Of noise that is independent at each site."""
        variances = noise.variances(target.dim)
        assert variances is not None
        double = target.to(dtype=torch.float64)
        slots = Slots.of(target.dim, target.edges)
        precision = 0.5 / variances.to(double.fields)[:, None]
        couplings = slots.on_edges(double.edge_couplings)
        return cls(slots, couplings, target, double.values, double.fields, noise, 0.0, precision)

    def tilt(self, y: Tensor) -> Tensor:
        """What y adds to the fields of each value, (b, n) -> (b, n, q)."""
        rest = self.rest.to(y) if isinstance(self.rest, Tensor) else self.rest
        precision = self.precision.to(y) if isinstance(self.precision, Tensor) else self.precision
        values = self.values.to(y)
        return (self.noise.solve(y) + rest)[..., None] * values - precision * values.square()

    def potentials(self, y: Tensor) -> Tensor:
        return self.own.to(y) + self.tilt(y)

    def mean(self, found: Tensor) -> Tensor:
        return found.softmax(-1) @ self.values.to(found)

    def given_others(self, x: Tensor, potentials: Tensor) -> Tensor:
        at = (x[..., None] == self.values.to(x)).to(potentials)
        pull = self.couplings.to(potentials)[..., None] * self.slots.at_neighbours(at)
        return (potentials + pull.sum(2)).softmax(-1)

    def loss(self, found: Tensor, wanted: Tensor, potentials: Tensor) -> Tensor:
        """The cross entropy, mean over the sites."""
        return -(wanted * found.log_softmax(-1)).sum(-1).mean(-1)

    def draw(self, target: Target, y: Tensor, found: Tensor, sweeps: int, noise: Noise, generator: Generator) -> Tensor:
        """Sites independent with what was found, then sweeps of heat baths, which leave the law given y invariant."""
        values, tilt, counted = self.values.to(y), self.tilt(y), counted_like(target, self.model)
        x = values[_choices.category(found, generator)]
        for _ in range(sweeps):
            for sites in self.model.colours:
                logits = counted.conditional_logits(x, sites) + tilt[:, sites]
                x = x.index_copy(-1, sites, values[_choices.category(logits, generator)])
        return x


@dataclass(frozen=True, eq=False)
class GaussianLaw(SiteLaw):
    """Of a Gaussian field: `known` is Q mean, (n,), and `diagonal` that of A, (n,)."""

    known: Tensor
    diagonal: Tensor
    noise: Noise

    @classmethod
    def of(cls, target: Gaussian, noise: Noise) -> GaussianLaw:
        """Of any noise."""
        eye = torch.eye(target.dim, dtype=torch.float64, device=target.device)
        covariance = target._exact_covariance
        own = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        added = noise.solve(eye)
        edges = (_entries(own) | _entries(added)).triu(1).nonzero()
        slots, total = Slots.of(target.dim, edges), own + added
        mean = target._exact["mean"].to(own)
        return cls(slots, slots.on_edges(total[edges[:, 0], edges[:, 1]]), own @ mean, total.diagonal().clone(), noise)

    def potentials(self, y: Tensor) -> Tensor:
        field = self.known.to(y) + self.noise.solve(y)
        return torch.stack([field, self.diagonal.to(y).expand_as(field)], -1)

    def mean(self, found: Tensor) -> Tensor:
        return found

    def given_others(self, x: Tensor, potentials: Tensor) -> Tensor:
        field, diagonal = potentials.unbind(-1)
        there = self.slots.at_neighbours(x.to(field)[..., None])[..., 0]
        return (field - (self.couplings.to(field) * there).sum(-1)) / diagonal

    def loss(self, found: Tensor, wanted: Tensor, potentials: Tensor) -> Tensor:
        """Squares in units of the variance of a site given the others, mean over the sites."""
        return (0.5 * potentials[..., 1] * (found - wanted).square()).mean(-1)

    def draw(self, target: Target, y: Tensor, found: Tensor, sweeps: int, noise: Noise, generator: Generator) -> Tensor:
        """An exact one; `found` and `sweeps` have no part in it."""
        charge(target, log_probs=len(y))
        return plain(target).sample_given(y, noise, generator=generator)


def law_of(target: Target, noise: Noise) -> SiteLaw:
    """The law of X given a measurement, of a target and noise that pass `check_field`."""
    check_field(target, noise)
    if isinstance(target, PairwiseMRF):
        return DiscreteLaw.of_spins(target, noise)
    if isinstance(target, Potts):
        return DiscreteLaw.of_colours(target, noise)
    assert isinstance(target, Gaussian)
    return GaussianLaw.of(target, noise)


def check_kind(target: object) -> None:
    """TypeError for a target that is no such field."""
    if not isinstance(target, (PairwiseMRF, Potts, Gaussian)):
        name = target.name if isinstance(target, Target) else type(target).__name__
        raise TypeError(f"target: got {name}, expected a PairwiseMRF, a Potts model or a Gaussian")


def check_field(target: Target, noise: Noise) -> None:
    """TypeError for a target that is no such field, ValueError for noise that does not suit it."""
    check_kind(target)
    noise.check(target.dim)
    if isinstance(target, Potts) and noise.variances(target.dim) is None:
        raise ValueError(
            f"noise: got {noise} for {target.name}, expected noise that is independent at each site: other noise "
            "couples the numbers of the colours, and not whether they are equal"
        )


def _entries(precision: Tensor) -> Tensor:
    """Which entries of a precision are more than rounding."""
    scale = precision.diagonal().sqrt()
    return precision.abs() > NO_EDGE * scale[:, None] * scale
