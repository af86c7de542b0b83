"""What diffusion models learned from samples cost beside their network alone: sampling, and an iteration of training.

Sampling: 10,000 draws in 20 evaluations (`DPMSolver2M(steps=20)`) beside as many forward passes of the model's network
on as many rows, in parts of the same size. "network" is the model's, with its Gaussian part; "bare" only its layers
(`DenoisingNetwork.residual`), without a process or a Gaussian.

Training: an iteration of `ScoreDiffusion` as it comes, 512 rows, beside a forward and backward pass of the bare network
on as many rows and the optimiser's step.

Seconds are those that the process computed, on one core; what is compared takes turns, and ratios are medians over the
rounds of ratios within a round.

    python benchmarks/generative_cost.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from _machine import Row, parser, write
from torch import Generator, Tensor

from samplers import ScoreDiffusion
from samplers.generative import FittedDiffusion, Training
from samplers.generative.reverse_sampler import CHUNK
from samplers.generative.solvers import DPMSolver2M
from samplers.learning.descent import Descent, Group

DRAWS, EVALUATIONS, DIMS, ROUNDS = 10_000, 20, (2, 16, 64), 7
ITERATIONS = 20  # of training, in a round


def fitted(dim: int) -> FittedDiffusion:
    """The network as it comes, hardly trained, which its cost does not depend on."""
    samples = torch.randn(10 * dim + 1000, dim, generator=Generator().manual_seed(dim))
    return ScoreDiffusion(training=Training(validation=0)).fit(samples, iterations=2, progress=False)


def turns(runs: list[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Seconds of each that the process computed, by round; the first round is not counted."""
    found = []
    for _ in range(rounds + 1):
        seconds = []
        for run in runs:
            began = time.process_time()
            run()
            seconds.append(time.process_time() - began)
        found.append(seconds)
    return found[1:]


def compared(found: list[list[float]], names: tuple[str, ...], per: int, unit: str) -> Row:
    """Medians of each column, and of the first over each other."""
    scale = (1000 if unit == "ms" else 1) / per
    columns = list(zip(*found, strict=True))
    row: Row = {
        f"{name}, {unit}": scale * statistics.median(column) for name, column in zip(names, columns, strict=True)
    }
    for k, name in enumerate(names[1:], 1):
        ratios = [seconds[0] / seconds[k] for seconds in found]
        row[f"over {name}"] = round(statistics.median(ratios), 2)
        row[f"range over {name}"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return row


def sampling(dim: int, draws: int, rounds: int) -> Row:
    model, solver = fitted(dim), DPMSolver2M(steps=EVALUATIONS)
    network: Any = model.model.network
    x, t = torch.randn(draws, dim, generator=Generator().manual_seed(0)), torch.rand(draws)
    size = max(256, CHUNK // dim)

    def passes(run: Callable[[Tensor, Tensor], Tensor]) -> None:
        with torch.no_grad():
            for rows, times in zip(x.split(size), t.split(size), strict=True):
                for _ in range(EVALUATIONS):
                    run(rows, times)

    runs = [
        lambda: model.sample(draws=draws, solver=solver),
        lambda: passes(network),
        lambda: passes(lambda rows, times: network.body.residual(rows, 0.1 + times)),
    ]
    return {"d": dim} | compared(turns(runs, rounds), ("sampling", "network", "bare network"), 1, "s")


def training(dim: int, rounds: int) -> Row:
    settings = ScoreDiffusion()
    model = fitted(dim).model.requires_grad_(True)
    network: Any = model.network
    data = torch.randn(50_000, dim, generator=Generator().manual_seed(0))
    generator = Generator().manual_seed(1)
    descent = Descent([Group(list(model.parameters()))], 1e-6, average=0.999, betas=(0.9, 0.99))
    batch = settings.training.batch

    def rows() -> Tensor:
        return data[torch.randint(len(data), (batch,), generator=generator)]

    def iteration() -> None:
        descent.clear()
        loss = settings.loss(model, rows(), generator).mean()
        loss.backward()
        descent.step(float(loss.detach()))

    def bare() -> None:
        descent.clear()
        x = rows()
        loss = network.body.residual(x, 0.1 + x[:, 0].abs()).square().sum(-1).mean()
        loss.backward()
        descent.step(float(loss.detach()))

    runs = [lambda: [iteration() for _ in range(ITERATIONS)], lambda: [bare() for _ in range(ITERATIONS)]]
    return {"d": dim} | compared(turns(runs, rounds), ("iteration", "bare iteration"), ITERATIONS, "ms")


def main() -> None:
    quick = parser(__doc__).parse_args().quick
    torch.set_num_threads(1)
    draws, dims, rounds = (300, DIMS[:2], 1) if quick else (DRAWS, DIMS, ROUNDS)
    tables = {
        "Sampling": [sampling(dim, draws, rounds) for dim in dims],
        "An iteration of training": [training(dim, rounds) for dim in dims],
    }
    settings = {"draws": draws, "evaluations": EVALUATIONS, "network": "3 x 128", "dtype": "float32", "rounds": rounds}
    notes = [
        "Seconds of one core, medians; ratios are medians over rounds.",
        "Bare iteration: the same rows, optimiser and average of the parameters, a forward and backward pass of the "
        "layers alone; no noise, times, process or loss of the score.",
    ]
    title = "Cost of diffusion models beside their network"
    write("generative_cost", title, tables, settings=settings | {"torch threads": 1}, notes=notes, quick=quick)


if __name__ == "__main__":
    main()
