"""Engines side by side: ours, NumPyro, BlackJAX, nutpie with PyMC, Stan, on eight models as users of each write them.

    cold        seconds of the first run, with all that it builds and compiles; imports are not counted
    a second    least bulk ESS (ArviZ) over all parameters, over the seconds of a run compiled before, warmup counted
    to 100 ...  seconds from a cold start to so many effective draws: what is paid once, the warmup, and as many draws
                as that takes, at what a draw takes and is worth in these runs
    gradients   an effective draw, after the warmup

Each run is a process of its own with empty caches, one after another, each engine in turn; figures are medians over
the seeds. Ours takes 64 chains on one thread; the peers four chains, nutpie and Stan on all cores. Step sizes, mass
matrices and the number of warmup steps are each engine's defaults (ours 500, NumPyro, Stan and BlackJAX 1000, nutpie
400), float64 everywhere. `off` says how far the means lie from those of all other engines, in standard errors, the
largest over the parameters: above 5 something is not the same posterior, or its effective draws are not.

    python benchmarks/engines.py            with nothing else on the machine; needs nutpie, PyMC, NumPyro, PyStan 3.10
    python benchmarks/engines.py --models sonar --engines HMC nutpie

An engine whose package is missing, or that fails, is a row with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _engine_models import MODELS
from _engines_once import ENGINES
from _machine import Row, parser, write

ONCE = Path(__file__).with_name("_engines_once.py")
ROOT = Path(__file__).resolve().parent.parent
WARMUP = {"HMC": 500, "HMC, compiled": 500, "nutpie": 400}  # of the others 1000
GOALS = (100, 1_000, 10_000)
CACHES = ("XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR")


def once(model: str, engine: str, draws: int, seed: int, limit: float) -> dict[str, Any] | str:
    """What one process measured; or why it did not."""
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: folder for name in CACHES} | {"PYTENSOR_FLAGS": f"base_compiledir={folder}"}
        environment = os.environ | caches | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, str(ONCE), model, engine, str(draws), str(WARMUP.get(engine, 1000)), str(seed)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return f"not ended after {limit:g} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no output"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def off(run: dict[str, Any], others: list[dict[str, Any]]) -> float:
    """The largest difference to the others' mean, in standard errors of it."""
    means, errors = (np.array([each[key] for each in (run, *others)]) for key in ("means", "errors"))
    difference = means[0] - means[1:].mean(0)
    return float(np.abs(difference / np.sqrt(errors[0] ** 2 + (errors[1:] ** 2).mean(0) / len(others))).max())


def row(model: str, engine: str, runs: list[dict[str, Any] | str], others: list[dict[str, Any]], draws: int) -> Row:
    """Medians over the seeds; others: runs of the other engines."""
    good = [run for run in runs if isinstance(run, dict)]
    failed = [run for run in runs if isinstance(run, str)]
    found: Row = {"model": model, "engine": engine, "runs": len(good)}

    def middle(value: Any) -> float:
        return median(map(value, good)) if good else float("nan")

    def seconds_to(goal: int) -> float:
        return middle(lambda run: run["cold"] - run["a draw"] * (draws - goal / (run["bulk"] / draws)))

    found |= {
        "cold, s": middle(lambda run: run["cold"]),
        "warm, s": middle(lambda run: run["warm"]),
        "ESS": middle(lambda run: run["bulk"]),
        "tail ESS": middle(lambda run: run["tail"]),
        "R-hat": max((run["r_hat"] for run in good), default=float("nan")),
        "off": max((off(run, others) for run in good), default=float("nan")) if others else float("nan"),
        "divergences": sum(run["divergences"] for run in good),
        "gradients / ESS": middle(lambda run: run["gradients"] / run["bulk"]),
        "ESS / s": middle(lambda run: run["bulk"] / run["warm"]),
        "least, most": " to ".join(f"{end(run['bulk'] / run['warm'] for run in good):.4g}" for end in (min, max))
        if good
        else "",
    }
    return found | {f"s to {goal:,}": seconds_to(goal) for goal in GOALS} | {"failed": "; ".join(sorted(set(failed)))}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    command.add_argument("--engines", nargs="*", choices=list(ENGINES), default=list(ENGINES))
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--limit", type=float, default=300.0, help="seconds of a process")
    arguments = command.parse_args()
    draws = 100 if arguments.quick else 1000
    rows = []
    for model in arguments.models:
        runs: dict[str, list[Any]] = {engine: [] for engine in arguments.engines}
        for seed in range(1 if arguments.quick else arguments.seeds):
            for engine in arguments.engines:
                runs[engine].append(once(model, engine, draws, 10 * seed, arguments.limit))
        for engine, found in runs.items():
            others = [run for name in runs if name != engine for run in runs[name] if isinstance(run, dict)]
            rows.append(row(model, engine, found, others, draws))
        for line in rows[-len(runs) :]:
            print(line, flush=True)
    settings = {"draws": draws, "warmup": WARMUP, "chains": "ours 64, peers 4", "precision": "float64"}
    write("engines", "Engines side by side", {"Runs": rows}, settings=settings, quick=arguments.quick)


if __name__ == "__main__":
    main()
