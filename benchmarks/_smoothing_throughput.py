"""What a sequence of measurements costs: seconds against the number of measurements, the dimension, the chains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from _smoothing_metrics import light_share
from _smoothing_modes import LIGHT, Pair
from _smoothing_published import SEED, Found
from _smoothing_run import Options, measured

import samplers
import targets

DIM, CHAINS, M = 32, 4096, 400
COUNTS = (100, 200, 400)
DIMS = (8, 16, 32, 64)
NUMBERS = (1024, 2048, 4096)


def throughput(options: Options) -> Iterator[Found]:
    """The whole size, then one size after the other."""
    shrink = 16 if options.quick else 1
    once = cell(DIM, 64, 4, 4, options, "warm-up")  # the first run of a process pays for what it loads
    del once
    for steps in (8, 4):
        label = f"whole, {steps} steps"
        if options.wants(label):
            yield {"size": label} | cell(DIM, CHAINS // shrink, M // shrink, steps, options, label), []
    sweeps: dict[str, list[tuple[int, int, int, int]]] = {  # (size, dim, chains, m)
        "m": [(m, DIM, CHAINS // shrink, m // shrink) for m in COUNTS],
        "d": [(d, d, CHAINS // shrink, COUNTS[0] // shrink) for d in DIMS],
        "chains": [(n, DIM, n // shrink, COUNTS[0] // shrink) for n in NUMBERS],
    }
    for name, sizes in sweeps.items():
        if not options.wants(name):
            continue
        taken, rated = [], []
        for size, dim, n, m in sizes:
            label = f"{name} = {size}"
            row = cell(dim, n, m, 4, options, label)
            taken.append(row["seconds"])
            rated.append(row["scores a draw"])
            notes = []
            if len(taken) == len(sizes):
                notes = [
                    f"seconds grow like {name}^{slope([s[0] for s in sizes], taken):.2f}, scores a draw like "
                    f"{name}^{slope([s[0] for s in sizes], rated):.2f} (least squares of the logarithms)."
                ]
            yield {"size": label} | row, notes


def cell(dim: int, n: int, m: int, steps: int, options: Options, label: str) -> dict[str, Any]:
    means = torch.stack([torch.full((dim,), -3.0), torch.full((dim,), 3.0)])
    mixture = targets.GaussianMixture(means, scales=1.0, weights=[1 - LIGHT, LIGHT])
    pair = Pair(label, mixture)
    sampler = samplers.SequentialMultimeasurement(sigma=pair.sigma, m=m, steps=steps)
    found = measured(sampler, mixture, draws=n, init=pair.start, seed=SEED, limit=options.limit, label=label)
    if found.draws is None:
        return {"d": dim, "steps": steps} | found.cost | {"microseconds a score": None, "weight off by": None}
    micro = 1e6 * found.draws.cost.seconds / found.draws.cost.score
    off = light_share(found.draws.x[0]) - LIGHT
    return {"d": dim, "steps": steps} | found.cost | {"microseconds a score": micro, "weight off by": off}


def slope(x: list[int], y: list[float]) -> float:
    """Of the line through (log x, log y)."""
    a, b = ([math.log(value) for value in values] for values in (x, y))
    centre, height = sum(a) / len(a), sum(b) / len(b)
    above = sum((u - centre) * (v - height) for u, v in zip(a, b, strict=True))
    return above / sum((u - centre) ** 2 for u in a)


NOTES = (
    "two Gaussians of weights 0.8 and 0.2 at -3 and +3 in each coordinate, exact score, sigma^2 = 9 d - 1, HMC walks, "
    "first_steps = 8 steps, float32, one thread. The sweeps have 4 steps, those over d and chains m = 100.",
)
