"""Which samplers agree on a target: by the differences of their shares of draws in standard errors, one limit for all.

R-hat between them stands beside it and decides nothing: a spread 5 % too large moves it too little, and a few short
chains move it by chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from samplers.compare.limits import limit
from samplers.compare.shape import Discrepancy, Shares, largest_discrepancy, shares, thresholds
from samplers.diagnostics import Agreement, agreement
from samplers.diagnostics.agreement import PARTS
from samplers.draws import Draws
from samplers.draws.objections import HIGHEST_R_HAT

MOST_CHAINS, LONGEST = 16, 400  # of each sampler for R-hat, which needs no more to see a shift


@dataclass(frozen=True)
class Together:
    """Of one target: R-hat between samplers, and the largest difference of each pair.

    Two samplers are apart where that difference is above the limit for one false alarm in 10,000 comparisons, over all
    pairs and all shares; the verdict goes by the same.
    """

    agreement: Agreement
    differences: Mapping[tuple[str, str], Discrepancy]

    @cached_property
    def apart(self) -> dict[frozenset[str], str]:
        """The pairs that differ by more than chance, and in what."""
        found = {}
        for pair, one in self.differences.items():
            if one.standard_errors > limit(one.tests * len(self.differences)):
                r_hat, variable = self.pairs[pair]
                also = f"; R-hat between them {r_hat:.2f} at {variable}" if r_hat > HIGHEST_R_HAT else ""
                found[frozenset(pair)] = f"{_in_words(one)}{also}"
        return found

    @property
    def agree(self) -> bool:
        """Whether no pair is apart."""
        return not self.apart

    @property
    def pair(self) -> tuple[str, str] | None:
        """Whose difference is the largest, None where no standard error is known."""
        return max(self.differences, key=lambda pair: self.differences[pair].standard_errors, default=None)

    @property
    def variable(self) -> str:
        """In which variable it is, empty where there is none."""
        return "" if self.pair is None else self.differences[self.pair].scalar

    @property
    def r_hat(self) -> float:
        """The largest over pairs and variables."""
        return self.agreement.r_hat

    @property
    def pairs(self) -> Mapping[tuple[str, str], tuple[float, str]]:
        """Of each pair the largest R-hat, and its variable."""
        return self.agreement.pairs

    def __str__(self) -> str:
        if self.pair is None:
            return "nothing tells whether the samplers agree: no standard error is known"
        if self.agree:
            largest = self.differences[self.pair].standard_errors
            most = f"{largest:.1f} standard errors, R-hat at most {self.r_hat:.3f}"
            return f"the samplers agree: they differ by at most {most}"
        return f"{' and '.join(self.pair)} disagree: {self.apart[frozenset(self.pair)]}"


def _in_words(one: Discrepancy) -> str:
    a, b = one.shares
    return (
        f"{a:.1%} and {b:.1%} of their draws of {one.scalar} are {one.event.where} of all, "
        f"{one.standard_errors:.1f} standard errors"
    )


def together(
    draws: Mapping[tuple[str, str, int], Draws], targets: Collection[str] | None = None
) -> dict[str, Together]:
    """Of every target that two samplers or more were run on, from draws by (target, sampler, seed).

    targets: None, or those to look at.
    """
    found = {}
    for target in dict.fromkeys(key[0] for key in draws if targets is None or key[0] in targets):
        runs: dict[str, list[Draws]] = {}
        for key in (key for key in draws if key[0] == target):
            one = draws[key]
            if one.x.shape[1] >= 2 * PARTS:
                runs.setdefault(key[1], []).append(one)
        if len(runs) > 1:
            chains = {sampler: [one.unweighted() for one in own] for sampler, own in runs.items()}
            between = agreement({sampler: pooled(own) for sampler, own in chains.items()})
            at = thresholds([one for own in chains.values() for one in own])
            every = {sampler: _mean([shares(one, at) for one in own]) for sampler, own in runs.items()}
            found[target] = Together(between, differences(every))
    return found


def pooled(runs: list[Draws]) -> Draws:
    """The chains of several runs side by side, as long as the shortest, thinned to what R-hat needs."""
    length = min(run.x.shape[1] for run in runs)
    steps = slice(None, length, max(1, length // LONGEST) if len(runs[0].x) > 1 else 1)
    most = max(1, MOST_CHAINS // len(runs))
    parts = [{name: value[:most, steps] for name, value in run.constrained.items()} for run in runs]
    made = Draws(torch.cat([run.x[:most, steps] for run in runs]))
    made.__dict__["constrained"] = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return made


def _mean(runs: list[dict[str, Shares]]) -> dict[str, Shares]:
    """The mean over runs, whose errors are independent."""
    return {
        name: Shares(
            torch.stack([run[name].share for run in runs]).mean(0),
            torch.stack([run[name].error for run in runs]).square().sum(0).sqrt() / len(runs),
        )
        for name in runs[0]
        if all(name in run for run in runs)
    }


def differences(found: Mapping[str, Mapping[str, Shares]]) -> dict[tuple[str, str], Discrepancy]:
    """Of every pair of samplers the share that differs most in standard errors, from shares at common quantiles.

    A pair of which no error is known is left out.
    """

    def between(one: str, other: str) -> Discrepancy:
        return largest_discrepancy(found[one], found[other], lambda a, b: torch.hypot(a.error, b.error))

    every = {pair: between(*pair) for pair in itertools.combinations(found, 2)}
    return {pair: one for pair, one in every.items() if one.variable}
