"""A density raised to a power."""

from __future__ import annotations

import math

from torch import Generator, Tensor

from targets.arguments import positive, shown
from targets.base import Target, Variable
from targets.gaussian import Gaussian


class Tempered(Target):
    """log p(x) = target.log_prob(x) / temperature, not normalised.

    Above 1 the density is flatter, below 1 sharper. Variables and modes are those of the target; the weights of the
    modes are not. Of a `Gaussian` log_z, draws and moments are known as well. A `Boltzmann` density has
    `at(temperature)`, which keeps all that it knows; a law on configurations has `annealed`.

    target: a Target. temperature: positive, in units of log_prob. name: that of the target with the temperature by
    default. TypeError for a law on configurations.

        >>> flat = targets.Tempered(targets.Gaussian([0.0]), temperature=4.0)
        >>> flat.covariance.item(), round(flat.log_z, 4)
        (4.0, 1.3824)
    """

    def __init__(self, target: Target, temperature: float, *, name: str | None = None) -> None:
        if target.discrete:
            raise TypeError(
                f"target: got {shown(target)}, a law on configurations; expected a density. Use its annealed()"
            )
        self.target, self.temperature = target, positive(temperature, "temperature")
        super().__init__(
            target.dim, dtype=target.dtype, device=target.device, name=name or f"{target.name} at {temperature:g}"
        )

    def log_prob(self, x: Tensor) -> Tensor:
        return self.target.log_prob(x) / self.temperature

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = self.target.log_prob_and_score(x)
        return value / self.temperature, score / self.temperature

    @property
    def _unknown(self) -> frozenset[str]:
        missing = {"modes"} - self.target.known
        if not isinstance(self.target, Gaussian):
            missing |= {"log_z", "sample", "mean", "covariance", "moments"}
        return frozenset(missing)

    def _gaussian(self, name: str) -> Gaussian:
        if not isinstance(self.target, Gaussian):
            self._raise_unknown(name)
        return self.target

    @property
    def log_z(self) -> float:
        inside = self._gaussian("log_z")._log_normaliser
        return inside * (1 - 1 / self.temperature) + 0.5 * self.dim * math.log(self.temperature)

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        gaussian = self._gaussian("sample")
        x = gaussian.sample(n, generator=generator)
        return gaussian.mean + math.sqrt(self.temperature) * (x - gaussian.mean)

    @property
    def mean(self) -> Tensor:
        return self._gaussian("mean").mean

    @property
    def covariance(self) -> Tensor:
        return self.temperature * self._gaussian("covariance").covariance

    @property
    def modes(self) -> Tensor:
        if "modes" not in self.target.known:
            self._raise_unknown("modes")
        return self.target.modes

    def mode_probabilities(self, x: Tensor) -> Tensor:
        return self.target.mode_probabilities(x)

    @property
    def variables(self) -> dict[str, Variable]:
        return self.target.variables

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return self.target.constrain(x)
