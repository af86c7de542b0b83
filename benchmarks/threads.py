"""Wall time of runs by the number of threads of torch: one, all cores, and the default of `sample(threads=)`.

Each run is made with each count in turn, round after round, so that a load that comes and goes meets all of them; the
table has medians over the rounds, and ratios to one thread and to the best fixed count. `--busy N` starts N processes
that keep a core busy each meanwhile; where others do so already the table is that of a busy machine too. What was to
hold: beside one busy process never above 1.2 times one thread, alone never above 1.1 times the best.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _machine import Row, parser, write

import samplers
import targets

Run = Callable[[Any], samplers.Draws]


def logistic(points: int, dim: int) -> targets.Target:
    """A posterior of regression coefficients given so many answers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(points, dim, generator=generator)
    y = (torch.rand(points, generator=generator) < torch.sigmoid(x @ torch.linspace(-1, 1, dim))).float()

    def log_prob(theta: torch.Tensor) -> torch.Tensor:
        logits = theta @ x.mT
        return (y * logits - torch.nn.functional.softplus(logits)).sum(-1) - 0.5 * theta.square().sum(-1)

    return targets.LogDensity(log_prob, dim=dim, name="logistic regression")


def cases(quick: bool) -> dict[str, Run]:
    """Runs of small tensors, and of large ones with and without products of matrices."""
    scale = 10 if quick else 1
    ten, regression = targets.Gaussian(torch.zeros(10)), logistic(2000, 20)

    def run(kernel: samplers.Kernel, target: targets.Target, chains: int, draws: int, warmup: int) -> Run:
        return lambda threads: kernel.sample(
            target, chains=chains, draws=draws // scale, warmup=warmup // scale, progress=False, threads=threads
        )

    return {
        "HMC, Gaussian in 10, 64 chains": run(samplers.HMC(), ten, 64, 100, 100),
        "MALA, Gaussian in 10, 20,000 chains": run(samplers.MALA(), ten, 20_000, 40, 40),
        "MALA, logistic regression of 2000 answers, 64 chains": run(samplers.MALA(), regression, 64, 100, 60),
    }


def measured(name: str, run: Run, rounds: int) -> Row:
    """A row: median seconds with each count, and ratios."""
    every = os.cpu_count() or 1
    settings: dict[str, Any] = {"one": 1, "all": every, "default": None}
    seconds: dict[str, list[float]] = {setting: [] for setting in settings}
    same = True
    for _ in range(rounds):
        found = {}
        for setting, threads in settings.items():
            began = time.perf_counter()
            found[setting] = run(threads)
            seconds[setting].append(time.perf_counter() - began)
        same = same and all(torch.equal(found["one"].x, one.x) for one in found.values())
    median = {setting: statistics.median(times) for setting, times in seconds.items()}
    return {
        "run": name,
        "one thread, s": median["one"],
        f"{every} threads / one": median["all"] / median["one"],
        "default / one": median["default"] / median["one"],
        "default / best fixed": median["default"] / min(median["one"], median["all"]),
        "default took": found["default"].attrs["threads"],
        "same bits": "yes" if same else "no",
    }


def main() -> None:
    """Measure and write."""
    options = parser(__doc__)
    options.add_argument("--busy", type=int, default=0, help="processes that keep a core busy meanwhile")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(given.busy)]
    load = os.getloadavg()[0]
    try:
        rows = [measured(name, run, 1 if given.quick else given.rounds) for name, run in cases(given.quick).items()]
    finally:
        for process in spinning:
            process.kill()
    write(
        "threads-busy" if given.busy or load >= 1 else "threads",
        "Threads of a run",
        {"Wall time": rows},
        settings={
            "rounds": given.rounds,
            "busy processes started": given.busy,
            "load average at the start, end": f"{load:.1f}, {os.getloadavg()[0]:.1f}",
        },
        notes=["the load average counts processes that want a core, those of others on the machine too."],
        quick=given.quick,
    )


if __name__ == "__main__":
    main()
