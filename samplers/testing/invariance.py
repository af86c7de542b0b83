"""Does a kernel leave its target invariant?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.kernels import Kernel
from samplers.testing import statistics
from samplers.testing.functions import Backend, FunctionKernel, as_kernel, name_of, rounded
from samplers.testing.sequential import LEVEL, Report, sequential
from targets import Target

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

    The target needs an exact sampler (`"sample" in target.known`). Returns the report; raises AssertionError that
    names the statistic, or counts positions that are not finite; TypeError or ValueError that says what a function
    returned in place of positions like its own, and ValueError for a function that draws from elsewhere or keeps
    something between calls. Invariance says nothing of mixing: a kernel that never moves passes; see `check_moves`.
    """
    _need_sampler(target)
    kernel = as_kernel(kernel, backend)
    check_alone(kernel, target, chains, seed)

    def p_values(stage: int, draws: int) -> dict[str, float]:
        chain_seed, fresh_seed, tie_seed = statistics.seeds(seed, stage, 3)
        moved = run(kernel, target, draws, steps, _generator(target, chain_seed))
        fresh = rounded(kernel, target.sample(draws, generator=_generator(target, fresh_seed)))
        ties = _generator(target, tie_seed)
        named = features(target, ties) | dict(functions or {})
        found: dict[str, float] = {}
        for name, function in named.items():
            found |= statistics.two_sample(function(moved), function(fresh), name, ties)
        return found

    return sequential(f"invariance of {name_of(kernel)} on {target.name}", chains, p_values, level)


@torch.no_grad()
def run(kernel: Kernel, target: Target, chains: int, steps: int, generator: Generator) -> Tensor:
    """The end points (chains, dim) of chains that start at exact draws."""
    state = kernel.init(target, target.sample(chains, generator=generator), generator)
    for _ in range(steps):
        state, _ = kernel.step(target, state, generator)
    return state.x


def features(target: Target, generator: Generator) -> dict[str, Callable[[Tensor], Tensor]]:
    """Functions of x whose laws are compared."""
    named: dict[str, Callable[[Tensor], Tensor]] = {"log_prob": target.log_prob}
    if target.dim <= MOST_COORDINATES:
        for i in range(target.dim):
            named[f"x[{i}]"] = lambda x, i=i: x[:, i]  # type: ignore[misc]
        for i in range(target.dim - 1):
            named[f"x[{i}] x[{i + 1}]"] = lambda x, i=i: x[:, i] * x[:, i + 1]  # type: ignore[misc]
        return named
    named |= {"x[0]": lambda x: x[:, 0], "x[-1]": lambda x: x[:, -1], "|x|": lambda x: x.norm(dim=-1)}
    directions = torch.randn(3, target.dim, generator=generator, dtype=target.dtype, device=target.device)
    for k, direction in enumerate(directions):
        named[f"random direction {k}"] = lambda x, direction=direction: x @ direction  # type: ignore[misc]
    return named


@torch.no_grad()
def check_alone(kernel: Kernel, target: Target, chains: int, seed: int) -> None:
    """That a plain function depends on its arguments alone, seen at exact draws."""
    if isinstance(kernel, FunctionKernel):
        kernel.check_repeatable(target.sample(chains, generator=_generator(target, seed)), seed)


def _generator(target: Target, seed: int) -> Generator:
    return Generator(target.device).manual_seed(seed)


def _need_sampler(target: Target) -> None:
    if "sample" not in target.known:
        raise ValueError(f"target: {target.name} has no exact sampler, and this check starts chains at exact draws")
