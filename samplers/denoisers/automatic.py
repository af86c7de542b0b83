"""The denoiser that asks a cheap one first, and another where that one does not believe itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Denoiser, Estimate
from samplers.denoisers.importance import Importance
from targets import Noise, Target
from targets.arguments import not_negative

TRIED = 64  # measurements, by which it is judged whether the first is worth asking about the others
HOPELESS = 0.5


@dataclass
class _Level:
    """At one level of the noise: measurements answered by the first denoiser, and by the second."""

    first: int = 0
    second: int = 0


@dataclass(frozen=True, eq=False)
class Auto(Denoiser):
    """`first` answers the measurements at which it trusts itself, `then` the others; fallback marks these.

    first: Importance() unless given; then: InnerSMC() unless given. floor: effective draws below which the first is
    not trusted, beside its own judgement. In every call 64 measurements (or all, if fewer) are shown to the first,
    evenly spread over the rows; where it does not trust half of these, all go to the second at once. The choice depends
    on the call alone, so that a run that is continued makes the same one. What neither trusts is not trusted.

    error and ess are those of whichever answered. `draw`: by the same rule. Persistent memories are not used.

        >>> from samplers.denoisers import Auto
        >>> y, noise = torch.tensor([[2.0, 0.0, 0.0]]), targets.IsotropicNoise(1.0)
        >>> found = Auto().estimate(targets.Gaussian([0.0, 0.0, 0.0]), y, noise, torch.Generator().manual_seed(0))
        >>> found.mean.shape, found.fallback
        (torch.Size([1, 3]), tensor([False]))
    """

    first: Denoiser | None = None
    then: Denoiser | None = None
    floor: float | None = None

    persistent: ClassVar[bool] = False

    _levels: dict[float, _Level] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("first", "then"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Denoiser):
                raise TypeError(f"{name}: got {type(value).__name__}, expected a Denoiser")
        if self.floor is not None:
            not_negative(self.floor, "floor")

    @property
    def density(self) -> bool:  # type: ignore[override]
        """Whether both give phi(y)."""
        return self._asked.density and self._other.density

    @cached_property
    def _asked(self) -> Denoiser:
        return Importance() if self.first is None else self.first

    @cached_property
    def _other(self) -> Denoiser:
        if self.then is not None:
            return self.then
        from samplers.denoisers.inner_smc import InnerSMC

        return InnerSMC()

    @property
    def pilot(self) -> str:
        return self._asked.pilot or self._other.pilot

    @property
    def pilot_log_z(self) -> tuple[float, float] | None:
        return self._asked.pilot_log_z or self._other.pilot_log_z

    def fresh(self) -> Auto:
        return Auto(self.first and self.first.fresh(), self.then and self.then.fresh(), self.floor)

    def check(self, target: Target, noise: Noise) -> None:
        self._asked.check(target, noise)
        self._other.check(target, noise)

    def describe(self) -> str:
        first, second = self._asked.describe(), self._other.describe()
        levels = list(self._levels.values())
        alone = sum(level.second == 0 for level in levels)
        never = sum(level.first == 0 for level in levels)
        if not levels:
            return f"{first}, else {second}"
        counts = {first: alone, f"{first} and {second}": len(levels) - alone - never, second: never}
        return ", ".join(f"{name} at {n} noise level{'s' * (n > 1)}" for name, n in counts.items() if n)

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, memory: Tensor | None = None
    ) -> Estimate:
        return self._answer(target, y, noise, generator, drawn=False)[0]

    def draw(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Tensor | None = None
    ) -> Tensor:
        return self._answer(target, y, noise, generator, drawn=True)[1]

    def _answer(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, drawn: bool
    ) -> tuple[Estimate, Tensor]:
        """Estimates for all rows, and draws where wanted (else zeros)."""
        n = len(y)
        whole = _Answers(y, self.density)
        tried = torch.arange(0, n, max(1, -(-n // TRIED)), device=y.device)
        rest = torch.ones(n, dtype=torch.bool, device=y.device)
        rest[tried] = False
        doubtful = self._ask(target, y, tried, noise, generator, drawn, whole)
        others = rest.nonzero()[:, 0]
        if len(doubtful) > HOPELESS * len(tried):
            second = torch.arange(n, device=y.device)
        elif len(others):
            second = torch.cat([doubtful, self._ask(target, y, others, noise, generator, drawn, whole)])
        else:
            second = doubtful
        if len(second):
            found = self._other.estimate(target, y[second], noise, generator) if not drawn else None
            draws = None
            if drawn:
                assert generator is not None
                draws = self._other.draw(target, y[second], noise, generator)
            whole.put(second, found, draws)
            whole.fallback[second] = True
        level = self._levels.setdefault(round(noise.log_det(target.dim), 9), _Level())
        level.first += n - len(second)
        level.second += len(second)
        return whole.estimate(), whole.x

    def _ask(
        self,
        target: Target,
        y: Tensor,
        rows: Tensor,
        noise: Noise,
        generator: Generator | None,
        drawn: bool,
        whole: _Answers,
    ) -> Tensor:
        """The first denoiser's answers to some rows are noted; those rows that it does not trust come back."""
        some = y[rows]
        draws = None
        if drawn and isinstance(self._asked, Importance):  # both from the same candidates
            assert generator is not None
            found, draws = replace(self._asked, form="stein").estimate_and_draw(target, some, noise, generator)
        else:
            found = self._asked.estimate(target, some, noise, generator)
        trusted = torch.ones_like(rows, dtype=torch.bool) if found.trusted is None else found.trusted
        if self.floor is not None and found.ess is not None:
            trusted = trusted & ~(found.ess < self.floor)
        if drawn and draws is None and bool(trusted.any()):
            assert generator is not None
            draws = torch.zeros_like(some)
            draws[trusted] = self._asked.draw(target, some[trusted], noise, generator)
        whole.put(rows, found, draws)
        return rows[~trusted]


class _Answers:
    """Estimates of all rows, put together from those of some; what was exact has no error and infinite ess."""

    def __init__(self, y: Tensor, density: bool) -> None:
        self.mean, self.error, self.x = torch.zeros_like(y), torch.zeros_like(y), torch.zeros_like(y)
        self.log_density = torch.zeros_like(y[:, 0]) if density else None
        self.ess = torch.full((len(y),), torch.inf, dtype=torch.float64, device=y.device)
        self.trusted = torch.ones(len(y), dtype=torch.bool, device=y.device)
        self.fallback = torch.zeros_like(self.trusted)

    def put(self, rows: Tensor, found: Estimate | None, draws: Tensor | None) -> None:
        if draws is not None:
            self.x[rows] = draws
        if found is None:
            return
        self.mean[rows] = found.mean
        if self.log_density is not None and found.log_density is not None:
            self.log_density[rows] = found.log_density
        self.error[rows] = torch.zeros_like(found.mean) if found.error is None else found.error
        self.ess[rows] = torch.inf if found.ess is None else found.ess.to(torch.float64)
        self.trusted[rows] = True if found.trusted is None else found.trusted

    def estimate(self) -> Estimate:
        return Estimate(self.mean, self.log_density, self.error, self.ess, trusted=self.trusted, fallback=self.fallback)
