"""The swap of two points between neighbouring temperatures, accepted as a Metropolis move of the pair.

a(x, y) = min(1, exp(w(x) - w(y))),   w = log pi_upper - log pi_lower,   x at the lower level, y at the upper
"""

from __future__ import annotations

import torch
from torch import Tensor


def swap(here: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """w(x), w(y) and a(x, y), from w as evaluated at x (`here`) and at y (`there`), all of one shape in float64.

    A density that is NaN or plus infinity at the other level's point is taken to have no mass there: w(x) is then minus
    infinity, w(y) plus infinity. Where w(x) is minus infinity x has no place at the upper level and nothing is swapped.
    """
    here = torch.where(here < torch.inf, here, -torch.inf)
    there = torch.where(there > -torch.inf, there, torch.inf)
    nowhere = here == -torch.inf
    return here, there, torch.where(nowhere, 0.0, (here - there).clamp_max(0.0).exp())
