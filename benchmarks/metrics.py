"""Inverse mass matrices: by the covariance of the draws, and by draws and scores (`metric=`), on one kernel.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --targets "10 stiff of 2,000"     renews the rows of these targets

64 chains, 500 steps of warmup, 300 draws of each, seeds 0 to 4. The figure is gradients of the draws over the least bulk
ESS of all coordinates, by ArviZ, the median of the seeds with the least and the largest; beside it the same with all
gradients of the run, warmup and starts included, and seconds of the run. A ratio is that of the figure of today's
default to that of the row: above one, the row is cheaper.

    default        HMC(): the covariance, dense to 500 dimensions where the chains determine it, else diagonal
    variances      HMC(inverse_mass_matrix="diagonal")
    diagonal, low-rank, dense      HMC(metric=...); dense only to 500 dimensions

    10 stiff of 2,000     a Gaussian, N(0, I) but for ten directions at random with variance 1/1000
    10 wide of 2,000      the same with variance 1000
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
PLAN = {"chains": 64, "draws": 300, "warmup": 500}
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
    "10 stiff of 2,000": partial(off_in_some, 1e-3),
    "10 wide of 2,000": partial(off_in_some, 1e3),
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
        "sampling": float(draws.stats["n_steps"].sum()) / ess,
        "all": draws.cost.score / ess,
        "seconds": seconds,
        "rank": getattr(matrix, "rank", None),
        "divergences": int(draws.divergences.sum()),
    }


def row(name: str, metric: str, target: targets.Target, seeds: int, plan: dict[str, int]) -> Row:
    runs = [run(target, METRICS[metric], seed, plan) for seed in range(seeds)]
    cost = [one["sampling"] for one in runs]
    return {
        "target": name,
        "dim": target.dim,
        "metric": metric,
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
        {"target": name, **{metric: of["default"] / of[metric] if metric in of else None for metric in METRICS}}
        for name, of in found.items()
    ]


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--targets", nargs="*", choices=list(TARGETS), default=list(TARGETS), metavar="TARGET")
    command.add_argument("--metrics", nargs="*", choices=list(METRICS), default=list(METRICS))
    arguments = command.parse_args()
    warnings.simplefilter("ignore")
    plan, seeds = ({"chains": 8, "draws": 20, "warmup": 40}, 1) if arguments.quick else (PLAN, SEEDS)
    kept = {(one["target"], one["metric"]): one for one in ([] if arguments.quick else recorded("metrics").get("Runs", []))}
    for name in arguments.targets:
        target = TARGETS[name]()
        for metric in arguments.metrics:
            if metric == "dense" and target.dim > MOST_DENSE:
                continue
            kept[name, metric] = row(name, metric, target, seeds, plan)
            print(kept[name, metric], flush=True)
        rows = [kept[key] for key in ((a, b) for a in TARGETS for b in METRICS) if key in kept]
        write(
            "metrics",
            "Inverse mass matrices of HMC, by draws and by draws and scores",
            {"The default's gradients an effective draw over those of each": ratios(rows), "Runs": rows},
            settings={**plan, "seeds": seeds, "dtype": "float64"},
            notes=("seconds are for orientation: other work ran on the machine",),
            quick=arguments.quick,
        )


if __name__ == "__main__":
    main()
