"""What it costs to look whether a precision is reached, and what looking repeatedly does to the error that is stated.

Coverage: an autoregressive chain (correlation 0.9 of neighbours, 4 chains started at exact draws, standard normal, so
that mean and autocorrelation are known exactly), looked at as `sample(until=)` does until an ESS is reached, once for
each seed. Printed are the share of seeds whose 95 % interval, mean +- 1.96 MCSE as ArviZ states it, holds the true
mean; the ESS that was found over the true one of as many draws; and how much longer the run was than the true ESS
takes.
Beside it runs of a length that is fixed beforehand, the median of the others.

Cost: the seconds of looks over those of the run, warmup included.
"""

from __future__ import annotations

import math
import statistics
import time

import numpy as np
import torch
from _machine import Row, parser, recorded, write
from scipy.signal import lfilter
from torch import Tensor

import samplers
import targets
from samplers.draws.effective import Effective
from samplers.kernels import Kernel
from samplers.runs.plan import Plan
from samplers.runs.watch import Watch

CORRELATION, CHAINS = 0.9, 4
INDEPENDENT = (1 + CORRELATION) / (1 - CORRELATION)  # draws that an independent one takes, for the mean
TARGET = targets.Gaussian(torch.zeros(1, dtype=torch.float64))


def autoregressive(seed: int, draws: int) -> Tensor:
    """x' = c x + sqrt(1 - c^2) noise from a standard normal start, (chains, draws, 1)."""
    noise = np.random.default_rng(seed).standard_normal((CHAINS, draws))
    noise[:, 1:] *= math.sqrt(1 - CORRELATION**2)
    return torch.from_numpy(lfilter([1.0], [1.0, -CORRELATION], noise))[..., None]


def judged(x: Tensor) -> dict[str, float]:
    """Of draws: how many, whether the interval of the mean holds the true one, and the ESS over the true one."""
    worth = Effective(x.movedim(-1, 0))
    error = float(x.std()) / math.sqrt(float(worth.mean[0]))  # as ArviZ's, which a test holds it to
    true = x.shape[1] * CHAINS / INDEPENDENT
    return {
        "draws": x.shape[1],
        "held": abs(float(x.mean())) < 1.96 * error,
        "ess": float(worth.bulk[0]) / true,
        "true": true,
    }


def until_reached(seed: int, ess: float) -> dict[str, float]:
    """The chain of one seed, looked at as `sample(until=)` does."""
    most = 10 * int(ess * INDEPENDENT / CHAINS)
    x = autoregressive(seed, most)
    plan = Plan(chains=CHAINS, draws=most, warmup=0, thin=1, seed=seed, keep="draws")
    watch = Watch(samplers.Until(ess=ess, r_hat=math.inf), plan, TARGET)
    while not watch.reached:
        drawn = min(watch.next, most)
        watch.look(drawn, 0.0, lambda thin, drawn=drawn: x[:, :drawn:thin])
    return judged(x[:, :drawn])


def coverage(ess: float, seeds: int) -> list[Row]:
    """Rows of runs until an ESS, and of as many runs whose length is fixed."""
    until = [until_reached(seed, ess) for seed in range(seeds)]
    length = int(statistics.median(run["draws"] for run in until))
    fixed = [judged(autoregressive(seeds + seed, length)) for seed in range(seeds)]
    return [
        {
            "ended by": name,
            "ess asked for": ess,
            "seeds": seeds,
            "median draws a chain": statistics.median(run["draws"] for run in runs),
            "coverage of 95 %": statistics.mean(run["held"] for run in runs),
            "its standard error": math.sqrt(0.95 * 0.05 / seeds),
            "bulk ESS found / true": statistics.mean(run["ess"] for run in runs),
            "true ESS / asked for": statistics.mean(run["true"] for run in runs) / ess,
        }
        for name, runs in (("until=", until), ("draws=", fixed))
    ]


def cost(name: str, kernel: Kernel, target: targets.Target, ess: float) -> Row:
    """The share of looks in the seconds of a run."""
    spent, looks, look = 0.0, 0, Watch._judge

    def timed(self: Watch, x: Tensor) -> None:
        nonlocal spent, looks
        began = time.process_time()
        look(self, x)
        spent, looks = spent + time.process_time() - began, looks + 1

    Watch._judge = timed  # type: ignore[method-assign]
    began = time.process_time()
    try:
        draws = kernel.sample(target, until=samplers.Until(ess=ess), progress=False, threads=1)
    finally:
        Watch._judge = look  # type: ignore[method-assign]
    seconds = time.process_time() - began
    return {
        "run": name,
        "ess asked for": ess,
        "draws a chain": draws.x.shape[1],
        "looks": looks,
        "cpu seconds": seconds,
        "of looks, %": 100 * spent / seconds,
    }


def costs(quick: bool) -> list[Row]:
    """Rows of runs of 64 chains."""
    ten, wide = targets.Gaussian(torch.zeros(10)), targets.Gaussian(torch.zeros(100), torch.logspace(-1, 1, 100))
    cases: list[tuple[str, Kernel, targets.Target, float]] = [
        ("HMC, Gaussian in 10", samplers.HMC(), ten, 1000.0),
        ("HMC, Gaussian in 10", samplers.HMC(), ten, 10_000.0),
        ("HMC, Gaussian in 100, scales 0.1 to 10", samplers.HMC(), wide, 1000.0),
        ("random walk, Gaussian in 10", samplers.RandomWalkMetropolis(), ten, 1000.0),
    ]
    return [cost(*case) for case in cases[: 1 if quick else None]]


COVERAGE, COST = "Coverage where the mean is known exactly", "What the looks cost"


def main() -> None:
    """Measure and write."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", choices=("coverage", "cost"), help="one table; the other stays as it was")
    arguments.add_argument(
        "--ess", type=float, nargs="+", default=[100.0, 400.0], help="rows of others stay as they were"
    )
    options = arguments.parse_args()
    torch.set_num_threads(1)
    seeds, sizes = (5, (100.0,)) if options.quick else (500, options.ess)
    tables = recorded("until") if options.only else {}
    if options.only != "cost":
        others = [row for row in tables.get(COVERAGE, []) if row["ess asked for"] not in sizes]
        tables[COVERAGE] = others + [row for ess in sizes for row in coverage(ess, seeds)]
    if options.only != "coverage":
        tables[COST] = costs(options.quick)
    write(
        "until",
        "Runs that end at a precision",
        tables,
        settings={"correlation": CORRELATION, "chains": CHAINS, "chains of the runs whose looks are timed": 64},
        notes=[
            "bulk ESS found / true: the true one is of the mean, draws * chains / 19; that of ranks is nearly the same",
            "seconds are of this process's CPU time, as other processes ran beside it; warmup has 500 steps",
        ],
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
