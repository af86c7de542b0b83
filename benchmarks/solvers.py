"""Reverse solvers with the exact score of a mixture: the order that is measured, and the error that evaluations buy.

The order is that of the errors before the last step, on an uneven grid whose steps are halved: of states, for solvers
that draw nothing, and of mean and covariance, for the others, on a Gaussian, where both are known without sampling.
Errors at 10, 20, 50 and 200 evaluations are of draws of the mixture, each solver on its own grid: sliced W2 to exact
draws, whose floor is that of two sets of exact draws. On the line W2 is exact, by quantiles, for four other mixtures.

    python benchmarks/solvers.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from _machine import Row, parser, write
from torch import Tensor

from samplers.diagnostics import sliced_wasserstein
from samplers.generative import solvers
from samplers.processes import grids
from samplers.processes.base import Process
from samplers.processes.linear import VP

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # after targets, as it holds a folder of this name


import few_steps_cases as line
import pytest
from solver_cases import (
    COVARIANCES,
    MEANS,
    MIXTURE,
    PROCESSES,
    SOLVERS,
    WEIGHTS,
    covariance_of,
    error,
    log2,
    mixture_score,
    seeded,
)

DRAWS, EXACT, EVALUATIONS = 1000, 3, (10, 20, 50, 200)
ON = {"VP, beta to 20": VP(), "VE, sigma to 10": PROCESSES["VE"]}
SAMPLES = MIXTURE.sample(1000, generator=seeded(6))
MAKE = SOLVERS | {
    "Analytic-DPM": partial(solvers.AnalyticDPM, samples=SAMPLES),
    "Analytic-DPM, diagonal": partial(solvers.DiagonalAnalyticDPM, samples=SAMPLES),
}
SPACED: dict[str, tuple[Callable[..., solvers.Solver], dict[str, float]]] = {  # on the arctan grid
    "DPM-Solver 2, arctan": (solvers.DPMSolver2, {}),
    "DPM-Solver 3, arctan": (solvers.DPMSolver3, {"power": 0.5}),
    "DPM-Solver++ 2M, arctan": (solvers.DPMSolver2M, {}),
    "EDM, arctan": (solvers.EDM, {"centre": 2.0}),
}
DEVIATION = float(MIXTURE.covariance.diagonal().mean().sqrt())
TWINS = ("torchsde, milstein", "torchsde, euler", "DDIM, eta 1", "DPM-Solver 1")  # the same as others in the table


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    names = ["Euler", "DPM-Solver 2"] if options.quick else [name for name in SOLVERS if name not in TWINS]
    draws = 100 if options.quick else DRAWS
    generator = seeded(5)
    exact = [MIXTURE.sample(draws, generator=generator) for _ in range(2 * EXACT)]
    floor = [sliced_wasserstein(exact[k], exact[k + EXACT]) for k in range(EXACT)]
    tables: dict[str, list[Row]] = {"Orders": [_order(name) for name in names]}
    for heading, process in list(ON.items())[: 1 if options.quick else None]:
        score = _score(process)
        x = process.diffuse(MIXTURE.sample(draws, generator=generator), 0.0, process.horizon, generator)
        rows = [_errors(name, process, score, x, exact[:EXACT]) for name in [*names, *SPACED]]
        tables[f"Sliced W2 on {heading}"] = [*rows, _adaptive(process, score, x, exact[:EXACT])]
    tables["W2 on the line, of four mixtures the worst"] = [_on_the_line(name) for name in ["Euler", *_PAIRED]]
    write(
        "solvers",
        "Reverse solvers with the exact score of a mixture",
        tables,
        settings={"draws": draws, "dimensions": 2, "sets of exact draws": EXACT, "torch threads": 1},
        notes=[
            f"Two sets of exact draws are {sum(floor) / EXACT:.3f} apart, from {min(floor):.3f} to {max(floor):.3f}.",
            "The mixture has two components of unlike covariances, weights .3 and .7, 3.4 apart; VE has noise of "
            "covariance ((1, .3), (.3, .5)).",
            f"The arctan grid has its centre at the deviation of the mixture, {DEVIATION:.3g}, and at 1 on the line, "
            "where mixtures have unit variance; twice as far for EDM. DPM-Solver 3 has power = 1/2.",
            "Columns are the evaluations allowed: a solver takes the most steps that they pay for. A cell without a "
            "figure is one of too few steps.",
        ],
        quick=options.quick,
    )


def _score(process: Process) -> Callable[[Tensor, float], Tensor]:
    """The score of the noised mixture, without what a denoiser finds anew at each time; the same to rounding."""

    def score(x: Tensor, t: float) -> Tensor:
        scale, variance = process.transition(0.0, t)
        covariances = scale**2 * COVARIANCES + variance * covariance_of(process)
        pulls = torch.einsum("kij,nkj->nki", torch.linalg.inv(covariances), x[:, None] - scale * MEANS)
        squares = ((x[:, None] - scale * MEANS) * pulls).sum(-1)
        logits = WEIGHTS.log() - 0.5 * torch.linalg.slogdet(covariances).logabsdet - 0.5 * squares
        return -(logits.softmax(-1)[..., None] * pulls).sum(1)

    x = MIXTURE.sample(100, generator=seeded(0))
    torch.testing.assert_close(score(x, 0.5), mixture_score(process)(x, 0.5))
    return score


def _order(name: str) -> Row:
    """On VP from 16 steps to 32, as in the tests."""
    with pytest.MonkeyPatch.context() as patch:
        (solver, before), (_, after) = (error(SOLVERS[name], "VP", patch, steps=n, least=0.1) for n in (16, 32))
    row: Row = {"solver": name, "draws noise": "no" if solver.deterministic else "yes", "last step": solver.last}
    return row | {"declared": solver.order, "measured": round(log2(before / after), 2), "error": after}


def _errors(name: str, process: Process, score: Callable[..., Tensor], x: Tensor, exact: list[Tensor]) -> Row:
    row: Row = {"solver": name}
    for allowed in EVALUATIONS:
        solver = _paid_for(name, allowed, process, DEVIATION)
        row[str(allowed)] = None if solver is None else _distance(solver.solve(score, process, x, seeded(1)), exact)
    return row


def _paid_for(name: str, allowed: int, process: Process, deviation: float) -> solvers.Solver | None:
    """The solver of the most steps whose evaluations are at most those allowed."""
    for steps in range(allowed, 0, -1):
        try:
            solver = _spaced(name, steps, process, deviation) if name in SPACED else MAKE[name](steps=steps)
        except ValueError:  # too few for its order
            return None
        assert solver.evaluations is not None
        if solver.evaluations <= allowed:
            return solver
    return None


def _spaced(name: str, steps: int, process: Process, deviation: float) -> solvers.Solver:
    kind, options = SPACED[name]
    options = options | {"centre": options.get("centre", 1.0) * deviation}
    return kind(steps, grid=grids.arctan(process, steps, 1e-3 * process.horizon, **options))


_PAIRED = [each for name in SPACED for each in (name.removesuffix(", arctan"), name)]


def _on_the_line(name: str) -> Row:
    row: Row = {"solver": name}
    for heading, process in line.PROCESSES.items():
        for allowed in EVALUATIONS:
            solver = _paid_for(name, allowed, process, 1.0)
            assert solver is not None
            row[f"{heading}: {allowed}"] = round(max(line.exact_w2(solver, process, m) for m in line.MIXTURES), 4)
    return row


def _adaptive(process: Process, score: Callable[..., Tensor], x: Tensor, exact: list[Tensor]) -> Row:
    """Under the column of the evaluations that it comes next to."""
    calls = 0

    def counted(x: Tensor, t: float) -> Tensor:
        nonlocal calls
        calls += 1
        return score(x, t)

    began = time.perf_counter()
    distance = _distance(solvers.AdaptiveFlow(rtol=1e-3, atol=1e-3).solve(counted, process, x), exact)
    print(f"adaptive: {calls} evaluations, {time.perf_counter() - began:.1f} s", flush=True)
    row: Row = {"solver": f"adaptive, tolerance 1e-3: {calls} evaluations"}
    place = min(EVALUATIONS, key=lambda allowed: abs(allowed - calls))
    return row | {str(allowed): distance if allowed == place else None for allowed in EVALUATIONS}


def _distance(x: Tensor, exact: list[Tensor]) -> float:
    return round(sum(sliced_wasserstein(x, one) for one in exact) / len(exact), 4)


if __name__ == "__main__":
    main()
