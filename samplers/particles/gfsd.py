"""Gradient flow with a smoothed density.

    v_i = s(x_i) - sum_j grad_{x_i} K_ij / sum_k K_ik,   s = grad log p

The Wasserstein gradient flow of KL(q || p), with q replaced by the kernel density estimate. Liu et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from samplers.particles.method import ParticleMethod
from samplers.particles.pair_kernels import Pairs


@dataclass(frozen=True)
class GFSD(ParticleMethod):
    """Gradient flow with a smoothed density: each particle follows its score less that of the kernel density estimate.

        v_i = s(x_i) - sum_j grad_{x_i} K_ij / sum_k K_ik

    Biased at finite n: it is the smoothed law of the particles that takes the target's shape, so the particles
    themselves are narrower, on N(0, sigma^2) by about h^2. With 300 particles on N(0, I) the variances were 0.91, 0.78
    and 0.28 in 1, 2 and 10 dimensions. kernel="imq" is refused: it has no finite integral, and what it smooths is no
    density (variances 0.21, 0.11 and 0.02). Liu et al. 2019, https://arxiv.org/abs/1807.01750.

    bandwidth, step_size, optimiser: as of `ParticleMethod`, as well as the errors raised.

        >>> samplers.GFSD().sample(targets.Gaussian([1.0]), draws=50, iterations=100, seed=0).x.shape
        torch.Size([1, 50, 1])
    """

    smooths_density: ClassVar[bool] = True

    def velocity(self, x: Tensor, score: Tensor, squared_bandwidth: Tensor) -> Tensor:
        """The score less that of the kernel density estimate."""
        pairs = Pairs(x, self.kernel, squared_bandwidth)
        velocity = torch.empty_like(x)
        for block in pairs:
            density = block.value.sum(1, keepdim=True)
            velocity[block.rows] = score[block.rows] + pairs.repulsion(block) / density
        return velocity
