"""Denoising diffusion implicit models: from a deterministic step to the ancestral one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.generative.solvers.base import LogSNR, Reversal
from targets.arguments import shown


@dataclass(frozen=True, eq=False)
class DDIM(LogSNR):
    """Steps back that put the predicted noise in place again, in part as fresh noise:

        x_s = a_s D + sqrt(sigma_s^2 - eta^2 V) E + eta sqrt(V) e,   e ~ N(0, C)
        E = E[e | x_t],   D = (x_t - sigma_t E) / a_t,   V C = Var(x_s | x_0, x_t)

    eta = 0 draws nothing, and is `DPMSolver1`; eta = 1 is `Ancestral`. Order 1, weak where noise is drawn; one
    evaluation a step; the last step is D. Equal steps of log-SNR.
    steps: at least 2. eta: in [0, 1]. steps, grid, and errors raised: as of `GridSolver`; ValueError for eta outside.
    Song, Meng and Ermon 2021, https://arxiv.org/abs/2010.02502.

        >>> from samplers.generative.solvers import DDIM
        >>> from samplers.processes.linear import OrnsteinUhlenbeck
        >>> DDIM(steps=200).solve(lambda x, t: -x, OrnsteinUhlenbeck(), torch.ones(1, 1)).round(decimals=1)
        tensor([[1.]])
    """

    eta: float = 0.0

    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_eta(self.eta)
        self.says(deterministic=self.eta == 0)

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """x_s of the equation above."""
        predicted = reversal.noise(x, t)
        (scale_t, sigma_t), (scale_s, _) = reversal.level(t), reversal.level(s)
        kept, fresh = split(reversal, t, s, self.eta)
        clean = (x - sigma_t * predicted) / scale_t
        return reversal.noised(scale_s * clean + kept * predicted, fresh)


def split(reversal: Reversal, t: float, s: float, eta: float) -> tuple[float, float]:
    """sqrt(sigma_s^2 - eta^2 V), the predicted noise kept, and eta sqrt(V), the fresh noise.

    sigma_s^2 = V + c^2 sigma_t^2, of x_s | x_0, x_t ~ N(b x_0 + c x_t, V C): nothing close is subtracted.
    """
    _, last, variance = reversal.posterior(s, t)
    _, sigma = reversal.level(t)
    return math.sqrt((1 - eta**2) * variance + (last * sigma) ** 2), eta * math.sqrt(variance)


def check_eta(eta: float) -> None:
    """ValueError for what is outside [0, 1]."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: got {shown(eta)}, expected a number from 0, no fresh noise, to 1, ancestral sampling")
