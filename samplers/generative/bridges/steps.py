"""One direction of a bridge on a grid of times: Gaussian steps that are exact for Gaussian ends before training.

    x_{k+1} ~ N(x_k + r_k (D(x_k, t_k) - x_k),  s_k^2 L_k L_k'),     r_k = (t_{k+1} - t_k) / (1 - t_k)
    D(x, t) = E_Gauss[X_1 | X_t = x] + c_t N(t, z),                   z = (x - m_t) / d_t
    L_k L_k' = r_k^2 Cov_Gauss(X_1 | X_k) + eps r_k (1 - t_{k+1}) I

D(x, t) stands for E[X_1 | X_t = x]: given X_1 a bridge is a Brownian bridge, whose next state has the mean
x + r (X_1 - x) and the last of the two variances. E_Gauss and Cov_Gauss are of the Schroedinger bridge between
Gaussians of the ends' moments, which is Gaussian itself; c_t are the deviations of X_1 given X_t there, m_t and d_t
means and deviations of X_t. N, the network, is zero where training starts, and s_k is one: every step is then that of
the Gaussian bridge, with no error of discretisation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from samplers.generative.bridges.gaussian import GaussianBridge
from samplers.networks import NetworkSpec
from samplers.path_measures.base import Step


class Coefficients(NamedTuple):
    """At s times: slope and shift of E_Gauss (s, dim, dim) and (s, 1, dim), left Cov_Gauss (s, dim, dim), centre m,
    size d and unit c, (s, 1, dim) each."""

    slope: Tensor
    shift: Tensor
    left: Tensor
    centre: Tensor
    size: Tensor
    unit: Tensor

    @classmethod
    def at(cls, bridge: GaussianBridge, t: Tensor) -> Coefficients:
        """Of the bridge between Gaussians, at times t (s,) before 1; in float64."""
        start, end, cross = bridge.start_covariance, bridge.end_covariance, bridge.cross_covariance
        t = t.double()[:, None, None]
        unit = torch.eye(len(start), dtype=torch.float64, device=start.device)
        centre = torch.lerp(bridge.start_mean.expand(len(t), 1, -1), bridge.end_mean.expand(len(t), 1, -1), t)
        covariance = (1 - t) ** 2 * start + t**2 * end + t * (1 - t) * (cross + cross.mT + bridge.noise * unit)
        seen = (1 - t) * cross + t * end  # Cov(X_t, X_1)
        slope = torch.linalg.solve(covariance, seen).mT
        left = end - slope @ seen
        return cls(
            slope,
            bridge.end_mean - centre @ slope.mT,
            0.5 * (left + left.mT),
            centre,
            _deviations(covariance),
            _deviations(left),
        )


def _deviations(covariance: Tensor) -> Tensor:
    return covariance.diagonal(dim1=1, dim2=2).sqrt()[:, None]


class BridgeSteps(nn.Module):
    """See the module. gaussian: the bridge between Gaussians, from where these steps start. grid: (K + 1,) times from
    0 to 1 in float64; step k goes from the state at grid[k] to that at grid[k + 1]. network: what N is made from.
    dtype: of the states.
    """

    grid: Tensor
    share: Tensor
    factor: Tensor
    deviations: Tensor
    log_det: Tensor
    end_centre: Tensor
    end_size: Tensor

    def __init__(
        self, gaussian: GaussianBridge, grid: Tensor, network: NetworkSpec, generator: Generator, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.gaussian, self.dim, self.steps = gaussian, len(gaussian.start_mean), len(grid) - 1
        grid = grid.to(gaussian.start_mean)
        found = Coefficients.at(gaussian, grid[:-1])
        share = (grid.diff() / (1 - grid[:-1]))[:, None, None]
        free = gaussian.noise * share * (1 - grid[1:, None, None])
        unit = torch.eye(self.dim, dtype=torch.float64, device=grid.device)
        factor = torch.linalg.cholesky(share**2 * found.left + free * unit)
        for name, value in {
            **{f"at_{name}": getattr(found, name) for name in Coefficients._fields if name != "left"},
            "share": share,
            "factor": factor,
            "deviations": _deviations(factor @ factor.mT),
            "end_centre": gaussian.end_mean,
            "end_size": gaussian.end_covariance.diagonal().sqrt(),
        }.items():
            self.register_buffer(name, value)
        self.network = network.make(self.dim, generator)
        self.log_stretch = nn.Parameter(torch.zeros(self.steps, device=grid.device))  # log s
        self.to(dtype)
        self.register_buffer("grid", grid)  # this and the next in float64
        self.register_buffer("log_det", factor.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True))

    def at(self, k: Tensor) -> Coefficients:
        """The coefficients at the beginnings of steps k (s,)."""
        slope, shift, centre, size, unit = (
            getattr(self, f"at_{name}")[k] for name in Coefficients._fields if name != "left"
        )
        return Coefficients(slope, shift, slope, centre, size, unit)

    def ends(self, found: Coefficients, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """E_Gauss[X_1 | x] and N, (s, n, dim) each, at states x (s, n, dim) and times t (s,)."""
        gaussian = x @ found.slope.mT + found.shift
        z = (x - found.centre) / found.size
        return gaussian, self.network(t.to(x.dtype), z, (gaussian - self.end_centre) / self.end_size)

    def mean(self, k: Tensor, x: Tensor) -> Tensor:
        """That of the next states, (s, n, dim), from states x (s, n, dim) at the beginnings of steps k (s,)."""
        found = self.at(k)
        gaussian, learned = self.ends(found, self.grid[k], x)
        return torch.lerp(x, torch.addcmul(gaussian, found.unit, learned), self.share[k])

    def around(self, k: Tensor, mean: Tensor) -> Step:
        """The law of the next states with this mean."""
        stretch = self.log_stretch[k][:, None]
        return Step(mean, stretch.exp()[..., None], self.log_det[k] + self.dim * stretch.double(), self.factor[k])

    def step(self, k: Tensor, x: Tensor) -> Step:
        """The law of the next states."""
        return self.around(k, self.mean(k, x))

    def end(self, x: Tensor, t: Tensor) -> Tensor:
        """D, (n, dim), at states x (n, dim) and times t (n,) up to the last of the grid before 1."""
        found = Coefficients(*(value.to(x) for value in Coefficients.at(self.gaussian, t)))
        gaussian, learned = self.ends(found, t, x[:, None])
        return torch.addcmul(gaussian, found.unit, learned)[:, 0]

    @torch.no_grad()
    def calibrate(self, states: Tensor) -> None:
        """Make s most likely for paths (K + 1, n, dim): s_k^2 = mean of |L_k^-1 (x_{k+1} - mean)|^2 / dim."""
        for k in range(self.steps):
            index = torch.tensor([k], device=states.device)
            plain = Step(self.mean(index, states[k : k + 1]), states.new_ones(1), states, self.factor[index])
            self.log_stretch[k] = 0.5 * plain.noise_of(states[k + 1 : k + 2]).square().mean().log()
