"""Samplers learned from the energy alone, beside the published figures: log Z, ELBO, ESS and weights of modes.

Every row is one method on one target with its default settings; only the number of iterations is given (and, for the
Cox process in 1600 dimensions, fewer steps and smaller batches). 2,000 paths (20,000 where few are effective, or modes
are many) are drawn from the trained sampler with a seed of its own. The evaluations count pilot and training. Of SCLD,
log Z and weights are those of its particles, ELBO and ESS those of plain paths without resampling.
The seeds and rows that were not run are not there: each run adds its row to results/learned.json, and the table in
results/learned.md is made anew from all rows.

    python benchmarks/learned.py                          all targets, three seeds (hours)
    python benchmarks/learned.py --targets gmm9 --seeds 0
    python benchmarks/learned.py --table                  the table alone, from the rows that are there
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
import warnings
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from _machine import RESULTS, Row, machine, parser, recorded, write

import samplers
import targets
from samplers.diffusion import Training

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DRAWS = 2000
MANY = {
    "funnel10-std3": 20_000,
    "many-well32-fab": 20_000,
    "many-well64-fab": 20_000,
    "many-well50-delta2": 20_000,
    "many-well5-delta4": 20_000,
}  # few are effective, or many modes
ISING = "ising8-relaxed-0.4"

# target: (method, iterations), the bar, published
TABLE: dict[str, tuple[list[tuple[str, int]], str, str]] = {
    "gmm9": (
        [("CMCD", 200), ("DDS", 200)],
        "log Z 0.015, ESS 0.6, modes 0.02",
        "log Z 0.0027 (fab-jax); ESS 0.87 (DIS-LV, second-hand)",
    ),
    "gmm9-unequal": ([("CMCD", 200), ("DDS", 200)], "every mode, weights 0.02", "KL versions collapse"),
    "funnel10-std3": (
        [("CMCD", 200)],
        "log Z 0.1, ELBO -0.6",
        "-0.019 / -0.230 (CMCD, 256 steps); -0.18 to -0.22 (DDS); 0.0022 (fab-jax)",
    ),
    "many-well32-fab": (
        [("SCLD", 100), ("CMCD", 100), ("DDS", 100)],
        "log Z 0.05, right well 0.844 +- 0.02",
        "0.032 (fab-jax); 0.02 (GFN); 0.23 (DDS)",
    ),
    "many-well64-fab": ([("CMCD", 100)], "log Z 0.1", "none"),
    "many-well50-delta2": ([("CMCD", 100)], "log Z 0.1", "none"),
    "many-well5-delta4": ([("CMCD", 200), ("DDS", 200)], "32 modes, log Z 0.02", "Sinkhorn 0.51 (CMCD)"),
    "sonar": ([("CMCD", 60), ("DDS", 60)], "ELBO -109.0, log Z 0.1", "ELBO -108.90 (CMCD-UHA); log Z -108.89 (DDS)"),
    "two-modes-d32": ([("CMCD", 100), ("DDS", 100)], "weights 0.05", "0.09 (RDSMC); AIS collapses"),
    ISING: ([("SCLD", 150)], "log Z 0.1 of Kaufman", "none"),
    "lgcp-finpines-40x40": (
        [("DDS, 32 steps, batch 32", 120)],
        "say what was reached",
        "13 below (CMCD, ELBO); 0.19 (fab-jax)",
    ),
}
METHODS = {
    "DDS": samplers.DDS,
    "CMCD": samplers.CMCD,
    "SCLD": samplers.SCLD,
    "DDS, 32 steps, batch 32": lambda: samplers.DDS(steps=32, training=Training(batch=32)),
}
LONG_RUNS = {"sonar": -108.39, "lgcp-finpines-40x40": 501.81}  # log Z by long annealed importance sampling


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--targets", nargs="*", choices=list(TABLE), default=list(TABLE))
    arguments.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    arguments.add_argument("--methods", nargs="*", help="of a target's methods; all of them where none are given")
    arguments.add_argument("--table", action="store_true", help="run nothing, print the table of what was run")
    options = arguments.parse_args()
    if DATA.is_dir():
        os.environ.setdefault("UNNORM_DATA", str(DATA))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", samplers.SamplingWarning)
    if not options.table:
        for name in options.targets:
            for method, iterations in TABLE[name][0]:
                for seed in options.seeds:
                    if options.methods is None or method in options.methods:
                        row = run(name, method, 20 if options.quick else iterations, seed)
                        print(json.dumps(row))
                        _add(row, options.quick)
    report(options.quick)


def density(name: str) -> targets.Target:
    """A benchmark, or the relaxed Ising model."""
    return targets.Ising((8, 8), coupling=0.4).relaxed() if name == ISING else targets.benchmark(name)


def run(name: str, method: str, iterations: int, seed: int) -> Row:
    """Train, draw, and compare with what is known of the target."""
    target = density(name)
    log_z = target.log_z if "log_z" in target.known else LONG_RUNS[name]
    count = MANY.get(name, DRAWS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", samplers.SamplingWarning)
        began = time.perf_counter()
        fitted = METHODS[method]().fit(target, seed=seed, iterations=iterations, progress=False)
        seconds = time.perf_counter() - began
        draws = fitted.sample(draws=count, seed=10_000 + seed)
    warned = any(issubclass(one.category, samplers.SamplingWarning) for one in caught)
    plain = fitted.evaluate(count, seed=20_000 + seed)
    evaluation = fitted.evaluation
    assert evaluation is not None
    assert fitted.untrained is not None
    return {
        "target": name,
        "method": method,
        "seed": seed,
        "draws": count,
        "iterations": fitted.iterations,
        "steps": fitted.method.steps,
        "untrained_elbo_gap": fitted.untrained.elbo - log_z,
        "untrained_ess": fitted.untrained.ess,
        "minutes": seconds / 60,
        "evaluations": fitted.cost.log_prob,
        "log_z": draws.log_z.value,
        "log_z_error": draws.log_z.value - log_z,
        "log_z_se": draws.log_z.standard_error,
        "elbo": plain.elbo,
        "elbo_gap": plain.elbo - log_z,
        "ess": plain.ess,
        "pareto_k": draws.attrs["pareto_k"],
        "eubo": evaluation.eubo,
        "forward_ess": evaluation.forward_ess,
        **weights(target, draws),
        "warned": "yes" if warned else "no",
        "cpu": machine()["cpu"],
        "remark": "",
    }


def weights(target: targets.Target, draws: samplers.Draws) -> dict[str, Any]:
    """Largest error of a mode's weight, modes with less than half their weight, mean mass of the right wells."""
    share = draws.log_weights[0].softmax(0)
    x = draws.x[0]
    found: dict[str, Any] = {"mode_error": None, "modes_lost": None, "right_wells": None}
    if isinstance(target, targets.ManyWell):
        right = (x[:, ::2] > 0).double()
        found["right_wells"] = float((share[:, None] * right).sum(0).mean())
        found["mode_error"] = float(((share[:, None] * right).sum(0) - target.right_well_mass).abs().max())
    elif {"modes", "mode_weights"} <= target.known and len(target.modes) > 1:
        masses = (share[:, None] * target.mode_probabilities(x).double()).sum(0)
        truth = target.mode_weights.double()
        found["mode_error"] = float((masses - truth).abs().max())
        found["modes_lost"] = int((masses < 0.5 * truth).sum())
    return found


def _path(quick: bool) -> Path:
    return RESULTS / ("learned-quick.json" if quick else "learned.json")


def _rows(quick: bool) -> list[Row]:
    return recorded(_path(quick).stem).get("Runs", [])


def _add(row: Row, quick: bool) -> None:
    """Put a row into the file; several processes may do so at once."""
    with open(RESULTS / ".learned.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        key = ("target", "method", "seed")
        rows = [old for old in _rows(quick) if any(old[k] != row[k] for k in key)]
        _path(quick).write_text(json.dumps({"machine": machine(), "tables": {"Runs": [*rows, row]}}, indent=1) + "\n")


def report(quick: bool) -> None:
    """The table of all rows."""
    rows = _rows(quick)
    order = list(TABLE)
    rows.sort(key=lambda r: (order.index(r["target"]), r["method"], r["seed"]))
    summary = []
    for name in order:
        for method in dict.fromkeys(row["method"] for row in rows if row["target"] == name):
            found = [row for row in rows if (row["target"], row["method"]) == (name, method)]
            errors = [abs(row["log_z_error"]) for row in found]
            summary.append(
                {
                    "target": name,
                    "method": method,
                    "runs": len(found),
                    "log Z: mean abs. error": fmean(errors),
                    "worst": max(errors),
                    "ELBO - log Z: mean": fmean(row["elbo_gap"] for row in found),
                    "worst ": min(row["elbo_gap"] for row in found),
                    "before training": _mean(found, "untrained_elbo_gap"),
                    "ESS: mean": fmean(row["ess"] for row in found),
                    "worst  ": min(row["ess"] for row in found),
                    "mode weight off by, worst": _worst(found, "mode_error"),
                    "right wells": _mean(found, "right_wells"),
                    "warned": ""
                    if any("warned" not in row for row in found)
                    else sum(row["warned"] == "yes" for row in found),
                    "iterations": ", ".join(str(n) for n in sorted({row["iterations"] for row in found})),
                    "draws": found[0]["draws"],
                    "evaluations": f"{fmean(row['evaluations'] for row in found) / 1e6:.1f} M",
                    "minutes": fmean(row["minutes"] for row in found),
                    "bar": TABLE[name][1],
                    "published": TABLE[name][2],
                }
            )
    write(
        "learned",
        "Samplers learned from the energy alone",
        {"Summary": summary, "Runs": rows},
        settings={"torch threads": 1},
        notes=[
            "log Z of sonar and of the Cox process is that of long annealed importance sampling, -108.39 +- 0.04 and "
            "501.81 +- 0.1; all others are exact.",
            "Before training: ELBO - log Z where the pilot ends and the networks are zero, in the mean of the runs.",
            "Right wells: the mean mass of the right one of every two, 0.844 by the density of many-well32-fab and "
            "many-well64-fab. Warned: how many runs gave a warning of any kind.",
            "A mode's weight is estimated from 2,000 draws: for nine equal modes exact draws are off by 0.013 at the "
            "worst mode, in the mean.",
            "Published figures have variants of their own (steps, iterations, hardware): see the papers.",
            "minutes: wall time of one process with one thread, with one or two other processes on the machine.",
        ],
        quick=quick,
    )


def _mean(rows: list[Row], name: str) -> float | None:
    found = [row[name] for row in rows if row[name] is not None]
    return fmean(found) if found else None


def _worst(rows: list[Row], name: str) -> float | None:
    found = [row[name] for row in rows if row[name] is not None and not math.isnan(row[name])]
    return max(found) if found else None


if __name__ == "__main__":
    main()
