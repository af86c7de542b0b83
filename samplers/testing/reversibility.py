"""Is a kernel reversible with respect to its target?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws.ties import joined, slack, tied
from samplers.kernels import Kernel, State
from samplers.runs.checked import checked_init, checked_step
from samplers.testing import statistics
from samplers.testing.apart import SHOWN, of_ranks, of_signs
from samplers.testing.functions import Backend, name_of
from samplers.testing.invariance import _generator, features, prepared
from samplers.testing.sequential_rule import LEVEL, Report, sequential
from targets import Target


def check_reversible(
    kernel: Kernel | Callable[..., Any],
    target: Target,
    *,
    seed: int = 0,
    chains: int = 20_000,
    length: int = 10,
    level: float = LEVEL,
    backend: Backend | None = None,
) -> Report:
    """Test detailed balance from exact draws, by ranks along short chains and by exchanged pairs.

    Rank test: a stationary reversible chain of `length` points, grown from an exact draw both ways from a uniformly
    chosen place, has that draw at a uniform rank of any function (ties broken at random). Pair test: (x_0, x_1) and
    (x_1, x_0) have one law, so that f(x_0, x_1) - f(x_1, x_0) is symmetric about zero for f = a_i b_i^2, a_i b_j and
    the like. Not valid for kernels whose momentum persists, nor for ones whose chains see one another.

    kernel, backend: as for `check_invariance`; a plain function is held to be reversible. Returns the report; raises
    AssertionError that names the statistic and says how far it is off, ValueError for a target without exact draws.
    Gandy and Scott 2020; Besag and Clifford 1989.
    """
    kernel = prepared(kernel, target, chains, seed, backend)
    said: dict[str, Callable[[], str]] = {}

    def p_values(stage: int, draws: int) -> dict[str, float]:
        chain_seed, other_seed = statistics.seeds(seed, stage, 2)
        generator, other = _generator(target, chain_seed), _generator(target, other_seed)
        named = features(target, other)
        with torch.no_grad():
            fixed = kernel.frozen(other)  # chains must be independent, and the kernel the same in both directions
            start = checked_init(fixed, target, target.sample(draws, generator=generator), generator)
            found = _ranks(fixed, target, start, length, named, generator, other, said)
            after, _ = checked_step(fixed, target, start, generator)
        found |= _pairs(start.x, after.x, said)
        return found

    def how_far(worst: list[str]) -> str:
        return "; ".join(said[statistic]() for statistic in worst[:SHOWN])

    return sequential(
        f"reversibility of {name_of(kernel)} on {target.name}", chains, p_values, level, how_far, _could_see
    )


def _could_see(z: float) -> str:
    """z: standard errors for each root of the chains; that of a share near one half is 1 / (2 sqrt(n))."""
    return f"a share of {0.5 + z / 2:.1%} in place of 50 % of pairs that are exchanged one way"


def _ranks(
    kernel: Kernel,
    target: Target,
    start: State,
    length: int,
    named: dict[str, Callable[[Tensor], Tensor]],
    generator: Generator,
    other: Generator,
    said: dict[str, Callable[[], str]],
) -> dict[str, float]:
    n = len(start.x)
    place = torch.randint(length, (n,), generator=other, device=start.x.device)
    origin = {name: function(start.x) for name, function in named.items()}
    series = {name: value[:, None].repeat(1, length) for name, value in origin.items()}  # along the chains
    for sign, reach in ((1, length - 1 - place), (-1, place)):  # forward, then backward: the same kernel
        state = start
        for k in range(1, length):
            state, _ = checked_step(kernel, target, state, generator)
            inside = (k <= reach).nonzero()[:, 0]
            for name, function in named.items():
                series[name][inside, place[inside] + sign * k] = function(state.x)[inside]
    uniform = torch.rand(n, generator=other, dtype=torch.float64, device=place.device)
    found = {}
    for name, value in series.items():
        # the typical size is that of all chains: in one alone all values may be near zero
        ranked = joined(value, slack(value.flatten()).reshape(value.shape))
        own = ranked.gather(1, place[:, None])
        below, equal = (ranked < own).sum(1), (ranked == own).sum(1)
        ranks = below + (uniform * equal).long()
        found[f"rank of {name}"] = statistics.uniform_ranks(ranks, length)
        said[f"rank of {name}"] = partial(of_ranks, ranks, length, name)
    return found


def _pairs(a: Tensor, b: Tensor, said: dict[str, Callable[[], str]]) -> dict[str, float]:
    functions = {
        "a_0 b_0^2": lambda a, b: a[:, 0] * b[:, 0].square(),
        "a_0^3 b_0": lambda a, b: a[:, 0] ** 3 * b[:, 0],
        "a_0 sin b_0": lambda a, b: a[:, 0] * b[:, 0].sin(),
    }
    if a.shape[1] > 1:
        functions["a_0 b_n"] = lambda a, b: a[:, 0] * b[:, -1]
        functions["a_n^2 b_0"] = lambda a, b: a[:, -1].square() * b[:, 0]
    found = {}
    for name, f in functions.items():
        differences = _difference(f(a, b), f(b, a))
        found[f"pairs, {name}"] = statistics.symmetric_signs(differences)
        said[f"pairs, {name}"] = partial(of_signs, differences, name)
    return found


def _difference(ahead: Tensor, back: Tensor) -> Tensor:
    """ahead - back, zero where rounding alone tells them apart."""
    return torch.where(tied(ahead, back, torch.minimum(slack(ahead), slack(back))), 0.0, ahead - back)
