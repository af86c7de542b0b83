"""log Z by SMC with its defaults beside the published figures, error against evaluations, and parallel tempering.

Each row is a target, drawn from with several seeds: the mean absolute error of log Z against the exact or long-run
value, its spread, the standard error that a run states of itself, the largest error of a mode weight, and the
evaluations of a run (scores, one a particle), the search for a base included. Nothing is set by hand.

The third table is how far parallel tempering, also with its defaults, is off in the weights of two far modes. Each
table is a result of its own: smc, smc-frontier, smc-tempering.

    python benchmarks/smc.py               all tables
    python benchmarks/smc.py --tables defaults --targets gmm9 sonar
    python benchmarks/smc.py --tables tempering
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean

import torch
from _machine import Row, parser, write

import samplers
import targets

PARTICLES = 2000
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# target: runs, particles, published
TABLE = {
    "gmm9": (10, 2000, "0.0027 (fab-jax)"),
    "gmm9-unequal": (5, 2000, ""),
    "gmm40-fab": (5, 2000, ""),
    "funnel10-std3": (10, 2000, "0.2 to 0.56 (SMC); 0.0022 (fab-jax)"),
    "many-well32-fab": (5, 2000, "15.0 (SMC, Sendera 2024); 0.032 (fab-jax)"),
    "two-modes-d8": (5, 2000, "weights: AIS and SMC collapse"),
    "two-modes-d32": (5, 2000, "weights: AIS and SMC collapse; RDSMC 0.09"),
    "two-modes-d64": (2, 2000, "weights: AIS and SMC collapse; RDSMC 0.08"),
    "two-modes-d128": (1, 2000, ""),
    "sonar": (5, 2000, "0.07 s.d. (SMC, 256 temperatures, CMCD)"),
    "ionosphere": (5, 2000, "0.17 s.d. (SMC, 256 temperatures, CMCD)"),
    "phi4-chain100-slips-b0": (1, 2000, ""),
    "phi4-chain100-slips-b05": (1, 2000, ""),
    "lgcp-finpines-40x40": (1, 200, "0.19 (fab-jax, 32 x 32)"),
}
TEMPERING = {"two-modes-d8": 3, "two-modes-d32": 3, "two-modes-d64": 2, "two-modes-d128": 1}  # runs
FRONTIER = ("gmm9", "funnel10-std3", "many-well32-fab", "sonar")
SETTINGS = {
    "AIS, defaults": lambda: (samplers.AIS(), PARTICLES),
    "SMC, 500 particles": lambda: (samplers.SMC(), 500),
    "SMC, 1 move": lambda: (samplers.SMC(moves=1), PARTICLES),
    "SMC, conditional ESS 0.8": lambda: (samplers.SMC(conditional_ess=0.8), PARTICLES),
    "SMC, waste-free 10": lambda: (samplers.SMC(waste_free=10), PARTICLES),
    "SMC, defaults": lambda: (samplers.SMC(), PARTICLES),
    "SMC, 12 moves": lambda: (samplers.SMC(moves=12), PARTICLES),
    "SMC, conditional ESS 0.99": lambda: (samplers.SMC(conditional_ess=0.99), PARTICLES),
    "SMC, 8000 particles": lambda: (samplers.SMC(), 8000),
}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    arguments.add_argument("--targets", nargs="*", help="of the tables to run; all of them where none are given")
    options = arguments.parse_args()
    if DATA.is_dir():
        os.environ.setdefault("UNNORM_DATA", str(DATA))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", samplers.SamplingWarning)
    for table in options.tables:
        title, heading, rows, notes = TABLES[table]
        name, found = "smc" if table == "defaults" else f"smc-{table}", []
        for measured in rows(options.targets, options.quick):
            found.append(measured)
            settings = {"torch threads": 1}
            write(name, title, {heading: found}, settings=settings, notes=notes, quick=options.quick)


def defaults(names: list[str] | None, quick: bool) -> Iterator[Row]:
    """SMC as it is, target by target."""
    for name in chosen(names, TABLE):
        runs, particles, published = TABLE[name]
        yield row(name, samplers.SMC(), particles, 2 if quick else runs) | {"published": published}


def frontier(names: list[str] | None, quick: bool) -> Iterator[Row]:
    """Settings that take more and fewer evaluations."""
    for name in chosen(names, FRONTIER)[: 1 if quick else None]:
        for label, make in SETTINGS.items():
            sampler, particles = make()
            found = row(name, sampler, particles, 2 if quick else 5)
            yield {"target": name, "settings": label, **{k: found[k] for k in list(found)[2:]}}


def tempering(names: list[str] | None, quick: bool) -> Iterator[Row]:
    """Parallel tempering as it is on two far modes of unequal weight."""
    for name in chosen(names, TEMPERING):
        yield tempered_row(name, 1 if quick else TEMPERING[name]) | {"published": TABLE[name][2]}


def chosen(names: list[str] | None, known: Iterable[str]) -> list[str]:
    """The targets of a table, or those of them that are asked for."""
    return [name for name in known if names is None or name in names]


NOTES = (
    "error of log Z: mean over the runs of |estimate - truth|; the truth is exact except for sonar, ionosphere and "
    "lgcp, where it is a long-run value known to 0.04, 0.02 and 0.1.",
    "evaluations: scores of the target a run, pilot included.",
    "own s.e.: the standard error that a run gives for itself, mean over the runs.",
)


TEMPERING_NOTES = (
    "64 chains of 1,000 draws, defaults otherwise; the search for base and temperatures is part of evaluations "
    "(scores) and seconds.",
    "mode weight off by: largest error of a mode's share of the draws, mean over the runs; its s.e.: of that share, "
    "from the spread over the chains, mean over the runs.",
    "round trips: of a replica from base to target and back, per 1,000 steps and chain.",
)


def row(name: str, sampler: samplers.SMC, particles: int, runs: int) -> Row:
    target = targets.benchmark(name)
    reference = targets.benchmarks()[name].reference_log_z
    truth = target.log_z if "log_z" in target.known else reference[0]
    errors, stated, weights, evaluations = [], [], [], 0.0
    began = time.perf_counter()
    for seed in range(runs):
        draws = sampler.sample(target, draws=particles, seed=seed, progress=False)
        errors.append(draws.log_z.value - truth)
        stated.append(draws.log_z.standard_error)
        evaluations += draws.cost.score / runs
        if "mode_weights" in target.known and len(target.mode_weights) > 1:
            shares = draws.log_weights[0].softmax(0)
            found = shares @ target.mode_probabilities(draws.x[0]).double()
            weights.append(float((found - target.mode_weights.double()).abs().max()))
    error = torch.tensor(errors)
    return {
        "target": name,
        "particles": particles,
        "runs": runs,
        "error of log Z": float(error.abs().mean()),
        "largest": float(error.abs().max()),
        "mean": float(error.mean()),
        "s.d.": float(error.std()) if runs > 1 else None,
        "own s.e.": sum(stated) / runs,
        "worst mode weight off by": sum(weights) / runs if weights else None,
        "evaluations": evaluations,
        "seconds": (time.perf_counter() - began) / runs,
    }


def tempered_row(name: str, runs: int) -> Row:
    target, chains = targets.benchmark(name), 64
    weights, errors, log_z, stated, temperatures, barrier, trips = ([] for _ in range(7))
    evaluations, began = 0.0, time.perf_counter()
    for seed in range(runs):
        draws = samplers.ParallelTempering().sample(target, chains=chains, draws=1000, seed=seed, progress=False)
        shares = torch.stack([target.mode_probabilities(x).double().mean(0) for x in draws.x])
        off = (shares.mean(0) - target.mode_weights.double()).abs()
        weights.append(float(off.max()))
        errors.append(float(shares[:, int(off.argmax())].std()) / math.sqrt(chains))
        log_z.append(abs(draws.log_z.value - target.log_z))
        stated.append(draws.log_z.standard_error)
        found = draws.attrs["tempering"]
        temperatures.append(len(found["betas"]))
        barrier.append(found["barrier"])
        trips.append(found["round_trips_per_1000_steps"])
        evaluations += draws.cost.score / runs
    return {
        "target": name,
        "runs": runs,
        "mode weight off by": fmean(weights),
        "its s.e.": fmean(errors),
        "largest": max(weights),
        "error of log Z": fmean(log_z),
        "own s.e.": fmean(stated),
        "temperatures": fmean(temperatures),
        "barrier": fmean(barrier),
        "round trips": fmean(trips),
        "evaluations": evaluations,
        "seconds": (time.perf_counter() - began) / runs,
    }


TABLES = {
    "defaults": ("log Z by SMC", "Defaults", defaults, NOTES),
    "frontier": ("log Z by SMC", "Error against evaluations", frontier, NOTES),
    "tempering": ("Mode weights by parallel tempering", "Defaults", tempering, TEMPERING_NOTES),
}

if __name__ == "__main__":
    main()
