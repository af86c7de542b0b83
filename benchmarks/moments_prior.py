"""Learned samplers that start from the closest Gaussian in KL, prior="moments", beside the pilot's and the default.

The targets state their moments, so that no pilot is needed for it: an ill-conditioned Gaussian, relaxed spins, and a
mixture. Each sampler trains for as many iterations from the same seed. "iterations to 0.5": of training until the mean
log weight of a batch, from then on, is within 0.5 of log Z, which is known. "evaluations": of pilot and training, per
point, log-densities and scores together.

    python benchmarks/moments_prior.py
    python benchmarks/moments_prior.py --method CMCD     # one sampler, beside the rows that there are of the other
"""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import torch
from _machine import Row, parser, recorded, write

import targets
from samplers import CMCD, DDS, SamplingWarning
from samplers.diffusion import Training

HEADING = "After training"
PRIORS: tuple[Any, ...] = ("moments", "gaussian", None)
ITERATIONS, NEAR, STEPS, BATCH = 40, 0.5, 8, 64


def ill_conditioned(dim: int = 16, condition: float = 1e4) -> targets.Gaussian:
    """With axes of its own in random directions, and its mean away from 0."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))[0]
    variances = torch.logspace(0, math.log10(condition), dim, dtype=torch.float64)
    return targets.Gaussian(torch.full((dim,), 2.0), covariance=(axes * variances) @ axes.mT, name="condition 10,000")


TARGETS: dict[str, Any] = {
    "Gaussian, 16 dimensions, condition 10,000": ill_conditioned,
    "relaxed Ising, 4 x 4, K = 0.3": lambda: targets.Ising((4, 4), 0.3).relaxed(coordinates="w"),
    "gmm9": lambda: targets.benchmark("gmm9"),
}
METHODS = {"CMCD": CMCD, "DDS": DDS}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--method", choices=list(METHODS), help="this sampler alone")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", SamplingWarning)
    methods = [options.method] if options.method else list(METHODS)
    kept = [row for row in recorded("moments_prior").get(HEADING, []) if row["method"] not in methods]
    rows = [
        _run(method, name, prior, 5 if options.quick else ITERATIONS)
        for method in methods
        for name in (list(TARGETS)[:1] if options.quick else TARGETS)
        for prior in PRIORS
    ]
    rows = sorted([*kept, *rows], key=lambda row: list(METHODS).index(row["method"]))
    write(
        "moments_prior",
        "Learned samplers from the Gaussian of the target's moments",
        {HEADING: rows},
        settings={"iterations": ITERATIONS, "steps": STEPS, "batch": BATCH, "torch threads": 1},
        notes=[
            "One seed. log Z less ELBO is KL(q | p) of the paths; ESS is a share of 2,000 of them.",
            "The default is a mixture refined by the pilot where it comes near the target, else its Gaussian.",
            "Where a target does not state its moments, moments is the Gaussian of the pilot's particles as gaussian "
            "is, but for heavy tails and for particles without correlations.",
        ],
        quick=options.quick,
    )


def _run(method: str, name: str, prior: Any, iterations: int) -> Row:
    target, began = TARGETS[name](), time.perf_counter()
    made = METHODS[method](steps=STEPS, prior=prior, training=Training(batch=BATCH))
    fitted = made.fit(target, seed=0, iterations=iterations, progress=False)
    after, before = fitted.evaluation, fitted.untrained
    assert after is not None
    assert before is not None
    history = zip(fitted.history["iteration"], fitted.history["elbo"], strict=True)
    row: Row = {
        "target": name,
        "method": method,
        "prior": prior or "default",
        "log Z - ELBO, untrained": round(target.log_z - before.elbo, 3),
        "log Z - ELBO": round(target.log_z - after.elbo, 3),
        "ESS, untrained": round(before.ess, 3),
        "ESS": round(after.ess, 3),
        f"iterations to {NEAR}": _needed(list(history), target.log_z),
        "evaluations": fitted.cost.log_prob + fitted.cost.score,
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(row, flush=True)
    return row


def _needed(history: list[tuple[float, float]], log_z: float) -> float | None:
    """The first iteration from which on the bound stays near; None where it does not."""
    first = None
    for iteration, elbo in history:
        if elbo < log_z - NEAR or math.isnan(elbo):
            first = None
        elif first is None:
            first = iteration
    return first


if __name__ == "__main__":
    main()
