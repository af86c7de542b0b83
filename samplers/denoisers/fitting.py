"""Steps of an optimiser on batches of examples, and the average of the parameters, which is used in the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Generator, Tensor, nn

from samplers.learning.descent import Descent, Group
from samplers.learning.rate import cosine

AVERAGE = 0.999

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")


class Fitting(ABC, Generic[Network, Batch]):
    """A network in training, with the moving average of its parameters; the rate falls as half a cosine.

    A subclass writes `loss`.
    """

    def __init__(self, network: Network, iterations: int, batch: int, lr: float, generator: Generator) -> None:
        self.network, self.iterations, self.batch, self.generator = network, iterations, batch, generator
        self.descent = Descent([Group(list(network.parameters()))], lr, average=AVERAGE, betas=(0.9, 0.99))

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """What is to be small, a number."""

    def run(self, source: Callable[[int], Batch], iterations: int) -> None:
        """More iterations, on batches from the source."""
        for _ in range(iterations):
            self.descent.set_rate(cosine(self.descent.taken / self.iterations))
            loss = self.loss(source(self.batch))
            self.descent.clear()
            loss.backward()
            self.descent.step(float(loss.detach()))

    def averaged(self) -> Network:
        """The network, with averaged parameters from now on."""
        with torch.no_grad():
            for parameter, value in zip(self.network.parameters(), self.descent.averages, strict=True):
                parameter.copy_(value)
        return self.network.requires_grad_(False)

    def some(self, n: int, count: int) -> Tensor:
        """`count` of n rows, with replacement."""
        return torch.randint(n, (count,), generator=self.generator, device=self.generator.device)
