"""Hamiltonian Monte Carlo with an inverse mass matrix for each region of space.

    k ~ r(. | x);   (x, p) -> (x', p') by leapfrog with C_k = L_k L_k';   accepted with probability
    min(1, exp(H(x, p) - H(x', p')) r(k | x') / r(k | x)),   r(k | x) = w_k N(x; m_k, C_k) / sum_j w_j N(x; m_j, C_j)

Given k this is HMC on p(x) r(k | x), whose sum over k is p(x): a step draws k from its law given x and then moves x
within the joint law. With other coordinates y(x) all of this takes place in y, where the density is p(x(y)) |dx/dy|.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.kernels.hmc import HMC
from samplers.kernels.noncentring import NonCentring
from samplers.runs.state import Info, State, evaluate
from targets import GaussianMixture, Target


@dataclass(frozen=True, eq=False)
class _Within(HMC):
    """HMC whose chains each have a factor L (chains, dim) or (chains, dim, dim), and a region they may leave."""

    _: KW_ONLY
    regions: GaussianMixture
    factors: Tensor
    chosen: Tensor
    log_share: Tensor  # log r(k | x) at the start, (chains,)
    log_det: Tensor | None = None  # log |dx/dy| there, where it moves in y
    coordinates: NonCentring | None = None

    def to_x(self, z: Tensor) -> Tensor:
        return z * self.factors if self.factors.ndim == 2 else (self.factors @ z[..., None])[..., 0]

    def to_z(self, score: Tensor) -> Tensor:
        return score * self.factors if self.factors.ndim == 2 else (score[..., None, :] @ self.factors)[..., 0, :]

    def weighed(self, log_ratio: Tensor, proposal: State) -> tuple[Tensor, Tensor]:
        if self.coordinates is not None:
            assert self.log_det is not None
            log_ratio = log_ratio + (self.coordinates.log_det(proposal.x).double() - self.log_det)
        ahead = self.regions.mode_probabilities(_in_y(self.coordinates, proposal.x))
        return log_ratio + (_log_share(ahead, self.chosen) - self.log_share), log_ratio

    def leapfrog(self, target: Target, state: State, momentum: Tensor, n: int) -> tuple[State, Tensor]:
        if self.coordinates is None:
            return super().leapfrog(target, state, momentum, n)
        assert state.score is not None
        end, e, y = state, self.h, self.coordinates.to_y(state.x)
        momentum = momentum + 0.5 * e * self.to_z(self.coordinates.score_to_y(y, state.score))
        for i in range(n):
            y = y + e * self.to_x(momentum)
            end = evaluate(target, self.coordinates.to_x(y))
            assert end.score is not None
            kick = self.to_z(self.coordinates.score_to_y(y, end.score))
            momentum = momentum + (e if i < n - 1 else 0.5 * e) * kick
        return end, momentum


def _in_y(coordinates: NonCentring | None, x: Tensor) -> Tensor:
    return x if coordinates is None else coordinates.to_y(x)


def _log_share(shares: Tensor, chosen: Tensor) -> Tensor:
    """log r(k | x), (chains,) in float64."""
    return shares.gather(1, chosen[:, None])[:, 0].double().log()


@dataclass(frozen=True, eq=False)
class RegionalHMC(HMC):
    """HMC that moves each chain with the covariance of the mixture component it is in.

    Where scales differ from place to place (funnels, modes of unequal width) one mass matrix fits nowhere. `regions` is
    a Gaussian mixture that roughly fits the target: its components give the inverse mass matrices, its
    responsibilities r(k | x) which of them a step uses. Leaves the target invariant whatever the mixture, and is
    reversible. step_size is in units of the component's spread. The other arguments and the cost are those of HMC.
    coordinates: those in which it moves and `regions` are given; None is x itself. Where the scale of many coordinates
    goes by one (the neck of a funnel) no mixture of a few components follows it, and non-centred coordinates do.

    inverse_mass_matrix, trajectory_length, steps, max_steps: as of HMC, the matrix in units of a component's.
    target_acceptance: that by the energy error alone, 0.8. regions must be given: TypeError where they are
    no GaussianMixture. metric: none, the regions have the matrices; ValueError for one.

        >>> from samplers.kernels import RegionalHMC
        >>> modes = targets.GaussianMixture([[-3.0], [3.0]], scales=[0.1, 1.0])
        >>> kernel = RegionalHMC(step_size=0.5, steps=4, regions=modes)
        >>> kernel.sample(modes, chains=4, draws=20, warmup=0, seed=0).x.shape
        torch.Size([4, 20, 1])
    """

    regions: GaussianMixture = field(kw_only=True)
    coordinates: NonCentring | None = None
    target_acceptance: float = 0.8

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.metric is not None:
            raise ValueError(f"metric: got {self.metric!r}, and the matrices of RegionalHMC are those of its regions")
        if not isinstance(self.regions, GaussianMixture):
            raise TypeError(f"regions: got {type(self.regions).__name__}, expected a targets.GaussianMixture")

    def placed(self, target: Target) -> Self:
        if self.regions.dim != target.dim:
            raise ValueError(f"regions: got dim {self.regions.dim}, expected {target.dim} like {target.name}")
        coordinates = self.coordinates
        if coordinates is not None:
            if coordinates.dim != target.dim:
                raise ValueError(f"coordinates: got dim {coordinates.dim}, expected {target.dim} like {target.name}")
            coordinates = coordinates.to(torch.empty((), dtype=target.dtype, device=target.device))
        regions = self.regions.to(target.device, target.dtype)
        return replace(super().placed(target), regions=regions, coordinates=coordinates)

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        shares = self.regions.mode_probabilities(_in_y(self.coordinates, state.x))
        uniform = torch.rand(len(shares), 1, generator=generator, dtype=shares.dtype, device=shares.device)
        cumulative = shares.cumsum(1)
        chosen = torch.searchsorted(cumulative, uniform * cumulative[:, -1:]).clamp_max(shares.shape[1] - 1)[:, 0]
        within = _Within(
            self.step_size,
            "identity",
            steps=self._leapfrogs(generator),
            regions=self.regions,
            factors=self.regions.component_factors[chosen],
            chosen=chosen,
            log_share=_log_share(shares, chosen),
            log_det=None if self.coordinates is None else self.coordinates.log_det(state.x).double(),
            coordinates=self.coordinates,
        )
        return within.step(target, state, generator)
