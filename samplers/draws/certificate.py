"""How far to trust draws and log Z, in numbers and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from samplers.draws import html
from samplers.draws.wording import digits, in_words, plus_minus

STANDARD_ERRORS = 2.0  # half the width of the interval that a normal error leaves in 95 of 100 cases
MOST_MISSED = 0.02  # of Z-hat that draws may lack before it is said
ESTIMATES = ("own", "by_bridge", "by_regions", "by_annealing", "at_least")
LISTS = ("doubts", "of_run", "too_few", "missed_at")
DOUBTFUL, TOO_FEW, NOT_JUDGED = "doubtful", "too few draws to tell", "not judged"
NOTHING_AGAINST = "nothing found against it"
LEAST_HELD = 0.2  # share of the draws in the scouts' regions below which these tell little


@dataclass(frozen=True, repr=False)
class Certificate:
    """What searches that share nothing with a sampler say of its draws and of its log Z.

    log_z, standard_error: what to believe of log Z, in nats; NaN where nothing tells. lower, upper: log Z in 95 of
    100 cases, if neither the sampler nor the scouts missed a mode; what was missed, and what may be hidden, widens it
    upwards alone. own, by_bridge, by_regions,
    by_annealing: estimates, (value, standard error) or None: the sampler's; of draws without one by bridge sampling;
    the mass that scouts measured in their regions over the share of the draws there; that of the pilot that a learned
    sampler, or a denoiser, began with. at_least: log of the mass that scouts measured in all their regions, below which
    log Z cannot be, with its error, or None. missed: the mass that scouts have found and the draws lack, over Z-hat, in
    `missed_regions`, of which `missed_at` (dim,) is the centre of the largest. hidden: an estimate of the mass that
    neither has found. held: the share of the draws that lies in the scouts' regions, of which there are `regions`;
    zero where no search was made. effective: how many independent draws they are worth, NaN where that was not asked.
    pareto_k: of the weights, or None. searched: what kept scouts from being sent, or "". doubts: in words, what speaks
    against the draws, the gravest first. of_run: those of the doubts that the draws tell of themselves, such as R-hat
    and divergent steps. too_few: in words, why little can be told from these draws. verdict: all this in a word.

        >>> from samplers import Certificate
        >>> print(Certificate())
        Not judged. Scouts found nothing.
        >>> Certificate(log_z=0.0, standard_error=0.1, doubts=("scouts found a mode that the draws lack",)).doubts
        ('scouts found a mode that the draws lack',)
    """

    log_z: float = math.nan
    standard_error: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    own: tuple[float, float] | None = None
    by_bridge: tuple[float, float] | None = None
    by_regions: tuple[float, float] | None = None
    by_annealing: tuple[float, float] | None = None
    at_least: tuple[float, float] | None = None
    missed: float = math.nan
    missed_regions: int = 0
    missed_at: tuple[float, ...] = ()
    hidden: float = math.nan
    held: float = math.nan
    regions: int = 0
    effective: float = math.nan
    pareto_k: float | None = None
    searched: str = ""
    doubts: tuple[str, ...] = ()
    of_run: tuple[str, ...] = ()
    too_few: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`doubtful` where something speaks against the draws; else `too few draws to tell`; else `not judged`, where
        no search was made, none of it can be compared with the draws, or it found nothing; else `nothing found against
        it`, which is no proof.
        """
        if self.doubts:
            return DOUBTFUL
        if self.too_few:
            return TOO_FEW
        if self.searched or not self.regions or math.isnan(self.missed):
            return NOT_JUDGED
        return NOTHING_AGAINST

    @property
    def of_mass(self) -> tuple[str, ...]:
        """The doubts that the scouts and the estimates of log Z raise: all but those of the run itself."""
        return tuple(one for one in self.doubts if one not in self.of_run)

    @property
    def estimates(self) -> dict[str, tuple[float, float]]:
        """The estimates of log Z that stand behind it, by where they come from; the first is the one to believe."""
        found = {
            "the sampler's": self.own,
            "by bridge sampling": self.by_bridge,
            "by the scouts' regions": self.by_regions,
            "by the pilot": self.by_annealing,
        }
        return {name: one for name, one in found.items() if one is not None}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Certificate:
        """From what JSON has made of the fields."""
        pairs = {n: None if record.get(n) is None else tuple(record[n]) for n in ESTIMATES}
        lists = {n: tuple(record.get(n, ())) for n in LISTS}
        return cls(**record | pairs | lists)

    def __str__(self) -> str:
        reasons = (*self.doubts, *self.too_few)
        first = [f"{self.verdict}: {reasons[0]}", *reasons[1:]] if reasons else [self.verdict]
        return " ".join(_sentence(part) for part in (*first, self._log_z(), self._coverage()) if part)

    def __repr__(self) -> str:
        count = f", {len(self.doubts)} doubt{'' if len(self.doubts) == 1 else 's'}" if self.doubts else ""
        log_z = "" if math.isnan(self.log_z) else f", log Z {plus_minus(self.log_z, self.standard_error)}"
        return f"Certificate({self.verdict}{count}{log_z})"

    def _repr_html_(self) -> str:
        doubts = html.listed(map(_sentence, self.doubts), "What speaks against the draws:")
        too_few = html.listed(map(_sentence, self.too_few), "Why little can be told:")
        said = [_sentence(part) for part in (self._log_z(), self._coverage()) if part]
        return html.block(f"Certificate: {self.verdict}", doubts, too_few, html.paragraph(" ".join(said)))

    def _log_z(self) -> str:
        if math.isnan(self.log_z):
            return ""
        said = f"log Z {plus_minus(self.log_z, self.standard_error)}, from "
        if len(self.estimates) > 1:
            each = ", ".join(f"{name} {plus_minus(*one)}" for name, one in self.estimates.items())
            said += f"{in_words(len(self.estimates))} estimates ({each})"
        else:
            said += f"one estimate, {next(iter(self.estimates))}"
        if math.isnan(self.lower):
            return said
        low, high = (digits(value, self.standard_error) for value in (self.lower, self.upper))
        return f"{said}; between {low} and {high} in 95 of 100 cases, if no mode was missed"

    def _coverage(self) -> str:
        if self.searched:
            return f"no search was made for what the draws may lack: {self.searched}"
        if not self.regions:
            return "scouts found nothing"
        count = "one region, which holds" if self.regions == 1 else f"{self.regions} regions, which hold"
        said = f"scouts that share nothing with the sampler found {count} {self.held:.0%} of the draws"
        if self.missed > MOST_MISSED:
            return said  # the doubts tell what
        if math.isnan(self.missed):
            return f"{said}. What these lack cannot be told: they state no log Z, and it follows from no region"
        if self.too_few:
            return f"{said}. They may lack much that so few of them cannot show"
        lacking = f"The draws lack nothing of what was found, as far as {self.effective:,.0f} effective ones tell"
        if self.held < LEAST_HELD:
            return f"{said}. {lacking}, which tells little of the rest"
        return f"{said}. {lacking}, and {_share(self.hidden)} of the mass may lie where neither has been"


def _sentence(part: str) -> str:
    return f"{part[:1].upper()}{part[1:]}."


def _share(value: float) -> str:
    return "less than 0.1 %" if value < 1e-3 else f"some {100 * value:.2g} %"
