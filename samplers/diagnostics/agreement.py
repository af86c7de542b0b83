"""Do several samplers give the same answer: R-hat with the samplers in the place of chains."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samplers.draws import Draws, estimates
from samplers.draws.names import label
from samplers.draws.objections import FALSE_ALARM, HIGHEST_R_HAT
from samplers.draws.ties import joined, slack

PARTS = 4  # that a single chain of independent draws is cut into

Columns = tuple[Mapping[str, Tensor], float | None]  # scalars by name (chains, draws), and the ESS of their weights


@dataclass(frozen=True)
class Agreement:
    """r_hat: the largest over pairs of samplers and over variables; variable and pair: where. by_chance: the largest
    R-hat there of independent chains worth as few draws, exceeded in one of 10,000 comparisons. R-hat above 1.01 and
    not above by_chance is too few draws to tell; what is above both comes first. pairs: of each pair r_hat, and its
    variable.

        >>> from samplers.diagnostics import agreement
        >>> one, other = (torch.randn(4, 200, 1, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
        >>> found = agreement({"one": samplers.Draws(one), "other": samplers.Draws(other)})
        >>> found.r_hat < 1.02, found.disagree, found.pair
        (True, False, ('one', 'other'))
    """

    r_hat: float
    variable: str
    pair: tuple[str, str]
    pairs: Mapping[tuple[str, str], tuple[float, str]]
    by_chance: float

    @property
    def agree(self) -> bool:
        """Whether R-hat is at most 1.01 for every pair and variable."""
        # the limit within one sampler: one that lacks a mode of weight 0.3 reaches no more than 1.04
        return self.r_hat <= HIGHEST_R_HAT

    @property
    def disagree(self) -> bool:
        """Whether a pair differs by more than chance leaves; where neither this nor `agree`, draws are too few."""
        return _beyond(self.r_hat, self.by_chance)

    def __str__(self) -> str:
        if self.agree:
            return f"the samplers agree: R-hat between them is at most {self.r_hat:.3f}"
        if not self.disagree:
            reached = "" if math.isnan(self.r_hat) else f": R-hat between them is {self.r_hat:.3f}"
            most = "" if math.isinf(self.by_chance) else f", and chance alone reaches {self.by_chance:.3f}"
            return (
                f"too few draws to tell whether {self.pair[0]} and {self.pair[1]} agree on {self.variable}{reached}"
                f"{most}. Run longer"
            )
        return (
            f"{self.pair[0]} and {self.pair[1]} disagree on {self.variable}: R-hat between them is {self.r_hat:.3f}. "
            "One of them is wrong, or both"
        )


def agreement(draws: Mapping[str, Draws]) -> Agreement:
    """Rank-normalised split R-hat (Vehtari et al. 2021) over the chains of every two samplers of one target together.

    Near 1 two samplers agree; far from 1 one of them is wrong, even where each has converged by its own R-hat. Weighted
    draws are resampled, and a single chain of independent draws is cut into four. Chains are cut to equal length.
    They disagree where R-hat is above 1.01 and above what chance leaves chains of as few effective draws, those of the
    poorer sampler (`samplers.draws.estimates.r_hat_by_chance`; one false alarm in 10,000 over all pairs and variables).
    ValueError for fewer than two samplers, and for draws whose variables differ.
    """
    if len(draws) < 2:
        raise ValueError(f"draws: got {len(draws)} samplers, expected at least two to compare")
    columns = {name: _columns(one) for name, one in draws.items()}
    first = next(iter(columns))
    for name, found in columns.items():
        if found.keys() != columns[first].keys():
            raise ValueError(
                f"draws: {name} has the variables {sorted(found)}, {first} has {sorted(columns[first])}; expected "
                "draws of one target"
            )
    tests = 2 * len(columns[first]) * math.comb(len(columns), 2)  # of ranks and of folded ranks
    weights = {name: one.attrs.get("weight_ess", one.weight_ess) for name, one in draws.items()}
    largest = {
        pair: max(_each((columns[pair[0]], weights[pair[0]]), (columns[pair[1]], weights[pair[1]]), tests), key=_order)
        for pair in itertools.combinations(columns, 2)
    }
    worst = max(largest, key=lambda pair: _order(largest[pair]))
    r_hat, variable, by_chance = largest[worst]
    return Agreement(r_hat, variable, worst, {pair: one[:2] for pair, one in largest.items()}, by_chance)


def _each(one: Columns, other: Columns, tests: int) -> Iterator[tuple[float, str, float]]:
    """Of every variable R-hat, its name, and the largest R-hat by chance; NaN, of draws that never move, is large."""
    for name, a in one[0].items():
        b = other[0][name]
        length = min(a.shape[1], b.shape[1])
        parts = [part[:, :length].flatten() for part in (a, b)]
        # ranks see ties, which rounding must not break
        chains = joined(torch.cat(parts), torch.cat([slack(part) for part in parts])).reshape(-1, length)
        if bool((chains == chains[0, 0]).all()):
            yield 1.0, name, HIGHEST_R_HAT
            continue
        # of two values the folded ranks, which see spreads, are all the same
        method = "split" if len(chains.unique()) == 2 else "rank"
        r_hat = float(estimates.r_hat({name: chains}, method)[name])
        own = [(chains[: len(a)], one[1]), (chains[len(a) :], other[1])]
        yield r_hat, name, HIGHEST_R_HAT if r_hat <= HIGHEST_R_HAT else _by_chance(own, tests)


def _by_chance(own: list[tuple[Tensor, float | None]], tests: int) -> float:
    """The largest R-hat by chance of the chains of two samplers, all worth as little as the poorer one's."""
    length = own[0][0].shape[1]
    if length < estimates.LEAST_DRAWS:
        return math.inf
    halves = []
    for chains, weight_ess in own:
        effective = estimates.ess_within(chains)
        if weight_ess is not None:  # draws resampled from few are no better than the few
            effective = min(effective, weight_ess)
        halves.append(effective / (2 * len(chains)))
    count = sum(len(chains) for chains, _ in own)
    return estimates.r_hat_by_chance(count, length / 2, min(halves), tests, FALSE_ALARM)


def _beyond(r_hat: float, by_chance: float) -> bool:
    return not (r_hat <= max(by_chance, HIGHEST_R_HAT) or math.isinf(by_chance))


def _order(found: tuple[float, str, float]) -> tuple[bool, float]:
    r_hat, _, by_chance = found
    return _beyond(r_hat, by_chance), math.inf if math.isnan(r_hat) else r_hat


def _columns(draws: Draws) -> dict[str, Tensor]:
    """Each scalar of the named variables, (chains, draws) on the CPU, thinned to equal weights."""
    draws = draws.unweighted()
    found = {}
    for name, value in draws.constrained.items():
        value = value.detach().cpu()
        if len(value) == 1:
            length = value.shape[1] // PARTS
            if length < 2:
                raise ValueError(f"draws: got {value.shape[1]} of {name} in one chain, expected at least {2 * PARTS}")
            value = value[0, : PARTS * length].unflatten(0, (length, PARTS)).transpose(0, 1)  # copies are neighbours
        shape = value.shape[2:]
        for index in np.ndindex(*shape):
            found[label(name, index, draws.variables.get(name))] = value[(..., *index)]
    return found
