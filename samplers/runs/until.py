"""The precision at which a run ends by itself, or the time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from targets.arguments import did_you_mean, positive

R_HAT = 1.01  # asked for beside an ESS or an error: Vehtari et al. 2021


@dataclass(frozen=True)
class Until:
    """A run ends as soon as all that is given holds of each coordinate and of each named parameter, or the time is up.

    ess: the least of bulk and tail effective sample size, over all chains together. mcse: the largest Monte Carlo
    standard error of a mean, in posterior standard deviations; 0.02 takes an ESS of the mean of 2500. r_hat: the
    largest rank-normalised split R-hat; left open it is 1.01 beside `ess` or `mcse` where there are several chains, and
    `math.inf` asks for none. They are ArviZ's. minutes, seconds: of wall time, warmup and earlier calls of the same
    checkpoint included, after which the run ends wherever it is, once it has a draw; give one of them or none. What the
    time cuts depends on the machine; everything else does not.

    ValueError where nothing is given, for numbers that are not positive, and for an `r_hat` that is not above one.
    Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021, https://arxiv.org/abs/1903.08008.

        >>> target = targets.Gaussian([0.0, 0.0], [1.0, 3.0])
        >>> draws = samplers.HMC().sample(target, until=samplers.Until(ess=500), chains=16, warmup=200)
        >>> draws.x.shape[1] < 1000, draws.attrs["reached"]["ess"] >= 500
        (True, True)
    """

    ess: float | None = None
    r_hat: float | None = None
    mcse: float | None = None
    minutes: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if not given:
            raise ValueError(f"until: got nothing, expected at least one of {', '.join(f.name for f in fields(self))}")
        for name, value in given.items():
            if not (name == "r_hat" and value == math.inf):
                positive(value, name)
        if self.r_hat is not None and not self.r_hat > 1:
            raise ValueError(f"r_hat: got {self.r_hat!r}, expected a number above 1, such as {R_HAT}")
        if self.minutes is not None and self.seconds is not None:
            raise ValueError(f"minutes, seconds: got {self.minutes!r} and {self.seconds!r}, expected one of them")

    @property
    def limit(self) -> float:
        """Seconds after which a run ends."""
        if self.minutes is not None:
            return 60.0 * self.minutes
        return math.inf if self.seconds is None else self.seconds

    @property
    def precise(self) -> bool:
        """Whether a precision is asked for, not a time alone."""
        return any(value is not None for value in (self.ess, self.mcse, self.r_hat))

    def asked(self, chains: int) -> dict[str, float]:
        """What is to hold, by name; ValueError for the R-hat of one chain."""
        if chains == 1 and self.r_hat is not None and self.r_hat < math.inf:
            raise ValueError("until, chains: got an r_hat and one chain, expected several chains, which it compares")
        wanted = {name: getattr(self, name) for name in ("ess", "mcse", "r_hat")}
        if wanted["r_hat"] is None and chains > 1 and (self.ess or self.mcse):
            wanted["r_hat"] = R_HAT
        return {name: float(value) for name, value in wanted.items() if value is not None and value < math.inf}


def as_until(until: Until | Mapping[str, Any] | None) -> Until | None:
    """An `Until`, or its fields by name; TypeError for anything else, ValueError for another name."""
    if until is None or isinstance(until, Until):
        return until
    if not isinstance(until, Mapping):
        raise TypeError(
            f"until: got {type(until).__name__}, expected a samplers.Until or a dict such as {{'ess': 1000}}"
        )
    known = [field.name for field in fields(Until)]
    for name in until:
        if name not in known:
            raise ValueError(f"until: got {name!r}, expected {', '.join(known)}{did_you_mean(str(name), known)}")
    return Until(**until)


def refuse(until: object, sampler: object, instead: str) -> None:
    """ValueError of samplers that make all their draws at once, which says what to ask of them instead."""
    if until is not None:
        raise ValueError(f"until: {type(sampler).__name__} makes all draws at once, not one after another; {instead}")
