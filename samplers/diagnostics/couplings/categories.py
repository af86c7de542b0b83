"""Draws from finitely many values for two chains, equal as often as possible."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from samplers.kernels import _choices


def maximal(logits_x: Tensor, logits_y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Indices from softmax(logits_x) and softmax(logits_y), (*batch, q) -> (*batch,) both, by their maximal coupling.

    P(i, j) = m_i [i = j] + (p_i - m_i) (r_j - m_j) / (1 - sum m),     m = min(p, r)
    """
    p, r = logits_x.double().softmax(-1), logits_y.double().softmax(-1)
    least = torch.minimum(p, r)
    over_p, over_r = p - least, r - least
    apart = over_r.sum(-1, keepdim=True)
    joint = least.diag_embed() + torch.where(apart > 0, over_p / apart, 0.0)[..., None] * over_r[..., None, :]
    q = p.shape[-1]
    chosen = _choices.category(joint.flatten(-2).log(), generator)
    return chosen // q, chosen % q
