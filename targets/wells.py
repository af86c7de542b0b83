"""Small wells of the literature on rare events: metastable, cheap, and everything about them is known."""

from __future__ import annotations

import itertools
import math
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor

from targets.arguments import positive, shown
from targets.boltzmann import Boltzmann
from targets.one_dimensional import Density1D
from targets.plane import PlaneBoltzmann


class DoubleWell(PlaneBoltzmann):
    """energy(x) = barrier (x_0^2 - 1)^2 + tilt x_0 + stiffness x_1^2 / 2,   log p = -energy / temperature.

    A tilt above 0 favours the left well. Known: log_z, exact draws, moments, both modes with their weights (left and
    right of the midpoint of the two minima). A tilt that leaves a single well is a ValueError.

    barrier, tilt, temperature: in units of the energy. stiffness: of the second coordinate, energy over squared length.
    dtype, device, name: as of `Target`.

        >>> double = targets.DoubleWell(barrier=2.0, temperature=0.5)
        >>> double.mode_weights, double.modes.round(decimals=2)
        (tensor([0.5000, 0.5000]), tensor([[-1.,  0.],
                [ 1.,  0.]]))
    """

    box = ((-1.8, -1.0), (1.8, 1.0))

    def __init__(
        self,
        barrier: float = 1.0,
        tilt: float = 0.0,
        stiffness: float = 1.0,
        temperature: float = 1.0,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(temperature, dtype=dtype, device=device, name=name)
        self.barrier, self.tilt = positive(barrier, "barrier"), float(tilt)
        self.stiffness = positive(stiffness, "stiffness")
        most = 8 * self.barrier / (3 * math.sqrt(3))
        if not abs(self.tilt) < most:
            raise ValueError(
                f"tilt: got {shown(tilt)}, expected less than {most:.4g} in size, beyond which one well is left"
            )

    @cached_property
    def _minima(self) -> np.ndarray:
        roots = np.sort(np.roots([4 * self.barrier, 0.0, -4 * self.barrier, self.tilt]).real)[[0, 2]]
        deepest_first = roots if self.tilt >= 0 else roots[::-1]
        return np.stack([deepest_first, np.zeros(2)], -1)

    def energy(self, x: Tensor) -> Tensor:
        self._check(x)
        a, b = x[..., 0], x[..., 1]
        return self.barrier * (a.square() - 1).square() + self.tilt * a + 0.5 * self.stiffness * b.square()

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x[..., 0], x[..., 1]
        along = 4 * self.barrier * a * (a.square() - 1) + self.tilt
        return self.energy(x), torch.stack([along, self.stiffness * b], -1)


class ThreeHole(PlaneBoltzmann):
    """Two deep holes joined by a direct path and by one through a shallow third, log p = -energy / temperature.

        energy(x) = 3 exp(-x_0^2 - (x_1 - 1/3)^2) - 3 exp(-x_0^2 - (x_1 - 5/3)^2) - 5 exp(-(x_0 - 1)^2 - x_1^2)
                    - 5 exp(-(x_0 + 1)^2 - x_1^2) + x_0^4 / 5 + (x_1 - 1/3)^4 / 5

    Which path carries the transitions changes with the temperature. Known: log_z, exact draws, moments, the three
    modes with their weights (by the nearest minimum). Metzner, Schutte and Vanden-Eijnden 2006,
    https://doi.org/10.1063/1.2335447.

    temperature: in units of the energy. dtype, device, name: as of `Target`.

        >>> targets.ThreeHole().modes[:, 1].round(decimals=2)
        tensor([-0.0400, -0.0400,  1.5400])
    """

    near_minima = ((-1.05, -0.04), (1.05, -0.04), (0.0, 1.54))
    box = ((-2.5, -2.0), (2.5, 2.8))
    _bumps = ((3.0, 0.0, 1 / 3), (-3.0, 0.0, 5 / 3), (-5.0, 1.0, 0.0), (-5.0, -1.0, 0.0))

    def energy(self, x: Tensor) -> Tensor:
        return self.energy_and_gradient(x)[0]

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        a, b = x[..., 0], x[..., 1]
        lifted = b - 1 / 3
        energy = (a.square().square() + lifted.square().square()) / 5
        along_a, along_b = 0.8 * a * a.square(), 0.8 * lifted * lifted.square()
        for height, a0, b0 in self._bumps:
            bump = height * (-(a - a0).square() - (b - b0).square()).exp()
            energy = energy + bump
            along_a, along_b = along_a - 2 * (a - a0) * bump, along_b - 2 * (b - b0) * bump
        return energy, torch.stack([along_a, along_b], -1)


class Prinz(Boltzmann):
    """Four wells of unequal depth on a line, log p = -energy / temperature.

        energy(x) = 4 (x^8 + 4/5 exp(-80 x^2) + 1/5 exp(-80 (x - 1/2)^2) + 1/2 exp(-40 (x + 1/2)^2))

    Known: log_z, exact draws, moments, the four modes from left to right with their weights (between the barriers).
    Prinz et al. 2011, https://doi.org/10.1063/1.3565032.

    temperature: in units of the energy. dtype, device, name: as of `Target`.

        >>> targets.Prinz().modes[:, 0].round(decimals=2)
        tensor([-0.7400, -0.2200,  0.2700,  0.6700])
    """

    _bumps = ((0.8, 80.0, 0.0), (0.2, 80.0, 0.5), (0.5, 40.0, -0.5))
    _near = (-0.73, -0.22, 0.26, 0.68)
    _near_barriers = (-0.5, 0.0, 0.48)

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(1, temperature, dtype=dtype, device=device, name=name)

    def energy(self, x: Tensor) -> Tensor:
        return self.energy_and_gradient(x)[0]

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        fourth = x.square().square()
        energy, slope = fourth.square(), 8 * fourth * x.square() * x
        for height, sharpness, centre in self._bumps:
            bump = height * (-sharpness * (x - centre).square()).exp()
            energy, slope = energy + bump, slope - 2 * sharpness * (x - centre) * bump
        return 4 * energy[..., 0], 4 * slope

    _cached = ("_line", "mode_weights")

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        return (self.energy(torch.from_numpy(x)[:, None]) / -self.temperature).numpy()

    @cached_property
    def _line(self) -> Density1D:
        reach = max(1.0, (20 * self.temperature) ** 0.125)  # 4 reach^8 is 80 temperatures there
        return Density1D(self._log_density, -reach, reach)

    @cached_property
    def _stationary(self) -> tuple[np.ndarray, np.ndarray]:
        """Minima and maxima of the energy."""
        from scipy import optimize

        def slope(x: float) -> float:
            return float(self.energy_and_gradient(torch.tensor([x], dtype=torch.float64))[1])

        roots = [[optimize.newton(slope, x, tol=1e-14) for x in near] for near in (self._near, self._near_barriers)]
        return np.array(roots[0]), np.array(roots[1])

    @property
    def log_z(self) -> float:
        return self._line.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        return self._line.sample(n, generator=generator)[:, None].to(dtype=self.dtype, device=self.device)

    @property
    def mean(self) -> Tensor:
        return self._here(self._line.expectation(lambda x: x[None]))

    @property
    def covariance(self) -> Tensor:
        first, second = self._line.expectation(lambda x: np.stack([x, x**2]))
        return self._here(np.array([[second - first**2]]))

    @property
    def modes(self) -> Tensor:
        return self._here(self._stationary[0][:, None])

    @cached_property
    def mode_weights(self) -> Tensor:
        edges = [-math.inf, *self._stationary[1], math.inf]
        parts = [self._line.probability(a, b) for a, b in itertools.pairwise(edges)]
        return self._here(np.array(parts))

    def mode_probabilities(self, x: Tensor) -> Tensor:
        which = torch.bucketize(x[..., 0].contiguous(), torch.from_numpy(self._stationary[1]).to(x))
        return torch.nn.functional.one_hot(which, 4).to(x.dtype)

    def _here(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(dtype=self.dtype, device=self.device)
