"""The Gaussian of the joint moments of x and y, given y: the ridge regression of x on a context.

    E[x | y] = m + B' c,   B = (C_cc + (k / n) I)^-1 C_cx,   covariance R = cov(x - B' c) / (1 - tr(C_cc B_c) / n)

c: the context (`samplers.generative.conditions`) of k numbers, C_cc and C_cx its covariances, n the effective number of
rows. The ridge is what the scatter of n rows makes of the covariance, so that contexts of many numbers, or of ones that
depend on one another as those of labels do, need no care. Exact, up to the rows' own scatter, where x and y are jointly
Gaussian. No context, c = 0, is the Gaussian of all x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from samplers.generative.columns import shares_of
from samplers.generative.data import Samples


@dataclass(frozen=True, eq=False)
class Regression:
    """slope: B (k, dim), of x less its mean on a context, whose last entry is 1. covariance: R (dim, dim)."""

    slope: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, rows: Samples) -> Self:
        """Of the rows x on what they are given, by their weights; in float64."""
        assert rows.given is not None
        x, context = rows.x.double(), rows.given[:, :-1].double()
        n, k = rows.effective, context.shape[1]
        shares = shares_of(x, rows.shares)[:, None]
        centre = (shares * context).sum(0)
        u, c = x - (shares * x).sum(0), context - centre
        seen = (shares * c).mT @ c
        ridged = seen + k / n * torch.eye(k, dtype=seen.dtype, device=seen.device)
        slope = torch.linalg.solve(ridged, (shares * c).mT @ u)
        freedom = float(torch.linalg.solve(ridged, seen).trace())
        left = u - c @ slope
        covariance = (shares * left).mT @ left / (1 - freedom / n)
        return cls(torch.cat([slope, -(centre @ slope)[None]]), covariance)

    @classmethod
    def none(cls, context: int, dim: int) -> Self:
        """One that knows nothing, to be filled from a file."""
        return cls(torch.zeros(context, dim), torch.eye(dim))
