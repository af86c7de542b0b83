"""The time as a vector: sines and cosines of a few moderate frequencies."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from targets.arguments import check_integer, positive, shown

LOWEST = 0.5 * math.pi  # over times from 0 to 1 a quarter of a period: the cosine says which time it is
HIGHEST = 8 * math.pi


class FourierFeatures(nn.Module):
    """time -> (sin(f_1 time), .., cos(f_count time)),     f_k from pi / 2 to `highest` with equal ratios.

    Each feature is at most 1 and changes by at most `highest` over all times: small networks do not learn from time
    features that are large, or faster than what they shall describe. Every user maps them with a linear layer of its
    own. The frequencies are fixed; of the generator the device is taken.
    ValueError for a count below 1 and for a highest frequency below pi / 2.

        >>> from samplers.networks import FourierFeatures
        >>> FourierFeatures(4, generator=torch.Generator().manual_seed(0))(torch.tensor([0.0, 1.0])).shape
        torch.Size([2, 8])
    """

    frequencies: Tensor

    def __init__(self, count: int = 32, highest: float = HIGHEST, *, generator: Generator) -> None:
        super().__init__()
        check_integer(count, "count")
        if positive(highest, "highest") < LOWEST:
            raise ValueError(f"highest: got {shown(highest)}, expected a frequency of at least pi / 2")
        self.outputs = 2 * count
        powers = torch.linspace(0, 1, count, dtype=torch.float64, device=generator.device)
        self.register_buffer("frequencies", (LOWEST * (highest / LOWEST) ** powers).float())

    def forward(self, time: Tensor) -> Tensor:
        """(s,) -> (s, 2 count)."""
        angles = time[:, None] * self.frequencies
        return torch.cat([angles.sin(), angles.cos()], -1)
