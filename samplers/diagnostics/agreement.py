"""Do several samplers give the same answer: R-hat with the samplers in the place of chains."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samplers.draws import Draws, estimates
from samplers.draws.names import label
from samplers.draws.objections import HIGHEST_R_HAT
from samplers.draws.ties import joined, slack

PARTS = 4  # that a single chain of independent draws is cut into


@dataclass(frozen=True)
class Agreement:
    """r_hat: the largest over pairs of samplers and over variables; variable and pair: where. pairs: of each pair the
    largest, and its variable.

        >>> from samplers.diagnostics import agreement
        >>> one, other = (torch.randn(4, 200, 1, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
        >>> found = agreement({"one": samplers.Draws(one), "other": samplers.Draws(other)})
        >>> found.r_hat < 1.02, found.pair
        (True, ('one', 'other'))
    """

    r_hat: float
    variable: str
    pair: tuple[str, str]
    pairs: Mapping[tuple[str, str], tuple[float, str]]

    @property
    def agree(self) -> bool:
        """Whether no pair disagrees on any variable."""
        # the limit within one sampler: one that lacks a mode of weight 0.3 reaches no more than 1.04
        return self.r_hat <= HIGHEST_R_HAT

    def __str__(self) -> str:
        if self.agree:
            return f"the samplers agree: R-hat between them is at most {self.r_hat:.3f}"
        return (
            f"{self.pair[0]} and {self.pair[1]} disagree on {self.variable}: R-hat between them is {self.r_hat:.3f}. "
            "One of them is wrong, or both"
        )


def agreement(draws: Mapping[str, Draws]) -> Agreement:
    """Rank-normalised split R-hat (Vehtari et al. 2021) over the chains of every two samplers of one target together.

    Near 1 two samplers agree; far from 1 one of them is wrong, even where each has converged by its own R-hat. Weighted
    draws are resampled, and a single chain of independent draws is cut into four. Chains are cut to equal length.
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
    pairs = {pair: _largest(columns[pair[0]], columns[pair[1]]) for pair in itertools.combinations(columns, 2)}
    worst = max(pairs, key=lambda pair: _order(pairs[pair][0]))
    return Agreement(*pairs[worst], worst, pairs)


def _largest(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> tuple[float, str]:
    """The largest R-hat over variables, and which; NaN, of draws that never move, counts as largest."""
    found = {}
    for name, a in one.items():
        b = other[name]
        length = min(a.shape[1], b.shape[1])
        parts = [part[:, :length].flatten() for part in (a, b)]
        # ranks see ties, which rounding must not break
        chains = joined(torch.cat(parts), torch.cat([slack(part) for part in parts])).reshape(-1, length)
        if bool((chains == chains[0, 0]).all()):
            found[name] = 1.0
            continue
        # of two values the folded ranks, which see spreads, are all the same
        method = "split" if len(chains.unique()) == 2 else "rank"
        found[name] = float(estimates.r_hat({name: chains}, method)[name])
    worst = max(found, key=lambda name: _order(found[name]))
    return found[worst], worst


def _order(value: float) -> float:
    return math.inf if math.isnan(value) else value


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
            found[label(name, index)] = value[(..., *index)]
    return found
