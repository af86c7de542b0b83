"""Approximate denoisers of spins by fixed points: mean field, and with Onsager's reaction term (TAP).

mean field    m = tanh(h + J m)
TAP           m_i = tanh(h_i + (J m)_i - m_i sum_j J_ij^2 (1 - m_j^2)),        h = b + P y
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Estimate, Memory
from samplers.denoisers.spins.posterior import SpinDenoiser, independent_spins, log_two_cosh
from targets import Noise, PairwiseMRF, Target
from targets.arguments import check_integer, positive, shown
from targets.counting import charge

EVERY = 8  # iterations between looks at which rows have converged


@dataclass(frozen=True, eq=False)
class FixedPoint(SpinDenoiser):
    """Damped iteration of v <- F(v) in float64, until |F(v) - v| <= tolerance at all measurements.

    damping: v moves by 1 - damping of the way; it begins at spins without couplings. A row that has not converged in
    `iterations` is not trusted. Where several fixed points exist, as in an ordered phase, the answer is the one that
    the iteration falls into, without any warning. draw: spins independent in the fields of the fixed point, then
    `sweeps` heat-bath sweeps, which leave the law given y invariant: draws are as good as these forget their start.
    Counted are as many scores as products with J, and for draws the sweeps as log-densities.
    """

    damping: float = 0.5
    tolerance: float = 1e-10
    iterations: int = 1000
    sweeps: int = 8

    density: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.damping < 1:
            raise ValueError(f"damping: got {shown(self.damping)}, expected a number of at least 0 and below 1")
        positive(self.tolerance, "tolerance")
        for name in ("iterations", "sweeps"):
            check_integer(getattr(self, name), name)

    @abstractmethod
    def solve(self, model: PairwiseMRF, fields: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """Effective fields atanh m, log Z, which rows converged, products made: of fields (n, dim) in float64."""

    def fixed_point(self, function: Callable[[Tensor], Tensor], start: Tensor) -> tuple[Tensor, Tensor, int]:
        """The point, which rows converged, and the number of iterations."""
        v = start
        moving = torch.ones(len(v), dtype=torch.bool, device=v.device)
        done = 0
        while done < self.iterations and bool(moving.any()):
            for _ in range(min(EVERY, self.iterations - done)):
                step = function(v) - v
                v = v + (1 - self.damping) * step
                done += 1
            moving = ~(step.abs().amax(-1) <= self.tolerance) if step.shape[-1] else torch.zeros_like(moving)
        return v, ~moving, done

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Memory = None
    ) -> Estimate:
        posterior = self.found(target, noise)
        model, tilt = posterior.model.to(dtype=torch.float64), posterior.tilt(y.double())
        effective, log_z, converged, products = self.solve(model, tilt + model.fields)
        charge(target, log_probs=len(y), scores=products * len(y))
        return Estimate(
            effective.tanh().to(y.dtype),
            posterior.log_density(y, tilt, log_z),
            trusted=None if bool(converged.all()) else converged,
        )

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        posterior = self.found(target, noise)
        model = posterior.model.to(dtype=torch.float64)
        effective, _, _, products = self.solve(model, posterior.tilt(y.double()) + model.fields)
        charge(target, scores=products * len(y))
        start = independent_spins(effective, generator).to(y.dtype)
        return posterior.sweeps(start, y, target, self.sweeps, generator)


@dataclass(frozen=True, eq=False)
class MeanField(FixedPoint):
    """m = tanh(h + J m); log Z from below by sum log 2 cosh(h + J m) - m'J m / 2, the best bound by a product law.

    The score of the log-density returned is the estimated one: a kernel with a Metropolis test draws from this
    approximation to the law of y, not from that law.

    damping, tolerance, iterations, sweeps: of the fixed point. v moves by 1 - damping of the way, until |F(v) - v| <=
    tolerance or for so many iterations, and then is not trusted; a draw takes so many sweeps.

        >>> from samplers.denoisers.spins import MeanField
        >>> ising, noise = targets.Ising((4, 4), coupling=0.3), targets.IsotropicNoise(0.5)
        >>> bool((MeanField().estimate(ising, torch.ones(1, 16), noise).mean > 0.9).all())
        True
    """

    def solve(self, model: PairwiseMRF, fields: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        effective, converged, done = self.fixed_point(lambda t: fields + model.coupled(t.tanh()), fields)
        m = effective.tanh()
        value = entropy(effective) + (m * (fields + 0.5 * model.coupled(m))).sum(-1)
        return effective, value, converged, done + 1


@dataclass(frozen=True, eq=False)
class TAP(FixedPoint):
    """m_i = tanh(h_i + (J m)_i - m_i sum_j J_ij^2 (1 - m_j^2)): mean field, less what a spin says to itself.

    log Z ~ entropy(m) + h'm + m'J m / 2 + sum_ij J_ij^2 (1 - m_i^2) (1 - m_j^2) / 4, exact to second order in J, no
    bound. The score of the log-density returned is the estimated one. Thouless, Anderson and Palmer 1977,
    https://doi.org/10.1080/14786437708235992.

    damping, tolerance, iterations, sweeps: as of `MeanField`.

        >>> from samplers.denoisers.spins import TAP
        >>> ising, noise = targets.Ising((4, 4), coupling=0.3), targets.IsotropicNoise(0.5)
        >>> bool((TAP().estimate(ising, torch.ones(1, 16), noise).mean > 0.9).all())
        True
    """

    def solve(self, model: PairwiseMRF, fields: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        def reaction(m: Tensor) -> Tensor:
            return squared(model, 1 - m.square())

        def function(effective: Tensor) -> Tensor:
            m = effective.tanh()
            return fields + model.coupled(m) - m * reaction(m)

        effective, converged, done = self.fixed_point(function, fields)
        m = effective.tanh()
        value = entropy(effective) + (m * (fields + 0.5 * model.coupled(m))).sum(-1)
        return effective, value + 0.25 * ((1 - m.square()) * reaction(m)).sum(-1), converged, 2 * (done + 1)


def entropy(effective: Tensor) -> Tensor:
    """That of independent spins with means tanh(effective), (n, dim) -> (n,)."""
    return (log_two_cosh(effective) - effective * effective.tanh()).sum(-1)


def squared(model: PairwiseMRF, x: Tensor) -> Tensor:
    """sum_j J_ij^2 x_j, (n, dim) -> (n, dim)."""
    i, j = model.edges.unbind(-1)
    weights = model.edge_couplings.square()
    return torch.zeros_like(x).index_add_(-1, i, weights * x[:, j]).index_add_(-1, j, weights * x[:, i])
