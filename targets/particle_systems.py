"""Clusters of identical particles with pair energies: double wells (DW4) and Lennard-Jones (LJ13, LJ55)."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor

from targets.arguments import not_negative, positive
from targets.base import Variable
from targets.boltzmann import Boltzmann
from targets.one_dimensional import Density1D
from targets.zero_mean import ZeroMean

CHUNK = {"cpu": 2**18}  # numbers in one table of pair differences: on the CPU it shall fit in the cache
LARGE_CHUNK = 2**26


class ParticleSystem(Boltzmann):
    """energy = pair_factor sum_{i<j} u(|r_i - r_j|) + oscillator/2 sum_i |r_i - mean r|^2; log p = -energy/temperature.

    x are orthonormal coordinates, (particles - 1) space of them, of the positions of zero mean: `positions(x)` and
    `constrain` return (*batch, particles, space), `coordinates` goes back. log_z is that of this subspace with its
    Lebesgue measure. Every pair counts once; codes that sum over ordered pairs have pair_factor=2. The density is
    invariant under rotations, reflections and exchange of particles. Work grows with particles^2; tables of pairs
    are held for a part of the batch at a time. Known for two particles: log_z and exact draws, by radial quadrature.
    """

    def __init__(
        self,
        particles: int,
        space: int,
        pair_factor: float,
        oscillator: float,
        temperature: float,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        name: str | None,
    ) -> None:
        self.frame = ZeroMean(particles, space)
        super().__init__(self.frame.dim, temperature, dtype=dtype, device=device, name=name)
        self.particles, self.space = particles, space
        self.pair_factor = positive(pair_factor, "pair_factor")
        self.oscillator = not_negative(oscillator, "oscillator")
        first, second = torch.triu_indices(particles, particles, 1)
        rows = self.frame.rows(torch.empty(0, dtype=torch.float64))
        self._exact = {"differences": rows[:, first] - rows[:, second]}
        self._place()

    def _place(self) -> None:
        super()._place()
        self._differences = self._exact["differences"].to(device=self.device, dtype=self.dtype)

    def pair(self, square: Tensor) -> tuple[Tensor, Tensor]:
        """u and 2 du/d(r^2) from squared distances r^2."""
        raise NotImplementedError

    def positions(self, x: Tensor) -> Tensor:
        """(*batch, dim) -> (*batch, particles, space), of zero mean."""
        self._check(x)
        return self.frame.positions(x)

    def coordinates(self, positions: Tensor) -> Tensor:
        """(*batch, particles, space) -> (*batch, dim); the mean of the positions is projected out."""
        return self.frame.coordinates(positions)

    def distances(self, x: Tensor) -> Tensor:
        """Distances of all pairs i < j, (*batch, dim) -> (*batch, pairs)."""
        self._check(x)
        return self._pairs(x).norm(dim=-2)

    def _pairs(self, x: Tensor) -> Tensor:
        """r_i - r_j, (*batch, space, pairs)."""
        return x.reshape(*x.shape[:-1], self.particles - 1, self.space).mT @ self._differences

    def energy(self, x: Tensor) -> Tensor:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        parts = [self.pair(self._pairs(part).square().sum(-2))[0].sum(-1) for part in flat.split(self._rows)]
        return self.pair_factor * torch.cat(parts).reshape(x.shape[:-1]) + self.oscillator / 2 * x.square().sum(-1)

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        energy, gradient = flat.new_empty(len(flat)), torch.empty_like(flat)
        for start in range(0, len(flat), self._rows):
            rows = slice(start, start + self._rows)
            pairs = self._pairs(flat[rows])
            values, slopes = self.pair(pairs.square().sum(-2))
            torch.sum(values, -1, out=energy[rows])
            gradient[rows] = (pairs.mul_(slopes[:, None]) @ self._differences.mT).mT.flatten(1)
        energy = self.pair_factor * energy + self.oscillator / 2 * flat.square().sum(-1)
        gradient = self.pair_factor * gradient + self.oscillator * flat
        return energy.reshape(x.shape[:-1]), gradient.reshape(x.shape)

    @property
    def _rows(self) -> int:
        return max(1, CHUNK.get(self.device.type, LARGE_CHUNK) // (self.space * self._differences.shape[1]))

    @property
    def centre_log_z(self) -> float:
        """What log_z gains where the centre of mass is kept and the oscillator is about the origin instead.

        space/2 log(2 pi temperature / oscillator), from the coordinates sqrt(particles) mean r. ValueError without one.
        """
        if not self.oscillator:
            raise ValueError("oscillator: is 0, and a free centre of mass has no normalising constant")
        return 0.5 * self.space * math.log(2 * math.pi * self.temperature / self.oscillator)

    # Two particles

    _cached = ("_radius",)

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset(["log_z", "sample"] if self.particles > 2 or not self._confined else [])

    @property
    def _confined(self) -> bool:
        """Whether two particles stay together: exp(-energy/temperature) can be integrated."""
        return self.oscillator > 0

    @cached_property
    def _radius(self) -> Density1D:
        """The law of |x| for two particles, whose distance is sqrt(2) |x|."""
        reach = 1.0
        while self._log_radius(np.array([reach, 1.01 * reach])).max() > self._log_radius(_scan(reach)).max() - 60:
            reach *= 1.25
        inside = _scan(reach)
        values = self._log_radius(inside)
        kept = inside[values > values.max() - 80]
        return Density1D(self._log_radius, float(kept[0]) * 0.99, reach, cells=32768)

    def _log_radius(self, radius: np.ndarray) -> np.ndarray:
        r = torch.from_numpy(np.atleast_1d(radius))
        energy = self.pair_factor * self.pair(2 * r.square())[0] + self.oscillator / 2 * r.square()
        return ((self.space - 1) * r.log() - energy / self.temperature).numpy()

    @property
    def log_z(self) -> float:
        if "log_z" in self._unknown:
            self._raise_unknown("log_z")
        half = self.space / 2
        return math.log(2) + half * math.log(math.pi) - math.lgamma(half) + self._radius.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        if "sample" in self._unknown:
            self._raise_unknown("sample")
        radius = self._radius.sample(n, generator=generator)
        way = torch.randn(n, self.space, generator=generator, dtype=torch.float64, device=generator.device)
        x = radius[:, None] * way / way.norm(dim=-1, keepdim=True)
        return x.to(dtype=self.dtype, device=self.device)

    # Names

    @property
    def variables(self) -> dict[str, Variable]:
        return {"positions": Variable((self.particles, self.space), ("particle", "axis"))}

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return {"positions": self.positions(x)}


class DoubleWellParticles(ParticleSystem):
    """Particles whose distances have two wells: u(r) = a d^4 + b d^2 + c,   d = r - offset; no oscillator by default.

    The defaults are DW4: 4 particles in the plane, every pair once, dim 6 (8 with the centre of mass). The four
    constants of the literature's codes agree. Kohler, Klein and Noe 2020, https://arxiv.org/abs/2006.02425.

    particles: their number. space: its dimension. pair_factor: how often each pair counts. temperature: in units of the
    energy. dtype, device, name: as of `Target`.

        >>> dw4 = targets.DoubleWellParticles()
        >>> dw4.dim, dw4.positions(torch.zeros(6)).shape
        (6, torch.Size([4, 2]))
    """

    def __init__(
        self,
        particles: int = 4,
        space: int = 2,
        *,
        a: float = 0.9,
        b: float = -4.0,
        c: float = 0.0,
        offset: float = 4.0,
        pair_factor: float = 1.0,
        oscillator: float = 0.0,
        temperature: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        self.a, self.b, self.c, self.offset = positive(a, "a"), float(b), float(c), not_negative(offset, "offset")
        super().__init__(particles, space, pair_factor, oscillator, temperature, dtype, device, name)

    def pair(self, square: Tensor) -> tuple[Tensor, Tensor]:
        distance = square.sqrt()
        d = distance - self.offset
        d2 = d.square()
        slope = d * (4 * self.a * d2 + 2 * self.b) / distance
        # where two particles meet the force has no direction: 0
        return self.a * d2.square() + self.b * d2 + self.c, torch.where(distance > 0, slope, 0.0)

    @property
    def _confined(self) -> bool:
        return True


class LennardJones(ParticleSystem):
    """Lennard-Jones particles in a harmonic trap about their own centre.

        u(r) = epsilon [ (rm / r)^12 - 2 (rm / r)^6 ],     least at r = rm, where it is -epsilon

    Nothing is clamped: the energy of particles that meet is +inf, log_prob -inf. Conventions, with epsilon = rm = 1 and
    oscillator = 1 (the energy |r|^2/2 a particle): pair_factor=1 in bgflow and EACF, pair_factor=2 in DEM with its
    default energy_factor of 1 (it sums over ordered pairs; its 0.5 is our 1). With oscillator=0 the density cannot be
    normalised. LJ13 and LJ55 are 13 and 55 particles in space. Kohler, Klein and Noe 2020,
    https://arxiv.org/abs/2006.02425.

    particles, space: their number, and its dimension. epsilon, temperature: in units of the energy. rm: a length.
    dtype, device, name: as of `Target`.

        >>> pair = targets.LennardJones(2, space=1, oscillator=0.0)
        >>> at_rest = pair.coordinates(torch.tensor([[-0.5], [0.5]]))
        >>> round(pair.energy(at_rest).item(), 4)
        -1.0
    """

    def __init__(
        self,
        particles: int = 13,
        space: int = 3,
        *,
        epsilon: float = 1.0,
        rm: float = 1.0,
        pair_factor: float = 1.0,
        oscillator: float = 1.0,
        temperature: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        self.epsilon, self.rm = positive(epsilon, "epsilon"), positive(rm, "rm")
        super().__init__(particles, space, pair_factor, oscillator, temperature, dtype, device, name)

    def pair(self, square: Tensor) -> tuple[Tensor, Tensor]:
        inverse = square.reciprocal()
        ratio = self.rm**2 * inverse
        sixth = ratio * ratio * ratio
        return self.epsilon * sixth * (sixth - 2), (-12 * self.epsilon) * sixth * (sixth - 1) * inverse


def _scan(reach: float) -> np.ndarray:
    return np.linspace(0.0, reach, 4001)[1:]
