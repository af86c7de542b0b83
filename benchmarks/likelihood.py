"""Seconds of the log-density of 1,000 points by the probability flow: exact trace and Hutchinson, against d.

The score is a small residual network of random weights beside that of N(0, I), in float32; VP, rtol = atol = 1e-5.
An exact trace takes a derivative for each dimension at every evaluation, Hutchinson's one for each of 4 probes. The
error of Hutchinson's is the root mean square of its difference from the exact one, beside what its own standard errors
say. An evaluation is of all points. Seconds are of one core:

    python benchmarks/likelihood.py
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from _machine import Row, parser, write
from torch import Tensor, nn

from samplers.generative import Score, noise_law, probability_flow
from samplers.processes.linear import VP

POINTS, PROBES, WIDTH, TOLERANCE = 1000, 4, 64, 1e-5
DIMS = (2, 4, 8, 16, 32)


class Counting:
    """A score that counts its evaluations."""

    def __init__(self, score: Score) -> None:
        self.score, self.calls = score, 0

    def __call__(self, x: Tensor, t: float) -> Tensor:
        self.calls += 1
        return self.score(x, t)


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the seconds that this process computed: what else the machine does is not counted."""
    began = time.process_time()
    result = run()
    return result, time.process_time() - began


def score_of(dim: int) -> Counting:
    torch.manual_seed(dim)
    first, middle = nn.Linear(dim + 1, WIDTH), nn.Linear(WIDTH, WIDTH)
    network = nn.Sequential(first, nn.SiLU(), middle, nn.SiLU(), nn.Linear(WIDTH, dim))
    network.requires_grad_(False)

    def score(x: Tensor, t: float) -> Tensor:
        return 3 * network(torch.cat([x, torch.full_like(x[:, :1], t)], -1)) - x

    return Counting(score)


def row(dim: int, points: int) -> Row:
    generator = torch.Generator().manual_seed(0)
    score, process = score_of(dim), VP()
    flow = probability_flow(score, process, noise_law(process, dim), rtol=TOLERANCE, atol=TOLERANCE)
    x = torch.randn(points, dim, generator=generator)
    exact, exact_seconds = timed(lambda: flow.log_prob(x))
    calls, score.calls = score.calls, 0
    found, seconds = timed(lambda: flow.estimate_log_prob(x, probes=PROBES, generator=generator))
    return {
        "d": dim,
        "exact s": exact_seconds,
        "evaluations": calls,
        "ms an evaluation": 1e3 * exact_seconds / calls,
        f"Hutchinson s, {PROBES} probes": seconds,
        "its evaluations": score.calls,
        "its error, nats": float((found.value - exact).square().mean().sqrt()),
        "by its standard errors": math.sqrt(float(found.standard_error.square().mean())),
    }


def main() -> None:
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    points, dims = (50, DIMS[:2]) if arguments.quick else (POINTS, DIMS)
    settings = {
        "points": points,
        "process": "VP",
        "rtol = atol": TOLERANCE,
        "network": f"2 x {WIDTH}",
        "dtype": "float32",
    }
    tables = {"Log-density of all points": [row(dim, points) for dim in dims]}
    title, quick = "Log-density by the probability flow", arguments.quick
    write("likelihood", title, tables, settings=settings, notes=["seconds of one core"], quick=quick)


if __name__ == "__main__":
    main()
