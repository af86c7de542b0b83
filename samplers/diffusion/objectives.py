"""What training makes small: a few lines over the potentials of simulated paths.

    C_k = log pi_k(x_k) + sum of the log ratios of the steps before k,   so that log w = C_K - C_0

The loss of paths that need no gradient through them is a function of C (steps + 1, n), or of its first and last row.
Its derivative with respect to C, found at the simulated values, is all that the backward pass over the networks needs:
that pass can go block by block, and its memory does not grow with the number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.diffusion.adjoint import adjoint
from samplers.diffusion.gradient import Objective, through_paths
from samplers.path_measures.base import PathMeasure
from targets import Target
from targets.arguments import check_choice, positive


@dataclass(frozen=True)
class KL(Objective):
    """E[-log w] under the model: the reverse Kullback-Leibler divergence of the path measures, less log Z.

    The gradient goes through the states (reparametrised noise). sticking_the_landing leaves out the part of it whose
    mean is zero, so that it vanishes, noise and all, where the model is right (Roeder, Wu and Duvenaud 2017,
    https://arxiv.org/abs/1703.09194).
    memory: "full" keeps the graph of all steps; "recompute" one of about sqrt(steps) steps at a time, which gives the
    same gradient for one more evaluation; "adjoint" (DDS, PIS, DIS) that of one step, by torchsde's adjoint equation.
    The adjoint's gradient has the same mean and another noise, that of no landing: sticking_the_landing is then False.

    ValueError for another memory.

        >>> from samplers.diffusion import KL
        >>> KL(memory="adjoint")
        KL(sticking_the_landing=False, memory='adjoint')
    """

    sticking_the_landing: bool = True
    memory: str = "full"

    through_paths: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(self.memory, "memory", ("full", "recompute", "adjoint"))
        if self.memory == "adjoint" and self.sticking_the_landing:
            object.__setattr__(self, "sticking_the_landing", False)

    def __call__(self, potentials: Tensor, log_z: Tensor) -> Tensor:
        return (potentials[0] - potentials[-1]).mean()

    def gradient_of_model(
        self, measure: PathMeasure, target: Target, n: int, generator: Generator, log_z: Tensor, weight: float = 1.0
    ) -> tuple[float, Tensor]:
        if self.memory == "adjoint":
            return adjoint(measure, target, n, generator, weight)
        return through_paths(
            measure, target, n, generator, landing=self.sticking_the_landing, memory=self.memory, weight=weight
        )


@dataclass(frozen=True)
class ForwardKL(Objective):
    """E[log w] over backward paths from points of the target: the forward Kullback-Leibler divergence, plus log Z.

    The forward steps are regressed on the backward ones, step by step, with a noise that does not grow with the
    dimension, and what the points cover is covered. It needs such points: those of the pilot, which HMC keeps moving
    (`samplers.diffusion.witnesses`). Its bound is the EUBO (Blessing, Jia, Esslinger, Vargas and Neumann 2024,
    https://arxiv.org/abs/2406.07423).

        >>> from samplers.diffusion import ForwardKL
        >>> potentials = torch.tensor([[0.0, 0.0], [1.0, 3.0]], dtype=torch.float64)
        >>> ForwardKL()(potentials, torch.zeros(()))
        tensor(2., dtype=torch.float64)
    """

    from_witnesses: ClassVar[bool] = True

    def __call__(self, potentials: Tensor, log_z: Tensor) -> Tensor:
        return (potentials[-1] - potentials[0]).mean()


@dataclass(frozen=True)
class LogVariance(Objective):
    """Var(log w) over paths of any law (Richter and Berner 2024, https://arxiv.org/abs/2307.01198); zero, with its
    gradient's noise, at the optimum.

    huber: paths whose log w is further from the median than this many standard deviations count linearly, so that the
    few wild ones of an untrained model do not drown the rest; None squares all. The standard deviation is the robust
    one, 1.4826 times the median absolute deviation.

        >>> from samplers.diffusion import LogVariance
        >>> potentials = torch.tensor([[0.0, 0.0], [1.0, 3.0]], dtype=torch.float64)
        >>> LogVariance()(potentials, torch.zeros(()))
        tensor(2., dtype=torch.float64)
    """

    huber: float | None = None

    def __post_init__(self) -> None:
        if self.huber is not None:
            positive(self.huber, "huber")

    def __call__(self, potentials: Tensor, log_z: Tensor) -> Tensor:
        log_w = potentials[-1] - potentials[0]
        deviation = log_w - log_w.mean().detach()
        if self.huber is None:
            return deviation.square().sum() / max(1, len(log_w) - 1)
        deviation = log_w - log_w.median().detach()
        limit = self.huber * 1.4826 * deviation.detach().abs().median()
        return 2 * torch.nn.functional.huber_loss(deviation, torch.zeros_like(deviation), delta=float(limit) + 1e-12)


@dataclass(frozen=True)
class VarGrad(Objective):
    """mean (log w - mean log w)^2, with log Z estimated by the batch: the gradient of the log-variance up to a factor.

    Richter, Boustati, Nusken, Ruiz and Akyildiz 2020, https://arxiv.org/abs/2010.10436.

        >>> from samplers.diffusion import VarGrad
        >>> samplers.CMCD(objective=VarGrad()).objective
        VarGrad()
    """

    def __call__(self, potentials: Tensor, log_z: Tensor) -> Tensor:
        log_w = potentials[-1] - potentials[0]
        return (log_w - log_w.detach().mean()).square().mean()


@dataclass(frozen=True)
class TrajectoryBalance(Objective):
    """mean (log w - log Z)^2 with a learned log Z (Malkin, Jain, Bengio, Sun and Bengio 2022,
    https://arxiv.org/abs/2201.13259).

        >>> from samplers.diffusion import TrajectoryBalance
        >>> potentials = torch.tensor([[0.0, 0.0], [1.0, 3.0]], dtype=torch.float64)
        >>> TrajectoryBalance()(potentials, torch.tensor(1.0))
        tensor(2., dtype=torch.float64)
    """

    learns_log_z: ClassVar[bool] = True

    def __call__(self, potentials: Tensor, log_z: Tensor) -> Tensor:
        return (potentials[-1] - potentials[0] - log_z).square().mean()


@dataclass(frozen=True)
class SubTrajectoryBalance(Objective):
    """mean over i < j of (C_j - C_i)^2 with weights decay^(j - i), log Z and a flow learned (Madan et al. 2023,
    https://arxiv.org/abs/2209.12782).

    C_k counts log pi_k + a learned network between the ends, and log Z at k = 0. `stride`: the states i, j are
    multiples of it, and the last one.

        >>> from samplers.diffusion import SubTrajectoryBalance
        >>> SubTrajectoryBalance(decay=0.8).learns_log_z
        True
    """

    decay: float = 0.9
    stride: int = 8

    every_state: ClassVar[bool] = True
    learns_log_z: ClassVar[bool] = True
    learns_flow: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive(self.decay, "decay")

    def __call__(self, potentials: Tensor, log_z: Tensor) -> Tensor:
        rows = len(potentials)
        kept = sorted({*range(0, rows, self.stride), rows - 1})
        c = potentials[kept].clone()
        c[0] = c[0] + log_z
        index = torch.arange(len(kept), device=c.device)
        gap = index[None] - index[:, None]
        weights = torch.where(gap > 0, self.decay ** gap.clamp_min(0).double(), 0.0)
        weights = weights / weights.sum()
        differences = (c[None] - c[:, None]).square().mean(-1)
        return (weights * differences).sum()
