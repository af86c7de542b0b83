"""What a Schroedinger bridge is once it is known: a process between two laws that runs both ways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from samplers.generative.bridges.potential import Potential
from samplers.processes.base import Time

Direction = Literal["forward", "backward"]


class Bridge(ABC):
    """The process X_t, t in [0, 1], as its method knows it. the reference is sqrt(eps) dB.

    Times are those of the bridge, 0 at the start and 1 at the end, whichever way it is run. A subclass writes what
    follows; files find it by its name. weighed_by: how `FittedBridge.weigh` goes unless told. advice: what helps
    against bad weights, besides training longer.

        >>> from samplers.generative.bridges import Bridge, Sinkhorn
        >>> ends = targets.Gaussian([0.0]), targets.Gaussian([2.0])
        >>> fitted = samplers.SchroedingerBridge(method=Sinkhorn(rows=100)).fit(*ends)
        >>> isinstance(fitted.bridge, Bridge), fitted.bridge.dim, fitted.bridge.noise
        (True, 1, 1.0)
    """

    weighed_by: ClassVar[Literal["ends", "path"]] = "path"
    advice: ClassVar[str] = "take more steps"

    @property
    @abstractmethod
    def noise(self) -> float:
        """eps."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Of both ends."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where its tensors are."""

    @abstractmethod
    def draw(self, x: Tensor, direction: Direction, generator: Generator) -> Tensor:
        """A draw of the other end for each of x (n, dim), in its dtype: of the end given the start where forward."""

    @abstractmethod
    def drift(self, x: Tensor, t: Time, direction: Direction) -> Tensor:
        """b of dX = b dt + sqrt(eps) dB, (n, dim), t a number or (n,).

        Backward it is that of the process which runs from t = 1 to 0, per unit of the time that passes there.
        """

    @abstractmethod
    def path(self, x: Tensor, times: Tensor, direction: Direction, generator: Generator) -> Tensor:
        """States (len(times), n, dim) of the processes that start at x (n, dim), at increasing times (s,) in [0, 1] of
        the bridge. Forward x is the state at 0, backward that at 1."""

    def walk(self, x: Tensor, direction: Direction, generator: Generator) -> tuple[Tensor, Tensor]:
        """A draw of the other end, (n, dim), with the log ratio (n,) in float64 of the law of all that was drawn given
        that end, by the other direction, to its law given x.

        With weights gamma(y) / p(x) times that ratio, over draws x of p, E[w] is the mass of gamma exactly.
        NotImplementedError where there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no exact weights")

    def log_marginal(self, y: Tensor, x: Tensor, direction: Direction) -> Tensor:
        """The log-density at y (n, dim) of where processes end that start at one of the rows of x (m, dim), taken at
        random, (n,) in float64; NotImplementedError where it is not known."""
        raise NotImplementedError(f"{type(self).__name__} has no density of its ends; take by='path'")

    def mean(self, x: Tensor, direction: Direction) -> Tensor:
        """E[the other end | x], (n, dim); NotImplementedError where there is none."""
        raise NotImplementedError(f"{type(self).__name__} has no barycentric map")

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Tensors and plain values, from which `of_content` makes it again."""

    @classmethod
    @abstractmethod
    def of_content(cls, content: dict[str, Any]) -> Bridge:
        """From what `content` gave."""


@dataclass(frozen=True, eq=False)
class StaticBridge(Bridge):
    """Two potentials, whose conditional laws are known: forward of the end given the start, backward the other way.

    Between its ends the process is a Brownian bridge, exactly; the two ways agree as far as the potentials do. Each is
    the Schroedinger bridge from its own start to whatever law it ends with.

        >>> from samplers.generative.bridges import GaussianBridge, StaticBridge
        >>> exact = GaussianBridge.between(targets.Gaussian([0.0]), targets.Gaussian([2.0]), noise=1.5)
        >>> static, x = StaticBridge(exact.forward, exact.backward), torch.zeros(1, 1)
        >>> static.drift(x, 0.0, "forward"), static.mean(x, "backward")
        (tensor([[2.]]), tensor([[-1.]]))
    """

    forward: Potential
    backward: Potential

    weighed_by = "ends"
    advice = "take more components=, or another noise="

    @property
    def noise(self) -> float:
        return self.forward.noise

    @property
    def dim(self) -> int:
        return self.forward.dim

    @property
    def device(self) -> torch.device:
        return next(iter(self.forward.tensors().values())).device

    def of(self, direction: Direction) -> Potential:
        """The potential of a direction."""
        return self.forward if direction == "forward" else self.backward

    def draw(self, x: Tensor, direction: Direction, generator: Generator) -> Tensor:
        return self.of(direction).draw(x, generator)

    def mean(self, x: Tensor, direction: Direction) -> Tensor:
        return self.of(direction).mean(x)

    def drift(self, x: Tensor, t: Time, direction: Direction) -> Tensor:
        return self.forward.drift(x, t) if direction == "forward" else self.backward.drift(x, 1 - t)

    def path(self, x: Tensor, times: Tensor, direction: Direction, generator: Generator) -> Tensor:
        other = self.draw(x, direction, generator)
        start, end = (x, other) if direction == "forward" else (other, x)
        return pinned(start, end, times, self.noise, generator)

    def walk(self, x: Tensor, direction: Direction, generator: Generator) -> tuple[Tensor, Tensor]:
        ahead, behind = (self.forward, self.backward) if direction == "forward" else (self.backward, self.forward)
        y = ahead.draw(x, generator)
        return y, behind.log_prob(x, y) - ahead.log_prob(y, x)

    def log_marginal(self, y: Tensor, x: Tensor, direction: Direction) -> Tensor:
        return self.of(direction).log_marginal(y, x)

    def content(self) -> dict[str, Any]:
        ways = {"forward": self.forward, "backward": self.backward}
        return {
            name: {"class": type(one).__name__, "noise": one.noise, "tensors": one.tensors()}
            for name, one in ways.items()
        }

    @classmethod
    def of_content(cls, content: dict[str, Any]) -> StaticBridge:
        kinds: dict[str, Any] = {kind.__name__: kind for kind in Potential.__subclasses__()}
        ways = (content["forward"], content["backward"])
        return cls(*(kinds[one["class"]](noise=one["noise"], **one["tensors"]) for one in ways))


def pinned(start: Tensor, end: Tensor, times: Tensor, noise: float, generator: Generator) -> Tensor:
    """Brownian bridges of variance eps a unit of time between rows of two ends, at increasing times (s,) in [0, 1];
    (s, n, dim) in the dtype of start.

    X_t | X_s, X_1 ~ N(X_s + (t - s) / (1 - s) (X_1 - X_s), eps (t - s) (1 - t) / (1 - s) I)
    """
    states, x, s = [], start.double(), 0.0
    for t in times.tolist():
        left = 1.0 - s
        share = (t - s) / left if left > 0 else 1.0
        x = torch.lerp(x, end.double(), share)
        variance = noise * share * (1.0 - t)
        if variance > 0:
            fresh = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
            x = x + variance**0.5 * fresh
        states.append(x.to(start.dtype))
        s = t
    return torch.stack(states)
