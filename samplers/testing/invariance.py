"""Does a kernel leave its target invariant?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.kernels import Kernel
from samplers.runs.checked import checked_init, checked_step
from samplers.runs.checks import check_target
from samplers.testing import statistics
from samplers.testing.apart import SHOWN, in_words
from samplers.testing.functions import Backend, FunctionKernel, as_kernel, name_of, rounded
from samplers.testing.sequential_rule import LEVEL, Report, sequential
from targets import Target
from targets.arguments import check_integer, shown
from targets.way_to_truth import way_to_truth

Functions = Mapping[str, Callable[[Tensor], Tensor]]

MOST_COORDINATES = 6


def check_invariance(
    kernel: Kernel | Callable[..., Any],
    target: Target,
    *,
    seed: int = 0,
    chains: int = 50_000,
    steps: int = 5,
    functions: Functions | None = None,
    level: float = LEVEL,
    backend: Backend | None = None,
) -> Report:
    """Start `chains` independent chains at exact draws, run `steps` steps, and compare with fresh exact draws.

    If the kernel leaves the target invariant, both sets are i.i.d. from the same law, whatever the mixing: there is
    no burn-in, no effective sample size and no tolerance. Compared by ranks are location, scale and shape of the
    coordinates (of random directions in high dimension), products of neighbours, the log-density, and of
    `functions`, each (n, dim) -> (n,). A correct kernel is rejected with probability at most `level` over all seeds.

    kernel: a `samplers.Kernel`, or one step of any library as a plain function of positions (chains, dim) and a
        source of randomness, that returns positions: `(x, generator) -> x` in torch, `(x, rng) -> x` in NumPy,
        `(x, key) -> x` in JAX. Each step gets a generator or key of its own, made from `seed`. The name of the second
        parameter tells the library (or its annotation), or `backend="torch" | "numpy" | "jax"`.

    The target needs an exact sampler (`"sample" in target.known`; `targets.with_truth` gives one to a density in one or
    two dimensions). Returns the report; raises AssertionError that names the statistic and says by how much and which
    way means, variances or shares are off, or counts positions that are not finite; TypeError or ValueError that says
    what a function returned in place of positions like its own, and ValueError for a function that draws from
    elsewhere or keeps something between calls (`check_repeatable` looks at kernels too). Invariance says nothing of
    mixing: a kernel that never moves passes; see `check_moves`.
    """
    kernel = prepared(kernel, target, chains, seed, backend)
    own = _checked_functions(functions)
    last: dict[str, tuple[Tensor, Tensor]] = {}

    def p_values(stage: int, draws: int) -> dict[str, float]:
        chain_seed, fresh_seed, tie_seed = statistics.seeds(seed, stage, 3)
        generator = _generator(target, chain_seed)
        moved = run(kernel, target, target.sample(draws, generator=generator), steps, generator)
        fresh = rounded(kernel, target.sample(draws, generator=_generator(target, fresh_seed)))
        ties = _generator(target, tie_seed)
        named = features(target, ties) | own
        found: dict[str, float] = {}
        for name, function in named.items():
            last[name] = function(moved), function(fresh)
            found |= statistics.two_sample(*last[name], name, ties)
        return found

    def how_far(worst: list[str]) -> str:
        quantities = list(dict.fromkeys(statistic.split(" of ", 1)[1] for statistic in worst))[:SHOWN]
        return "; ".join(in_words(*last[name], name) for name in quantities)

    return sequential(f"invariance of {name_of(kernel)} on {target.name}", chains, p_values, level, how_far, _could_see)


def _could_see(z: float) -> str:
    """z: standard errors for each root of the chains. Those of a difference of two Gaussian samples are sqrt(2 / n) for
    the mean, in standard deviations, and 2 / sqrt(n) for the variance, relative to it."""
    return f"a mean off by {math.sqrt(2) * z:.2g} standard deviations, or a variance off by {2 * z:.1%}"


@torch.no_grad()
def run(kernel: Kernel, target: Target, start: Tensor, steps: int, generator: Generator) -> Tensor:
    """The end points (chains, dim) of chains that begin at `start`."""
    state = checked_init(kernel, target, start, generator)
    for _ in range(steps):
        state, _ = checked_step(kernel, target, state, generator)
    return state.x


def features(target: Target, generator: Generator) -> dict[str, Callable[[Tensor], Tensor]]:
    """Functions of x whose laws are compared."""
    named: dict[str, Callable[[Tensor], Tensor]] = {"log_prob": target.log_prob}
    if target.dim <= MOST_COORDINATES:
        named |= {f"x[{i}]": _coordinate(i) for i in range(target.dim)}
        named |= {f"x[{i}] x[{i + 1}]": _neighbours(i) for i in range(target.dim - 1)}
        return named
    named |= {"x[0]": _coordinate(0), "x[-1]": _coordinate(-1), "|x|": lambda x: x.norm(dim=-1)}
    directions = torch.randn(3, target.dim, generator=generator, dtype=target.dtype, device=target.device)
    named |= {f"random direction {k}": _along(direction) for k, direction in enumerate(directions)}
    return named


def _checked_functions(functions: Functions | None) -> dict[str, Callable[[Tensor], Tensor]]:
    """A user's functions of x by name, each seen to return one number a chain."""
    if functions is None:
        return {}
    if not isinstance(functions, Mapping) or not all(callable(function) for function in functions.values()):
        raise TypeError(f"functions: got {shown(functions)}, expected functions by name, {{'name': (n, dim) -> (n,)}}")
    return {name: _one_number(name, function) for name, function in functions.items()}


def _one_number(name: str, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def checked(x: Tensor) -> Tensor:
        found = function(x)
        if not isinstance(found, Tensor) or found.shape != x.shape[:1]:
            came = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"functions: {name} returned {came}, expected a tensor of shape ({len(x)},)")
        return found

    return checked


def _coordinate(i: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x[:, i]


def _neighbours(i: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x[:, i] * x[:, i + 1]


def _along(direction: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ direction


@torch.no_grad()
def prepared(kernel: Any, target: Target, chains: int, seed: int, backend: Backend | None) -> Kernel:
    """What is to be checked, as a kernel: of a plain function, that it depends on its arguments alone, seen at exact
    draws. ValueError for a target without these."""
    check_target(target)
    check_integer(chains, "chains")
    check_integer(seed, "seed", 0)
    if "sample" not in target.known:
        raise ValueError(
            f"target: {target.name} has no exact sampler, and this check starts chains at exact "
            f"draws{way_to_truth(target)}"
        )
    kernel = as_kernel(kernel, backend)
    if isinstance(kernel, FunctionKernel):
        kernel.check_repeatable(target.sample(chains, generator=_generator(target, seed)), seed)
    return kernel


def _generator(target: Target, seed: int) -> Generator:
    return Generator(target.device).manual_seed(seed)
