"""Jacobi's iteration and Gaussian belief propagation in a fixed number of rounds, as networks of few weights.

For the mean m of a Gaussian with precision A and A m = h, A_ij zero but on the edges of a graph:

    Jacobi              m_i <- k m_i + (1 - k) (h_i - a sum_j A_ij m_j) / A_ii
    belief propagation  q_{i -> j} = A_ii + sum_l P_{l -> i} - r P_{j -> i},    e_{i -> j} likewise of h and u
                        P_{i -> j} <- k P_{i -> j} - (1 - k) (a A_ij)^2 / q_{i -> j},
                        u_{i -> j} <- k u_{i -> j} - (1 - k) a A_ij e_{i -> j} / q_{i -> j},
                        m_i = (h_i + w sum_j u_{j -> i}) / (A_ii + w sum_j P_{j -> i})

With a = r = w = 1 and k = 0, where training starts, these are the algorithms themselves. Both are linear in h, as the
mean is. Mean field is Jacobi's iteration here. Weiss and Freeman 2001; Malioutov, Johnson and Willsky 2006.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from samplers.networks.slots import Slots
from targets.arguments import check_integer


class UnrolledGaussian(nn.Module, ABC):
    """Rounds of a scheme with weights of their own: see the module. Its weights know no graph, and fit every one.

    rounds: how many, and so how many edges far a site sees. generator: for the device. ValueError for a width or
    channels other than 0: of fields of finitely many states alone is there a network that corrects the messages.
    """

    start: ClassVar[tuple[float, ...]]

    def __init__(self, rounds: int, width: int, channels: int, generator: Generator) -> None:
        super().__init__()
        self.sizes = {"rounds": check_integer(rounds, "rounds"), "width": width, "channels": channels}
        for name in ("width", "channels"):
            if self.sizes[name]:
                raise ValueError(f"{name}: got {self.sizes[name]} for a Gaussian, expected 0: its mean is linear in y")
        self.weights = nn.Parameter(torch.tensor(self.start, device=generator.device).repeat(rounds, 1))

    @abstractmethod
    def forward(self, slots: Slots, couplings: Tensor, potentials: Tensor) -> Tensor:
        """m, (b, n). couplings: A_ij, (n, degree) or (b, n, degree). potentials: h and A_ii, (b, n, 2)."""


class UnrolledJacobi(UnrolledGaussian):
    """Jacobi's iteration. Weights of a round: a, k."""

    start = (1.0, 0.0)

    def forward(self, slots: Slots, couplings: Tensor, potentials: Tensor) -> Tensor:
        field, diagonal = potentials.unbind(-1)
        m = field / diagonal
        for scale, keep in self.weights:
            pull = (couplings * slots.at_neighbours(m[..., None])[..., 0]).sum(-1)
            m = keep * m + (1 - keep) * (field - scale * pull) / diagonal
        return m


class UnrolledGaussianMessages(UnrolledGaussian):
    """Gaussian belief propagation. Weights of a round: a, k, r; the last w is one number.

    After as many rounds as the longest path has edges it is exact on a tree or a forest; on other graphs the means are
    right wherever it converges, as it does where the precision is diagonally dominant.
    """

    start = (1.0, 0.0, 1.0)

    def __init__(self, rounds: int, width: int, channels: int, generator: Generator) -> None:
        super().__init__(rounds, width, channels, generator)
        self.last = nn.Parameter(torch.ones((), device=generator.device))

    def forward(self, slots: Slots, couplings: Tensor, potentials: Tensor) -> Tensor:
        own = potentials[:, :, None]  # h_i and A_ii; messages are u and P
        sent = received = own.new_zeros(*potentials.shape[:2], slots.ends.shape[1], 2)
        for scale, keep, back in self.weights:
            field, precision = (own + received.sum(2, keepdim=True) - back * received).unbind(-1)
            pull = scale * couplings
            sent = keep * sent - (1 - keep) * torch.stack([pull * field / precision, pull.square() / precision], -1)
            received = slots.exchanged(sent)
        field, precision = (potentials + self.last * received.sum(2)).unbind(-1)
        return field / precision
