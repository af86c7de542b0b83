"""A potential on the points of a sample: what entropic transport to finitely many points gives.

    psi = sum_j exp(l_j) delta(y_j),   pi(y_j | x) = softmax_j(l_j - |x - y_j|^2 / (2 eps))
    drift(x, t) = (sum_j softmax_j(l_j - |x - y_j|^2 / (2 eps (1 - t))) y_j - x) / (1 - t)

It is defined at every x, also where the start had no row, and leads to points of the sample alone.
Pooladian and Niles-Weed 2021, https://arxiv.org/abs/2109.12004, for the extension.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.potential import Potential, by_rows, times
from samplers.processes.base import Time


@dataclass(frozen=True, eq=False)
class PointPotential(Potential):
    """See the module; tensors in float64.

    noise: eps. log_weights: l, (m,). points: y, (m, dim). ValueError for shapes that do not agree.

        >>> from samplers.generative.bridges import PointPotential
        >>> coin = PointPotential(1.0, torch.zeros(2), torch.tensor([[-1.0], [1.0]]))
        >>> coin.mean(torch.zeros(1, 1)), coin.shares(torch.zeros(1, 1))
        (tensor([[0.]]), tensor([[0.5000, 0.5000]], dtype=torch.float64))
    """

    noise: float
    log_weights: Tensor
    points: Tensor

    density = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self.tensors().items():
            object.__setattr__(self, name, value.detach().double())
        if self.points.ndim != 2 or self.log_weights.shape != self.points.shape[:1]:
            raise ValueError(
                f"log_weights, points: got shapes {tuple(self.log_weights.shape)} and {tuple(self.points.shape)}, "
                "expected (m,) and (m, dim)"
            )

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        return {"log_weights": self.log_weights, "points": self.points}

    def _shares(self, x: Tensor, t: Tensor) -> Tensor:
        squares = torch.cdist(x.double(), self.points, compute_mode="donot_use_mm_for_euclid_dist").square()
        return (self.log_weights - squares / (2 * self.noise * (1 - t[:, None]))).softmax(1)

    def shares(self, x: Tensor) -> Tensor:
        """pi(y_j | x), (n, m) in float64: times the weights of the rows of x, the plan."""
        return by_rows(self._shares, len(self.points), x, times(0.0, x))

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        def part(x: Tensor) -> Tensor:
            return torch.multinomial(self._shares(x, times(0.0, x)), 1, generator=generator)[:, 0]

        return self.points[by_rows(part, len(self.points), x)].to(x.dtype)

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """(n, dim); ValueError at t = 1, where it has no limit but on the points."""
        at = times(t, x)
        if bool((at == 1).any()):
            raise ValueError("t: got 1, expected times before the end: its law has atoms, and no drift leads on")

        def part(x: Tensor, t: Tensor) -> Tensor:
            return (self._shares(x, t) @ self.points - x.double()) / (1 - t[:, None])

        return by_rows(part, len(self.points), x, at).to(x.dtype)

    def log_prob(self, y: Tensor, x: Tensor) -> Tensor:
        """NotImplementedError: it has atoms."""
        raise NotImplementedError("a plan between rows has atoms and no density; MixturePotentials() has one")

    def log_marginal(self, y: Tensor, x: Tensor) -> Tensor:
        """NotImplementedError: it has atoms."""
        return self.log_prob(y, x)
