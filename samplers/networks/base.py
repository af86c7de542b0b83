"""What a control network is: it steers the paths of a learned sampler, and starts by doing nothing.

    u = network(time, x, score)      (s,), (s, n, dim), (s, n, dim) -> (s, n, dim)

s steps of n paths are handled at once. What depends on the time alone is computed s times.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Generator, Tensor, nn

Coordinates = Literal["full", "diagonal", "isotropic"]


class ControlNetwork(nn.Module, ABC):
    """A control u(time, x, score) on R^dim, zero until it is trained.

    dim: of x. ValueError from `check` for shapes other than those of `forward`.

        >>> from samplers.networks import ResidualMLP
        >>> network = ResidualMLP(width=8).make(3, torch.Generator().manual_seed(0))
        >>> x = torch.ones(2, 5, 3)
        >>> network(torch.tensor([0.0, 0.5]), x, -x).abs().max().item()
        0.0
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    @abstractmethod
    def forward(self, time: Tensor, x: Tensor, score: Tensor) -> Tensor:
        """The control, (s, n, dim).

        time: (s,), the share of the steps that is done, in [0, 1]. x: (s, n, dim), states. score: (s, n, dim), a
        direction that the sampler proposes, finite and of order one; it is an input like any other.
        """

    def embed(self, time: Tensor) -> tuple[Tensor, ...]:
        """What depends on the time alone, each with the steps first; a simulation asks once for all of its steps."""
        return (time,)

    def steer(self, embedding: tuple[Tensor, ...], x: Tensor, score: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """`forward` with the rows of `embed` for these steps in place of the time; or a pair.

        The second of a pair is a gate, what the sampler multiplies the score itself by, (s, n, dim) like the control.
        """
        return self.forward(embedding[0], x, score)

    def check(self, time: Tensor, x: Tensor, score: Tensor) -> None:
        """ValueError for shapes other than those of `forward`."""
        if x.ndim != 3 or x.shape[-1] != self.dim:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (steps, n, {self.dim})")
        if score.shape != x.shape:
            raise ValueError(f"score: got shape {tuple(score.shape)}, expected {tuple(x.shape)}, that of x")
        if time.shape != x.shape[:1]:
            raise ValueError(f"time: got shape {tuple(time.shape)}, expected ({len(x)},), one for each step of x")


class NetworkSpec(ABC):
    """What a network shall be, before its weights are drawn: a frozen dataclass of hyper-parameters.

    A subclass writes `make`, and states its coordinates: the changes x = m + L u that leave what the network is made
    for meaningful, "full" for any L, "diagonal" for a diagonal one, "isotropic" for L = c I and m = 0.

        >>> from samplers.networks import NetworkSpec, ResidualMLP
        >>> spec: NetworkSpec = ResidualMLP(width=16, layers=1)
        >>> spec.make(2, torch.Generator().manual_seed(0)).dim
        2
    """

    coordinates: ClassVar[Coordinates]

    @abstractmethod
    def make(self, dim: int, generator: Generator) -> ControlNetwork:
        """The network on R^dim, in float32 on the generator's device; ValueError where dim does not fit."""
