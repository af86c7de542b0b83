"""Seconds of the log-density of 1,000 points by the probability flow: exact trace and Hutchinson, against d.

The score is a small residual network of random weights beside that of N(0, I), in float32; VP, rtol = atol = 1e-5.
An exact trace takes a derivative for each dimension at every evaluation, Hutchinson's one for each of 4 probes. The
error of Hutchinson's is the root mean square of its difference from the exact one, beside what its own standard errors
say. An evaluation is of all points. Seconds are of one core.

Whether standard errors are honest is asked at 10 points, 200 times each with 16 probes. z of the mean: of the error of
a point's 200 repeats, by their scatter, N(0, 1) for an unbiased estimate. z of the size: of the mean of error^2 less
standard error^2, likewise; it is 0 on average where these are right. Of both the largest of 10 in size, which is above
3.3 once in 100. Within 2: the share of errors below 2 standard errors, beside that of Student's t, which normal errors
would have.

    python benchmarks/likelihood.py
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from _machine import Row, parser, write
from scipy import stats
from torch import Tensor, nn

from samplers.generative import Score, noise_law, probability_flow
from samplers.processes.linear import VP

POINTS, PROBES, WIDTH, TOLERANCE = 1000, 4, 64, 1e-5
DIMS = (2, 4, 8, 16, 32)
JUDGED, REPEATS, MANY = 10, 200, 16  # points, estimates of each, probes of an estimate


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


def honesty(dim: int, repeats: int) -> Row:
    generator = torch.Generator().manual_seed(1)
    process = VP()
    flow = probability_flow(score_of(dim), process, noise_law(process, dim), rtol=TOLERANCE, atol=TOLERANCE)
    x = torch.randn(JUDGED, dim, generator=generator)
    exact = flow.log_prob(x)
    found = flow.estimate_log_prob(x.repeat_interleave(repeats, 0), probes=MANY, generator=generator)
    error = found.value.reshape(JUDGED, repeats) - exact[:, None]
    standard = found.standard_error.reshape(JUDGED, repeats)
    return {
        "d": dim,
        "largest z of the mean": _largest_z(error),
        "largest z of the size": _largest_z(error.square() - standard.square()),
        "error over standard error": float((error.square().mean() / standard.square().mean()).sqrt()),
        "within 2": float((error.abs() < 2 * standard).double().mean()),
        "by Student's t": 1 - 2 * float(stats.t.sf(2, MANY - 1)),
    }


def _largest_z(values: Tensor) -> float:
    """Of the mean over repeats, of the points."""
    z = values.mean(1) / values.std(1) * math.sqrt(values.shape[1])
    return float(z[z.abs().argmax()])


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
    tables = {
        "Log-density of all points": [row(dim, points) for dim in dims],
        "Standard errors of Hutchinson's": [honesty(dim, 20 if arguments.quick else REPEATS) for dim in dims],
    }
    title, quick = "Log-density by the probability flow", arguments.quick
    notes = [
        "Seconds of one core.",
        f"Among all {len(dims) * JUDGED} points one z or more of the mean is above 3.3 once in 20. In two dimensions a "
        "probe has one of two values, so that errors are not normal.",
    ]
    write("likelihood", title, tables, settings=settings, notes=notes, quick=quick)


if __name__ == "__main__":
    main()
