"""What compile=True is worth on two posteriors as a user writes them: an evaluation, and effective draws a second.

    eight schools         non-centred, 10 coordinates
    varying intercepts    85 groups, 919 observations, 90 coordinates: of the size of the radon data, drawn here

An evaluation is value and score at 64 points, eager and as one graph; a leapfrog is one of HMC with a diagonal mass
matrix. A run is `HMC().sample(target, chains=64)`: the least bulk ESS over its seconds, warmup included,
of runs after the first; and the same with the first run, which holds the compilation.

Both sides are measured in turn, on one thread. Seconds are of the processor (`time.process_time`, and of what was
started, such as the C++ compiler), which other work on the machine disturbs less than it does the clock.

    python benchmarks/compiled.py
    python benchmarks/compiled.py --ways     also what else torch has: torch.compile of the written-down function, and a
                                             trace by torch.jit
"""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from _machine import Row, parser, write
from torch import Tensor
from torch.distributions import HalfCauchy, HalfNormal, Normal

import samplers
import targets
from samplers.kernels.fused import fused_leapfrog
from targets.compiled import density_of, graphs_of
from targets.eight_schools import EFFECTS, ERRORS
from targets.user_function import no_validation

CHAINS = 64
DOUBLE = torch.float64


def eight_schools(compile: bool) -> targets.Target:
    """Non-centred."""
    y, errors = torch.tensor(EFFECTS, dtype=DOUBLE), torch.tensor(ERRORS, dtype=DOUBLE)

    def log_likelihood(mu: Tensor, tau: Tensor, z: Tensor) -> Tensor:
        return Normal(mu[:, None] + tau[:, None] * z, errors).log_prob(y).sum(-1)

    return targets.Posterior(
        log_likelihood=log_likelihood,
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 5.0)),
            "tau": targets.Positive(prior=HalfCauchy(5.0)),
            "z": targets.Real(8, prior=Normal(0.0, 1.0)),
        },
        compile=compile,
    )


def varying_intercepts(compile: bool) -> targets.Target:
    """Non-centred: y_i ~ N(mu + gamma u_g + tau z_g + beta f_i, sigma), g the group of i."""
    generator = torch.Generator().manual_seed(1)
    observations, groups = 919, 85
    group = torch.cat([torch.arange(groups), torch.randint(groups, (observations - groups,), generator=generator)])
    floor = (torch.rand(observations, generator=generator) < 0.17).to(DOUBLE)
    u = 0.4 * torch.randn(groups, generator=generator, dtype=DOUBLE)
    level = 1.5 + 0.7 * u + 0.3 * torch.randn(groups, generator=generator, dtype=DOUBLE)
    y = level[group] - 0.65 * floor + 0.75 * torch.randn(observations, generator=generator, dtype=DOUBLE)

    def log_likelihood(mu: Tensor, tau: Tensor, sigma: Tensor, beta: Tensor, gamma: Tensor, z: Tensor) -> Tensor:
        intercept = mu[:, None] + gamma[:, None] * u + tau[:, None] * z
        return Normal(intercept[:, group] + beta[:, None] * floor, sigma[:, None]).log_prob(y).sum(-1)

    return targets.Posterior(
        log_likelihood=log_likelihood,
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 5.0)),
            "tau": targets.Positive(prior=HalfNormal(1.0)),
            "sigma": targets.Positive(prior=HalfNormal(1.0)),
            "beta": targets.Real(prior=Normal(0.0, 2.0)),
            "gamma": targets.Real(prior=Normal(0.0, 2.0)),
            "z": targets.Real(groups, prior=Normal(0.0, 1.0)),
        },
        compile=compile,
    )


MODELS: dict[str, Callable[[bool], targets.Target]] = {
    "eight schools": eight_schools,
    "varying intercepts": varying_intercepts,
}


def seconds() -> float:
    """Of the processor, by this process and by what it started and has seen end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def in_turn(calls: dict[str, Callable[[], Any]], repetitions: int, each: int) -> dict[str, float]:
    """Seconds of a call, the median of repetitions of `each` calls, one of all in turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repetitions):
        for name, call in calls.items():
            began = time.process_time()
            for _ in range(each):
                call()
            found[name].append((time.process_time() - began) / each)
    return {name: median(times) for name, times in found.items()}


def evaluations(name: str, ways: bool, repetitions: int, each: int) -> list[Row]:
    """Rows of one model."""
    eager, compiled = MODELS[name](False), MODELS[name](True)
    generator = torch.Generator().manual_seed(0)
    x, p = (0.5 * torch.randn(CHAINS, eager.dim, generator=generator, dtype=DOUBLE) for _ in range(2))
    kernel = samplers.HMC(step_size=0.01, steps=1, inverse_mass_matrix=torch.ones(eager.dim, dtype=DOUBLE))
    state = kernel.init(eager, x, generator)
    graphs = graphs_of(compiled)
    assert graphs is not None
    calls: dict[str, Callable[[], Any]] = {
        "value and score, eager": lambda: eager.log_prob_and_score(x),
        "value and score, compile=True": lambda: compiled.log_prob_and_score(x),
        "leapfrog, eager": lambda: kernel.leapfrog(eager, state, p, 1),
        "leapfrog, compile=True": lambda: fused_leapfrog(graphs, compiled, state, p, kernel.h, 1, kernel.factor),
    }
    if ways:
        from torch.fx.experimental.proxy_tensor import make_fx

        with no_validation():
            graph = make_fx(density_of(eager))(x)
        again, traced = torch.compile(graph), torch.jit.freeze(torch.jit.trace(graph, x).eval())
        calls |= {
            "value and score, written down and run by torch": lambda: graph(x),
            "value and score, torch.jit.trace": lambda: traced(x),
            "value and score, torch.compile of what was written down": lambda: again(x),
        }
    found = in_turn(calls, repetitions, each)
    first = found["value and score, eager"]
    return [
        {"model": name, "call": call, "microseconds": 1e6 * taken, "times faster than eager": first / taken}
        for call, taken in found.items()
    ]


def run(target: targets.Target, draws: int, warmup: int, seed: int) -> tuple[float, float, int]:
    """Seconds, least bulk ESS and evaluated points of a run."""
    began = seconds()
    found = samplers.HMC().sample(target, chains=CHAINS, draws=draws, warmup=warmup, seed=seed, progress=False)
    taken = seconds() - began
    return taken, float(found.summary()["ess_bulk"].min()), found.cost.score


def runs(name: str, draws: int, warmup: int, seeds: int) -> Row:
    """The row of one model: the first compiled run, then runs of both in turn with seeds of their own."""
    eager, compiled = MODELS[name](False), MODELS[name](True)
    first, ess, _ = run(compiled, draws, warmup, 0)
    pairs = [(run(eager, draws, warmup, seed), run(compiled, draws, warmup, seed)) for seed in range(1, seeds + 1)]
    rates = [median(one[side][1] / one[side][0] for one in pairs) for side in (0, 1)]
    costs = [median(1e6 * one[side][0] / (one[side][2] / CHAINS) for one in pairs) for side in (0, 1)]
    return {
        "model": name,
        "draws": f"{CHAINS} x {draws} after {warmup}",
        "ESS/s eager": rates[0],
        "ESS/s compiled": rates[1],
        "ratio": rates[1] / rates[0],
        "first run, compilation counted": ess / first,
        "compilation s": first - median(one[1][0] for one in pairs),
        "us of a run an evaluation, eager": costs[0],
        "compiled": costs[1],
    }


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--ways", action="store_true", help="also other ways to compile")
    made.add_argument("--seeds", type=int, default=3, help="runs of each side")
    made.add_argument("--draws", type=int, default=1000, help="of each chain of eight schools; of the other a quarter")
    arguments = made.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)
    draws, seeds = (40, 1) if arguments.quick else (arguments.draws, arguments.seeds)
    sizes = {"eight schools": (draws, draws // 2), "varying intercepts": (draws // 4, draws // 4)}
    with torch.no_grad():
        calls = [
            row
            for name in MODELS
            for row in evaluations(name, arguments.ways, *((2, 5) if arguments.quick else (9, 40)))
        ]
    print(*calls, sep="\n", flush=True)
    write(
        "compiled",
        "Compiled posteriors: an evaluation, and effective draws a second of HMC with 64 chains",
        {
            "An evaluation of 64 points": calls,
            "Runs": [runs(name, *size, seeds) for name, size in sizes.items()],
        },
        settings={"threads": 1, "dtype": "float64", "runs of each side": seeds},
        notes=[
            "seconds are of the processor, those of the C++ compiler included; both sides in turn, medians",
            "ESS is the least bulk ESS over all parameters, warmup is in the seconds",
            "compilation is the first run less the median of those after it, with the import of torch's compiler",
        ],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
