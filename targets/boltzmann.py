"""Boltzmann densities: an energy and a temperature."""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor

from targets.arguments import positive
from targets.base import Target, differentiate


class Boltzmann(Target):
    """log p(x) = -energy(x) / temperature, not normalised.

    A subclass writes `energy`, (*batch, dim) -> (*batch,), and where the gradient has a closed form
    `energy_and_gradient`; otherwise it comes from automatic differentiation. The temperature is in units of the
    energy. `at(temperature)` is the same system, colder or hotter. An energy of +inf is allowed: log_prob is -inf.

    dim: of x. dtype, device, name: as of `Target`. ValueError for a temperature that is not positive.

        >>> class Spring(targets.Boltzmann):
        ...     def energy(self, x):
        ...         return x.square().sum(-1) / 2
        >>> Spring(2, temperature=4.0).log_prob(torch.ones(2))
        tensor(-0.2500)
    """

    def __init__(
        self,
        dim: int,
        temperature: float = 1.0,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(dim, dtype=dtype, device=device, name=name)
        self.temperature = positive(temperature, "temperature")

    def energy(self, x: Tensor) -> Tensor:
        """The energy, (*batch, dim) -> (*batch,)."""
        raise NotImplementedError(f"{type(self).__name__} does not define energy")

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The energy and its gradient, minus the force."""
        return differentiate(self.energy, x, self.name)

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        return self.energy(x) * (-1 / self.temperature)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        energy, gradient = self.energy_and_gradient(x)
        return energy * (-1 / self.temperature), gradient * (-1 / self.temperature)

    def at(self, temperature: float) -> Self:
        """A copy at another temperature."""
        new = copy.copy(self)
        new.temperature = positive(temperature, "temperature")
        for name in self._cached:
            new.__dict__.pop(name, None)
        return new

    def _place(self) -> None:
        for name in self._cached:  # tensors are computed anew in the present dtype
            if isinstance(self.__dict__.get(name), Tensor):
                del self.__dict__[name]

    _cached: tuple[str, ...] = ()  # what depends on the temperature
