"""The denoiser that asks a cheap one first, and another where that one does not believe itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Denoiser, Estimate, Finding, Held, Memory
from samplers.denoisers.importance import Importance
from samplers.denoisers.inner_smc import InnerSMC
from targets import Noise, Target
from targets.arguments import not_negative
from targets.counting import Counted

TRIED = 64  # measurements, by which it is judged whether the first is worth asking about the others
HOPELESS = 0.5
EXACT = {"mean": 0.0, "log_density": 0.0, "error": 0.0, "ess": torch.inf, "trusted": True}  # where not stated


@dataclass
class Pair:
    """Both denoisers, each bound when it is first asked, and the noise levels at which each has answered."""

    first: Denoiser
    then: Denoiser
    by_first: set[float] = field(default_factory=set)
    by_second: set[float] = field(default_factory=set)


@dataclass(frozen=True, eq=False)
class Auto(Finding[Pair]):
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

    def __post_init__(self) -> None:
        for name in ("first", "then"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Denoiser):
                raise TypeError(f"{name}: got {type(value).__name__}, expected a Denoiser")
        if self.floor is not None:
            not_negative(self.floor, "floor")

    @property
    def pair(self) -> Pair:
        """Both, as they are bound."""
        return self._held.found if self._held is not None else Pair(self.first or Importance(), self.then or InnerSMC())

    @property
    def density(self) -> bool:
        return self.pair.first.density and self.pair.then.density

    @property
    def pilot(self) -> str:
        return self.pair.first.pilot or self.pair.then.pilot

    @property
    def pilot_log_z(self) -> tuple[float, float] | None:
        return self.pair.first.pilot_log_z or self.pair.then.pilot_log_z

    def check(self, target: Target, noise: Noise) -> None:
        self.pair.first.check(target, noise)
        self.pair.then.check(target, noise)

    def find(self, target: Counted, noise: Noise) -> Pair:
        return replace(self.pair, by_first=set(), by_second=set())

    def serves(self, held: Held[Pair], noise: Noise) -> bool:
        return True

    def describe(self) -> str:
        pair = self.pair
        first, second = pair.first.describe(), pair.then.describe()
        if not (pair.by_first or pair.by_second):
            return f"{first}, else {second}"
        both = len(pair.by_first & pair.by_second)
        alone, never = len(pair.by_first) - both, len(pair.by_second) - both
        counts = {first: alone, f"{first} and {second}": both, second: never}
        return ", ".join(f"{name} at {n} noise level{'s' * (n > 1)}" for name, n in counts.items() if n)

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, memory: Memory = None
    ) -> Estimate:
        return self._answer(target, y, noise, generator)[0]

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        return self._answer(target, y, noise, generator, by=generator)[1]

    def _answer(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, by: Generator | None = None
    ) -> tuple[Estimate, Tensor]:
        """Estimates for all rows, and draws where there is a generator for these, by the first where it can."""
        n, pair = len(y), self.found(target, noise)
        pair.first = pair.first.bind(target, noise)
        x, fallback = torch.zeros_like(y), torch.zeros(n, dtype=torch.bool, device=y.device)
        phi, ess = torch.zeros_like(y[:, 0]), torch.full((n,), torch.inf, dtype=torch.float64, device=y.device)
        answers = Estimate(x.clone(), phi if self.density else None, x.clone(), ess, None, ~fallback, fallback)

        def doubted(rows: Tensor) -> Tensor:
            """The first denoiser's answers to some rows are noted; those rows that it does not trust come back."""
            some, first = y[rows], pair.first
            if by is not None and isinstance(first, Importance):  # both from the same candidates
                found, x[rows] = replace(first, form="stein").estimate_and_draw(target, some, noise, by)
            else:
                found = first.estimate(target, some, noise, generator)
            trusted = torch.ones_like(rows, dtype=torch.bool) if found.trusted is None else found.trusted
            if self.floor is not None and found.ess is not None:
                trusted = trusted & ~(found.ess < self.floor)
            if by is not None and not isinstance(first, Importance) and bool(trusted.any()):
                x[rows[trusted]] = first.draw(target, some[trusted], noise, by)
            _put(answers, rows, found)
            return rows[~trusted]

        tried = torch.arange(0, n, max(1, -(-n // TRIED)), device=y.device)
        rest = torch.ones(n, dtype=torch.bool, device=y.device)
        rest[tried] = False
        left, others = doubted(tried), rest.nonzero()[:, 0]
        if len(left) > HOPELESS * len(tried):
            left = torch.arange(n, device=y.device)
        elif len(others):
            left = torch.cat([left, doubted(others)])
        if len(left):
            pair.then = pair.then.bind(target, noise)
            if by is None:
                _put(answers, left, pair.then.estimate(target, y[left], noise, generator))
            else:
                x[left] = pair.then.draw(target, y[left], noise, by)
            fallback[left] = True
        level = round(noise.log_det(target.dim), 9)
        pair.by_first |= {level} if len(left) < n else set()
        pair.by_second |= {level} if len(left) else set()
        return answers, x


def _put(answers: Estimate, rows: Tensor, found: Estimate) -> None:
    """What is known of some rows: what is exact has no error, infinite ess, and is trusted."""
    for name, exactly in EXACT.items():
        values, some = getattr(answers, name), getattr(found, name)
        if values is not None:
            values[rows] = exactly if some is None else some.to(values.dtype)
