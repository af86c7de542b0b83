"""Gaussian proposals of two chains: how far apart they are, and noise that makes them one point as often as can be."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from samplers.kernels import State
from samplers.kernels.preconditioned import PreconditionedKernel


def reflection_maximal(gap: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noise xi of x and eta of y, each standard normal, (pairs, dim), that lead as often as possible to one point.

        gap = (m(x) - m(y)) / s  of proposals  m(x) + s xi  and  m(y) + s eta,     e = gap / |gap|
        eta = xi + gap             with probability min(1, N(xi + gap) / N(xi)): the proposals are the same
        eta = xi - 2 (e . xi) e    else: xi reflected

    Third: where they are the same, (pairs,). Lindvall and Rogers 1986; Bou-Rabee, Eberle and Zimmer 2020.
    """
    xi = torch.randn(gap.shape, generator=generator, dtype=gap.dtype, device=gap.device)
    uniform = torch.rand(len(gap), generator=generator, dtype=torch.float64, device=gap.device)
    log_ratio = -torch.linalg.vecdot(gap.double(), xi.double() + 0.5 * gap.double())
    same = uniform < log_ratio.clamp_max(0.0).exp()
    length = torch.linalg.vector_norm(gap, dim=-1, keepdim=True)
    e = torch.where(length > 0, gap / length, 0.0)
    reflected = xi - 2 * torch.linalg.vecdot(e, xi)[:, None] * e
    return xi, torch.where(same[:, None], xi + gap, reflected), same


def langevin_gap(kernel: PreconditionedKernel, x: State, y: State, h: float) -> Tensor:
    """(m(x) - m(y)) / sqrt(2h) in z = L^-1 x, of the means x + h C s(x) of Langevin steps, (pairs, dim)."""
    assert x.score is not None
    assert y.score is not None
    drift = kernel.to_z(x.score - y.score)
    return torch.add(kernel.whiten(x.x - y.x), drift, alpha=h) / math.sqrt(2 * h)
