"""The Blob method.

    v_i = s(x_i) - sum_j grad_{x_i} K_ij / sum_k K_ik - sum_j grad_{x_i} K_ij / sum_k K_jk,   s = grad log p

The exact gradient flow of the energy F = sum_i [log sum_j K_ij - log p(x_i)]: KL(q || p) with the logarithm of q
smoothed. Carrillo, Craig, Patacchini 2019; Chen et al. 2018; Liu et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from samplers.particles.method import ParticleMethod
from samplers.particles.pair_kernels import Pairs


@dataclass(frozen=True)
class Blob(ParticleMethod):
    """The Blob method: GFSD, and a second repulsion that makes it the gradient flow of an energy.

        v_i = s(x_i) - sum_j grad_{x_i} K_ij / sum_k K_ik - sum_j grad_{x_i} K_ij / sum_k K_jk

    v = -grad F for F = sum_i [log sum_j K_ij - log p(x_i)]; repulsions cancel over the particles, so at a fixed point
    the mean score is zero, and on a Gaussian the mean is exact. Biased at finite n: with 300 particles on N(0, I) the
    variances were 1.00, 0.96 and 0.56 in 1, 2 and 10 dimensions. kernel="imq" is refused, as in GFSD. Carrillo, Craig,
    Patacchini 2019, https://arxiv.org/abs/1709.09195; Liu et al. 2019, https://arxiv.org/abs/1807.01750.

    bandwidth, step_size, optimiser: as of `ParticleMethod`, as well as the errors raised.

        >>> samplers.Blob().sample(targets.Gaussian([1.0]), draws=50, iterations=100, seed=0).x.shape
        torch.Size([1, 50, 1])
    """

    smooths_density: ClassVar[bool] = True

    def velocity(self, x: Tensor, score: Tensor, squared_bandwidth: Tensor) -> Tensor:
        """Minus the gradient of F."""
        pairs = Pairs(x, self.kernel, squared_bandwidth, held=True)
        inverse = pairs.row_sums().reciprocal()
        velocity = torch.empty_like(x)
        for block in pairs:
            own = pairs.repulsion(block) * inverse[block.rows, None]
            velocity[block.rows] = score[block.rows] + own + pairs.repulsion(block, inverse)
        return velocity
