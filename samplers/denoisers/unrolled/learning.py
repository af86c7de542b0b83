"""How the few weights of an unrolled network are learned, from draws of the target and its couplings.

    loss = mean over draws x, noise y and sites of the cross entropy between what the network says of x_i given y
           and the law of x_i given y and all other x_j; for a Gaussian the square of the difference of means

It is least where the network gives the marginals of X given y. Levels of noise are even on the logarithmic scale.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from samplers.denoisers.fitting import Fitting
from samplers.denoisers.unrolled.laws import SiteLaw, law_of
from targets import Noise, Target

PARTS = 16  # levels of noise in one batch
HELD_OUT = 10  # one draw in ten is for validation
VALIDATION = 1024


class FieldExamples(NamedTuple):
    """A law's couplings (b, n, degree) and potentials (b, n, q), and what the network should find."""

    couplings: Tensor
    potentials: Tensor
    wanted: Tensor

    @classmethod
    def all_of(cls, parts: list[FieldExamples]) -> FieldExamples:
        """Several as one."""
        return cls(*(torch.cat(values) for values in zip(*parts, strict=True)))


class FieldFitting(Fitting[nn.Module, FieldExamples]):
    """An unrolled network in training: the laws at all levels of noise, and the draws."""

    def __init__(
        self,
        network: nn.Module,
        target: Target,
        noises: list[Noise],
        draws: Tensor,
        iterations: int,
        batch: int,
        lr: float,
        generator: Generator,
    ) -> None:
        super().__init__(network, iterations, batch, lr, generator)
        self.noises, self.laws = noises, [law_of(target, noise) for noise in noises]
        order = torch.randperm(len(draws), generator=generator, device=draws.device)
        self.held, self.taught = (draws[some] for some in order.tensor_split([max(1, len(draws) // HELD_OUT)]))
        self.law: SiteLaw = self.laws[0]

    def examples(self, count: int, draws: Tensor) -> FieldExamples:
        """Measurements of some of the draws, at levels of noise that cover the range evenly."""
        parts = min(PARTS, count, len(self.laws))
        place = torch.rand(parts, generator=self.generator, device=self.generator.device).cpu() + torch.arange(parts)
        found = []
        for part, level in enumerate((place / parts * len(self.laws)).long().tolist()):
            law, rows = self.laws[level], count * (part + 1) // parts - count * part // parts
            x = draws[self.some(len(draws), rows)]
            potentials = law.potentials(x + self.noises[level].sample_like(x, self.generator))
            couplings = law.couplings.to(x).expand(rows, -1, -1)
            found.append(FieldExamples(couplings, potentials, law.given_others(x, potentials)))
        return FieldExamples.all_of(found)

    def losses(self, batch: FieldExamples) -> Tensor:
        """Of each row."""
        found = self.network(self.law.slots, batch.couplings, batch.potentials)
        return self.law.loss(found, batch.wanted, batch.potentials)

    def loss(self, batch: FieldExamples) -> Tensor:
        return self.losses(batch).mean()

    def learned(self) -> tuple[float, float]:
        """Train; the loss before and after, both of the same measurements of draws held out."""
        test = self.examples(VALIDATION, self.held)
        with torch.no_grad():
            before = float(self.loss(test))
        self.run(lambda count: self.examples(count, self.taught), self.iterations)
        self.averaged()
        with torch.no_grad():
            return before, float(self.loss(test))


def noise_levels(low: float, high: float, count: int, shape: Noise) -> list[Noise]:
    """Noise sigma^2 S, sigma from low to high."""
    steps = [0.5] if count == 1 else [k / (count - 1) for k in range(count)]
    return [shape.scaled(math.exp(math.log(low) + step * math.log(high / low)) ** 2) for step in steps]
