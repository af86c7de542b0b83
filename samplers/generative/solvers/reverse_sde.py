"""The reverse SDE and its plug-in family, by Euler-Maruyama and by exponential steps.

    dx = (a x - (1 - lam/2) g^2 C s) dt + sqrt(1 - lam) g dW        backward from the horizon

For the exact score every lam <= 1 has the marginals of the process: lam = 0 is the reverse SDE, lam = 1 the probability
flow, and lam < 0 adds Langevin noise to the former. Huang, Lim and Courville 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from samplers.generative.solvers.base import GridSolver, Reversal
from targets.arguments import shown

NODES, WEIGHTS = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(16))


@dataclass(frozen=True, eq=False)
class PlugIn(GridSolver):
    """A solver of the plug-in family; see the module.

    lam: at most 1. steps, grid: as of `GridSolver`. ValueError for a lam that is not finite, or above 1.
    Huang, Lim and Courville 2021, https://arxiv.org/abs/2106.02808.

        >>> from samplers.generative.solvers import EulerMaruyama, PlugIn
        >>> issubclass(EulerMaruyama, PlugIn), EulerMaruyama(steps=10, lam=1.0).deterministic
        (True, True)
    """

    lam: float = 0.0

    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -math.inf < self.lam <= 1:
            raise ValueError(f"lam: got {shown(self.lam)}, expected a finite number of at most 1")
        self.says(deterministic=self.lam == 1)


class EulerMaruyama(PlugIn):
    """Euler-Maruyama steps of the reverse SDE, h = t - s:

        x_s = x_t + h ((1 - lam/2) g^2 C s(x_t, t) - a x_t) + sqrt((1 - lam) h) g e,   e ~ N(0, C)

    Weak order 1; one evaluation a step; the last step is as the others. Equal steps of time.
    steps, grid: as of `GridSolver`; lam: as of `PlugIn`, with the errors of both. At lam = 1 this is `Euler`.
    Maruyama 1955; Song et al. 2021, https://arxiv.org/abs/2011.13456.

        >>> from samplers.generative import as_score
        >>> from samplers.generative.solvers import EulerMaruyama
        >>> from samplers.denoisers import ClosedForm
        >>> from samplers.processes.linear import VP
        >>> score = as_score(ClosedForm(), VP(), targets.Gaussian([3.0], scale=0.5))
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = EulerMaruyama(steps=200).solve(score, VP(), torch.randn(4000, 1, generator=generator), generator)
        >>> abs(float(x.mean()) - 3) < 0.1, abs(float(x.std()) - 0.5) < 0.05
        (True, True)
    """

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """x_s of the equation above."""
        mean = x - (t - s) * reversal.velocity(x, t, score_weight=1 - self.lam / 2)
        return reversal.noised(mean, math.sqrt((1 - self.lam) * (t - s)) * float(reversal.process.diffusion(t)))


class ExponentialIntegrator(PlugIn):
    """Steps of the reverse SDE that are exact but for the score, which is held for the length of a step:

        x_s = x_t / A + (1 - lam/2) K C s(x_t, t) + sqrt((1 - lam) V) / A e,   e ~ N(0, C)
        x_t | x_s ~ N(A x_s, V C),   K = int_s^t g(u)^2 exp(-int_s^u a) du

    K by 16 nodes of Gauss and Legendre. Weak order 1; one evaluation a step; the last step is as the others. Equal
    steps of time. steps, grid: as of `GridSolver`; lam: as of `PlugIn`, with the errors of both.
    Zhang and Chen 2023, https://arxiv.org/abs/2204.13902.

        >>> from samplers.generative.solvers import ExponentialIntegrator
        >>> from samplers.processes.linear import VP
        >>> generator = torch.Generator().manual_seed(0)
        >>> solver = ExponentialIntegrator(steps=1)  # N(0, 1) noised by VP remains N(0, 1)
        >>> solver.solve(lambda x, t: -x, VP(), torch.zeros(10, 1), generator).shape
        torch.Size([10, 1])
    """

    def step(self, reversal: Reversal, x: Tensor, t: float, s: float) -> Tensor:
        """x_s of the equation above."""
        scale, variance = reversal.transition(s, t)
        force = reversal.times_covariance(reversal.score(x, t))
        mean = x / scale + (1 - self.lam / 2) * self._gain(reversal, t, s) * force
        return reversal.noised(mean, math.sqrt((1 - self.lam) * variance) / scale)

    @staticmethod
    def _gain(reversal: Reversal, t: float, s: float) -> float:
        """K."""
        half = 0.5 * (t - s)
        nodes = s + half * (1 + NODES)
        scale, _ = reversal.process.transition(s, nodes)
        return half * float((WEIGHTS * reversal.process.diffusion(nodes).square() / scale).sum())
