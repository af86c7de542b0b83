"""The layer that all networks here are made of: a linear map whose weights come from a generator of one's own."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn


class Linear(nn.Module):
    """x W' + b with W ~ N(0, scale^2 / inputs) and b = 0. In float32 at first, on the generator's device."""

    def __init__(self, inputs: int, outputs: int, generator: Generator, scale: float = 1.0) -> None:
        super().__init__()
        weight = torch.randn(outputs, inputs, generator=generator, dtype=torch.float32, device=generator.device)
        self.weight = nn.Parameter(weight * scale / math.sqrt(inputs))
        self.bias = nn.Parameter(weight.new_zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, inputs) -> (*batch, outputs)."""
        return nn.functional.linear(x, self.weight, self.bias)
