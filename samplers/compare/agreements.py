"""Which samplers agree on a target: R-hat between them, and differences of shares of draws in standard errors."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from samplers.compare.names import label
from samplers.compare.shape import EVENTS, Shares, furthest, shares, thresholds
from samplers.diagnostics import Agreement, agreement
from samplers.diagnostics.agreement import PARTS
from samplers.draws import Draws

MOST_CHAINS, LONGEST = 16, 400  # of each sampler for R-hat, which needs no more to see a shift


@dataclass(frozen=True)
class Difference:
    """The share of draws (`samplers.compare.shape`) in which a pair of samplers differs most, among so many."""

    pair: tuple[str, str]
    variable: str
    where: str
    values: tuple[float, float]
    standard_errors: float
    tests: int

    def __str__(self) -> str:
        a, b = self.values
        return (
            f"{a:.1%} and {b:.1%} of their draws of {self.variable} are {self.where} of all, "
            f"{self.standard_errors:.1f} standard errors"
        )


@dataclass(frozen=True)
class Together:
    """Of one target: R-hat between samplers, None for runs too short, and the largest difference of each pair."""

    agreement: Agreement | None
    differences: list[Difference]


def together(
    draws: Mapping[tuple[str, str, int], Draws], targets: Collection[str] | None = None
) -> dict[str, Together]:
    """Of every target that two samplers or more were run on, from draws by (target, sampler, seed).

    targets: None, or those to look at.
    """
    keys: dict[str, list[tuple[str, str, int]]] = {}
    for key in (key for key in draws if targets is None or key[0] in targets):
        keys.setdefault(key[0], []).append(key)
    found = {}
    for target, own in keys.items():
        chains: dict[str, list[Draws]] = {}
        weighted: dict[str, list[Draws]] = {}
        for key in own:
            one = draws[key]
            if one.x.shape[1] >= 2 * PARTS:
                weighted.setdefault(key[1], []).append(one)
                chains.setdefault(key[1], []).append(one.unweighted())
        if len(chains) > 1:
            between = agreement({sampler: pooled(runs) for sampler, runs in chains.items()})
            at = thresholds([run for runs in chains.values() for run in runs])
            every = {sampler: _mean([shares(run, at) for run in runs]) for sampler, runs in weighted.items()}
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


def differences(found: Mapping[str, Mapping[str, Shares]]) -> list[Difference]:
    """Of every pair of samplers the share that differs most in standard errors, from shares at common quantiles.

    A pair of which no error is known is left out.
    """
    worst = []
    for pair in itertools.combinations(found, 2):
        a, b = found[pair[0]], found[pair[1]]
        one = furthest(a, b, lambda x, y: torch.hypot(x.error, y.error))
        if one.variable:
            values = float(a[one.variable].share[one.index]), float(b[one.variable].share[one.index])
            where, scalar = EVENTS[one.index[0]].where, label(one.variable, one.index[1:])
            worst.append(Difference(pair, scalar, where, values, one.standard_errors, one.tests))
    return worst
