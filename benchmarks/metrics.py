"""Inverse mass matrices: by the covariance of the draws, and by draws and scores (`metric=`), on one kernel.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --targets "10 stiff of 2,000"     renews the runs on these targets
    python benchmarks/metrics.py --continue                        goes on where it was stopped

64 chains, 300 steps of warmup, 200 draws of each, seeds 0 to 4. The figure is gradients of the draws over the least
bulk ESS of all coordinates, by ArviZ: the median of the seeds, with the least and the largest. Beside it stands the
same with all gradients of the run, warmup and starts included, and the seconds of a run. A ratio is the figure of
today's default over that of the row: above one, the row is cheaper.

    default        HMC(): the covariance, dense to 500 dimensions where the chains determine it, else diagonal
    variances      HMC(inverse_mass_matrix="diagonal")
    diagonal, low-rank, dense      HMC(metric=...); dense only to 500 dimensions

    10 stiff of 2,000     a Gaussian, N(0, I) but for ten directions at random with variance 1/100
    10 wide of 2,000      the same with variance 100
    isotropic, scales     Gaussians of 100 dimensions without correlation, the latter with variances from 1 to e^8
    Student               100 independent Student-t coordinates with 5 degrees of freedom: nothing to find
    autoregression        a Gaussian chain of 100 with correlation .95
    the others            posteriors of posteriordb; their data lie beside the project, or in the folder UNNORM_DATA
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from itertools import groupby, product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from _machine import Row, parser, recorded, write
from _timing import timed
from torch import Tensor

import samplers
import targets
from samplers.draws.records import import_arviz

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
import posteriordb

METRICS: dict[str, dict[str, Any]] = {
    "default": {},
    "variances": {"inverse_mass_matrix": "diagonal"},
    "diagonal": {"metric": "diagonal"},
    "low-rank": {"metric": "low-rank"},
    "dense": {"metric": "dense"},
}
NAME = "metrics"
PLAN = {"chains": 64, "draws": 200, "warmup": 300}
SEEDS = 5
MOST_DENSE = 500
F64 = torch.float64


def off_in_some(variance: float, dim: int = 2000, count: int = 10) -> targets.Target:
    """N(0, I) but for directions at random, without a matrix of dim x dim."""
    noise = torch.randn(dim, count, generator=torch.Generator().manual_seed(0), dtype=F64)
    along = torch.linalg.qr(noise)[0]

    def log_prob_and_score(x: Tensor) -> tuple[Tensor, Tensor]:
        within = x @ along
        score = -x - (within * (1 / variance - 1)) @ along.mT
        return 0.5 * (x * score).sum(-1), score

    return targets.LogDensity(
        lambda x: log_prob_and_score(x)[0], dim, score=lambda x: log_prob_and_score(x)[1], dtype=F64
    )


def gaussian(variances: Tensor) -> targets.Target:
    return targets.Gaussian(torch.zeros(len(variances), dtype=F64), variances.sqrt())


def student(dim: int = 100, dof: float = 5.0) -> targets.Target:
    def log_prob(x: Tensor) -> Tensor:
        return -0.5 * (dof + 1) * torch.log1p(x.square() / dof).sum(-1)

    return targets.LogDensity(log_prob, dim, dtype=F64)


def autoregression(dim: int = 100, correlation: float = 0.95) -> targets.Target:
    lag = (torch.arange(dim)[:, None] - torch.arange(dim)).abs().to(F64)
    return targets.Gaussian(torch.zeros(dim, dtype=F64), covariance=correlation**lag)


TARGETS: dict[str, Callable[[], targets.Target]] = {
    "10 stiff of 2,000": partial(off_in_some, 1e-2),
    "10 wide of 2,000": partial(off_in_some, 1e2),
    "isotropic": lambda: gaussian(torch.ones(100, dtype=F64)),
    "scales": lambda: gaussian(torch.linspace(0, 8, 100, dtype=F64).exp()),
    "Student": student,
    "autoregression": autoregression,
    **({name: build for name, (build, _) in posteriordb.MODELS.items()} if posteriordb.DATA.exists() else {}),
}


def run(target: targets.Target, options: dict[str, Any], seed: int, plan: dict[str, int]) -> dict[str, Any]:
    """One run: its gradients an effective draw, without and with warmup, seconds, and the kernel."""
    draws, seconds = timed(
        lambda: samplers.HMC(**options).sample(target, seed=seed, progress=False, **plan)  # type: ignore[arg-type]
    )
    arviz = import_arviz()
    ess = float(arviz.ess(arviz.convert_to_dataset({"x": draws.x.numpy()}), method="bulk")["x"].min())
    matrix = draws.kernel.inverse_mass_matrix  # type: ignore[attr-defined]
    return {
        "dim": target.dim,
        "sampling": float(draws.stats["n_steps"].sum()) / ess,
        "all": draws.cost.score / ess,
        "seconds": seconds,
        "rank": getattr(matrix, "rank", None),
        "divergences": int(draws.divergences.sum()),
    }


def row(name: str, metric: str, runs: list[Row]) -> Row:
    """The runs of one metric on one target."""
    cost = [one["sampling"] for one in runs]
    return {
        "target": name,
        "dim": runs[0]["dim"],
        "metric": metric,
        "seeds": len(runs),
        "gradients an effective draw": median(cost),
        "least": min(cost),
        "most": max(cost),
        "with warmup": median(one["all"] for one in runs),
        "seconds": median(one["seconds"] for one in runs),
        "rank": None if runs[0]["rank"] is None else median(one["rank"] for one in runs),
        "divergences": sum(one["divergences"] for one in runs),
    }


def ratios(rows: list[Row]) -> list[Row]:
    """The default's figure over each metric's, a row for each target."""
    found: dict[str, dict[str, float]] = {}
    for one in rows:
        found.setdefault(one["target"], {})[one["metric"]] = one["gradients an effective draw"]
    return [
        {"target": name, **{key: of["default"] / of[key] if {"default", key} <= of.keys() else None for key in METRICS}}
        for name, of in found.items()
    ]


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--targets", nargs="*", choices=list(TARGETS), default=list(TARGETS), metavar="TARGET")
    command.add_argument("--metrics", nargs="*", choices=list(METRICS), default=list(METRICS))
    command.add_argument("--continue", action="store_true", dest="goes_on", help="leave runs as they are recorded")
    arguments = command.parse_args()
    warnings.simplefilter("ignore")
    plan, seeds = ({"chains": 8, "draws": 20, "warmup": 40}, 1) if arguments.quick else (PLAN, SEEDS)
    built = {name: TARGETS[name]() for name in arguments.targets}
    for seed in range(seeds):
        for name, target in built.items():
            for metric in arguments.metrics:
                if metric == "dense" and target.dim > MOST_DENSE:
                    continue
                key = {"target": name, "metric": metric, "seed": seed}
                if not (
                    arguments.goes_on and any(key.items() <= one.items() for one in recorded(NAME).get("Each", []))
                ):
                    found = key | run(target, METRICS[metric], seed, plan)
                    add(found, {**plan, "dtype": "float64"}, quick=arguments.quick)


def add(new: Row, settings: dict[str, Any], *, quick: bool) -> None:
    """Put a run into the tables, in place of the one that it renews."""
    before = recorded(f"{NAME}-quick" if quick else NAME).get("Each", [])
    of = {(one["target"], one["metric"], one["seed"]): one for one in [*before, new]}
    each = [of[key] for key in product(TARGETS, METRICS, range(SEEDS)) if key in of]
    rows = [row(*key, list(runs)) for key, runs in groupby(each, key=lambda one: (one["target"], one["metric"]))]
    write(
        NAME,
        "Inverse mass matrices of HMC, by draws and by draws and scores",
        {"The default's gradients an effective draw over those of each": ratios(rows), "Runs": rows},
        settings=settings,
        notes=("seconds are for orientation where other work ran on the machine; seeds says how many runs a row has",),
        quick=quick,
        numbers={"Each": each},
    )


if __name__ == "__main__":
    main()
