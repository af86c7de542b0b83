"""Where a network is asked: states of a process at times of their own, with what the process says of them there.

x_t = a X + s e,   e ~ N(0, C = L L')
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from samplers.generative.score import noise_of
from samplers.processes.base import Process, Time
from samplers.processes.marginals import Marginal
from targets.noise import Noise


@dataclass(frozen=True, eq=False)
class NoisyState:
    """States x_t (*batch, dim) of a process at times t (*batch) above 0, in float64; `at` makes it of one time as well.

    process, t, x: as said.

        >>> from samplers.generative import NoisyState
        >>> from samplers.processes.linear import Brownian
        >>> NoisyState.at(Brownian(), 0.25, torch.ones(3, 2)).s
        tensor([0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """

    process: Process
    t: Tensor
    x: Tensor

    @classmethod
    def at(cls, process: Process, t: Time, x: Tensor) -> Self:
        """Of x at a time, or at a time for each row; ValueError for times that do not broadcast to the rows of x."""
        times, batch = torch.as_tensor(t, dtype=torch.float64, device=x.device), tuple(x.shape[:-1])
        try:
            return cls(process, times.expand(batch), x)
        except RuntimeError:
            got = tuple(times.shape)
            raise ValueError(f"t: got shape {got}, expected one that broadcasts to {batch}, the rows of x") from None

    @cached_property
    def marginal(self) -> Marginal:
        """The law of x_t given the data, in the dtype of x."""
        return Marginal.of(self.process, *self.transition, self.x)

    @cached_property
    def transition(self) -> tuple[Tensor, Tensor]:
        """a and s^2, (*batch) in float64."""
        return self.process.transition(0.0, self.t)

    def moved(self, x: Tensor) -> Self:
        """Other states at the same times, whose coefficients are known from here."""
        other = replace(self, x=x)
        vars(other)["transition"] = self.transition
        return other

    @cached_property
    def a(self) -> Tensor:
        """The scale, (*batch) in float64."""
        return self.transition[0]

    @cached_property
    def s(self) -> Tensor:
        """The deviation of the noise, (*batch) in float64."""
        return self.transition[1].sqrt()

    @cached_property
    def g(self) -> Tensor:
        """The diffusion coefficient, (*batch) in float64."""
        return self.process.diffusion(self.t)

    def row(self, coefficient: Tensor) -> Tensor:
        """A coefficient (*batch) as a factor of x, (*batch, 1) in its dtype."""
        return coefficient.to(self.x)[..., None]

    @property
    def noise(self) -> Noise:
        """N(0, C) of the process."""
        return noise_of(self.process)

    def square(self, v: Tensor) -> Tensor:
        """v' C^-1 v, (*batch)."""
        return self.noise.square(v)


def whitened(v: Tensor, covariance: Noise | None) -> Tensor:
    """L^-1 v = L' C^-1 v, (*batch, dim): what `covariance.colour` undoes."""
    if covariance is None:
        return v
    rows = covariance.colour(torch.eye(v.shape[-1], dtype=v.dtype, device=v.device))  # L', as its rows are L e_i
    return covariance.solve(v) @ rows.mT
