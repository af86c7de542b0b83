"""The phi^4 chain: a string of double wells held at zero at both ends."""

from __future__ import annotations

import math
from functools import cached_property, partial

import numpy as np
import torch
from torch import Generator, Tensor

from targets.arguments import check_integer, positive, shown
from targets.base import Variable
from targets.boltzmann import Boltzmann
from targets.chain_transfer import ChainTransfer

MOST_CELLS = 4096


class PhiFourChain(Boltzmann):
    """The phi^4 field on N = `sites` points of a line, x_0 = x_{N+1} = 0, at inverse temperature `beta`.

        energy(x) = a N / 2 sum_{i=0..N} (x_{i+1} - x_i)^2 + 1/(a N) sum_{i=1..N} [ (1 - x_i^2)^2 / 4 + b x_i ]
        log p(x) = -beta energy(x)
        d energy / d x_i = a N (2 x_i - x_{i-1} - x_{i+1}) + (x_i^3 - x_i + b) / (a N)

    Two modes, the field negative or positive; the tilt b > 0 favours the negative one. Known by transfer quadrature,
    correct to about 12 digits: log_z, mean, covariance, exact draws, and `mode_weights`, the probabilities that the
    middle site (index N // 2) is negative and positive. The modes are the minima that descent reaches from the fields
    -1 and +1; where both reach the same there is one. They are unknown for a N < 1, where there are many.
    Gabrie, Rotskoff, Vanden-Eijnden 2022, https://arxiv.org/abs/2105.12603; Grenioux et al. 2024,
    https://arxiv.org/abs/2402.10758 (N = 100, a = 0.1, beta = 20, b = 0 or 0.05).

    dtype, device, name: as of `Target`.

        >>> chain = targets.PhiFourChain(sites=20)
        >>> chain.mode_weights.round(decimals=6), chain.modes.shape
        (tensor([0.5000, 0.5000]), torch.Size([2, 20]))
    """

    def __init__(
        self,
        sites: int = 100,
        a: float = 0.1,
        b: float = 0.0,
        beta: float = 20.0,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        check_integer(sites, "sites")
        super().__init__(sites, 1 / positive(beta, "beta"), dtype=dtype, device=device, name=name)
        if not math.isfinite(b):
            raise ValueError(f"b: got {shown(b)}, expected a finite number")
        self.a, self.b = positive(a, "a"), float(b)
        self._spring = self.a * sites

    @property
    def beta(self) -> float:
        """1 / temperature."""
        return 1 / self.temperature

    def energy(self, x: Tensor) -> Tensor:
        self._check(x)
        springs = x.diff(dim=-1).square().sum(-1) + x[..., 0].square() + x[..., -1].square()
        wells = (1 - x.square()).square().sum(-1) / 4 + self.b * x.sum(-1)
        return 0.5 * self._spring * springs + wells / self._spring

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        inside = x.square() - 1
        gradient = (2 * self._spring) * x + (inside * x + self.b) / self._spring
        gradient[..., 1:] -= self._spring * x[..., :-1]
        gradient[..., :-1] -= self._spring * x[..., 1:]
        steps = x.diff(dim=-1).square().sum(-1) + x[..., 0].square() + x[..., -1].square()
        wells = inside.square_().sum(-1) / 4 + self.b * x.sum(-1)
        return 0.5 * self._spring * steps + wells / self._spring, gradient

    # What is exactly known

    _cached = ("modes", "mode_weights", "_transfer")

    @cached_property
    def _transfer(self) -> ChainTransfer:
        well, stiffness = self.beta / self._spring, self.beta * self._spring
        least = min(np.polyval([0.25, 0, -0.5, self.b, 0.25], np.roots([1.0, 0, -1.0, self.b]).real))
        ends = np.roots([0.25, 0, -0.5, self.b, 0.25 - least - 80 / well])
        reach = float(np.abs(ends[np.abs(ends.imag) < 1e-9].real).max())  # a site beyond has weight below e^-80
        curvature = 2 * well + 6 * math.sqrt(20 * well)  # of the wells, where a site has weight e^-20
        spacing = 0.5 / math.sqrt(stiffness + curvature)
        cells = 2 * math.ceil(reach / spacing)
        if cells > MOST_CELLS:
            raise ValueError(
                f"{self.name}: needs {cells} points of quadrature a site, at most {MOST_CELLS} are allowed"
            )
        return ChainTransfer(partial(_log_weight, well, self.b), self.dim, stiffness, reach, cells)

    @property
    def log_z(self) -> float:
        return self._transfer.log_z

    @property
    def mean(self) -> Tensor:
        return self._here(self._transfer.mean)

    @property
    def covariance(self) -> Tensor:
        transfer = self._transfer
        return self._here(transfer.second_moments - np.outer(transfer.mean, transfer.mean))

    @property
    def log_weight_ratio(self) -> float:
        """log[ P(x_mid < 0) / P(x_mid > 0) ] of the middle site, index N // 2."""
        below = self._transfer.probability_below_zero(self.dim // 2)
        above = self._transfer.probability_above_zero(self.dim // 2)
        return math.log(below) - math.log(above)

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        return self._transfer.sample(n, generator).to(dtype=self.dtype, device=self.device)

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset(["modes", "mode_weights"] if self._spring < 1 else [])

    @cached_property
    def modes(self) -> Tensor:
        if self._spring < 1:
            self._raise_unknown("modes")
        low, high = self._minimum(-1.0), self._minimum(1.0)
        ends = [low] if np.abs(low - high).max() < 1e-6 else [low, high]
        return self._here(np.stack(ends))

    @cached_property
    def mode_weights(self) -> Tensor:
        if self._spring < 1:
            self._raise_unknown("mode_weights")
        if len(self.modes) == 1:
            return torch.ones(1, dtype=self.dtype, device=self.device)
        middle = self.dim // 2
        transfer = self._transfer
        weights = [transfer.probability_below_zero(middle), transfer.probability_above_zero(middle)]
        return self._here(np.array(weights))

    def mode_probabilities(self, x: Tensor) -> Tensor:
        if len(self.modes) == 1:
            return torch.ones_like(x[..., :1])
        above = (x[..., self.dim // 2] > 0).to(x.dtype)
        return torch.stack([1 - above, above], -1)

    def _minimum(self, start: float) -> np.ndarray:
        from scipy import optimize

        double = type(self)(self.dim, self.a, self.b, self.beta, dtype=torch.float64)

        def value_and_slope(x: np.ndarray) -> tuple[float, np.ndarray]:
            energy, gradient = double.energy_and_gradient(torch.from_numpy(x))
            return float(energy), gradient.numpy()

        near = optimize.minimize(value_and_slope, np.full(self.dim, start), jac=True, method="L-BFGS-B").x
        ring = self._spring * (2 * np.eye(self.dim) - np.eye(self.dim, k=1) - np.eye(self.dim, k=-1))
        for _ in range(50):  # Newton's method
            hessian = ring + np.diag((3 * near**2 - 1) / self._spring)
            step = np.linalg.solve(hessian, value_and_slope(near)[1])
            near = near - step
            if np.abs(step).max() < 1e-13:
                break
        return near

    def _here(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(dtype=self.dtype, device=self.device)

    @property
    def variables(self) -> dict[str, Variable]:
        return {"field": Variable((self.dim,), ("site",))}

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return {"field": x}


def _log_weight(well: float, b: float, x: np.ndarray) -> np.ndarray:
    return -well * ((1 - x * x) ** 2 / 4 + b * x)
