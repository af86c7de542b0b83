"""Whether any grid lets few steps reach many of Euler's: the error of the best grid that a search finds.

The exact W2 of `solvers.md` on the line on VP, the worst of four mixtures, is minimised by Nelder and Mead over all
steps of log sigma, from the arctan grid on, begun anew twice. What is found is fitted to these four mixtures and to
nothing else: a bound of what a grid could do, not a grid to use.

    python benchmarks/best_grids.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from _machine import Row, parser, write
from scipy.optimize import minimize
from torch import Tensor

from samplers.generative import solvers
from samplers.processes import grids

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # after targets, as it holds a folder of this name


import few_steps_cases as line

PROCESS, VP = next(iter(line.PROCESSES.items()))
EVALUATIONS, SEARCHES, TRIES = 20, 3, 1200
SOLVERS: dict[str, tuple[type[solvers.GridSolver], int, dict[str, float]]] = {  # evaluations a step, of the arctan grid
    "DPM-Solver 2": (solvers.DPMSolver2, 2, {}),
    "EDM": (solvers.EDM, 2, {"centre": 2.0}),
    "DPM-Solver 3": (solvers.DPMSolver3, 3, {"power": 0.5}),
}


def main() -> None:
    quick = parser(__doc__).parse_args().quick
    torch.set_num_threads(1)
    rows = [found(name, 20 if quick else TRIES) for name in SOLVERS]
    rows.append(dict.fromkeys(rows[0]) | {"solver": "Euler, 200", "own grid": worst(solvers.Euler(200))})
    write(
        Path(__file__).stem,
        "The best grid for twenty evaluations",
        {f"W2 on the line on {PROCESS}, of four mixtures the worst": rows},
        settings={"evaluations": EVALUATIONS, "searches": SEARCHES, "tries of each": TRIES},
        quick=quick,
    )


def found(name: str, tries: int) -> Row:
    kind, each, options = SOLVERS[name]
    steps = (EVALUATIONS - 1) // each + 1
    start = grids.arctan(VP, steps, 1e-3 * VP.horizon, **options)
    levels = -0.5 * VP.log_snr(start[1:])
    point = np.concatenate([levels[:1].numpy(), levels.diff().log().numpy()])
    last = float(levels[-1])

    def error(at: np.ndarray) -> float:
        return worst(kind(steps, grid=grid_of(at, last)))

    best = error(point)
    for _ in range(SEARCHES):
        simplex = point + np.vstack([np.zeros(len(point)), 0.3 * np.eye(len(point))])
        search = minimize(error, point, method="Nelder-Mead", options={"maxfev": tries, "initial_simplex": simplex})
        if search.fun < best:
            best, point = float(search.fun), search.x
    own, arctan = worst(kind(steps)), worst(kind(steps, grid=start))
    return {"solver": name, "own grid": own, "arctan": arctan, "best that was found": best}


def grid_of(point: np.ndarray, last: float) -> Tensor:
    """The times of log sigma from its first to its last, in steps of these shares."""
    shares = np.exp(point[1:])
    levels = point[0] + (last - point[0]) * np.concatenate([[0.0], shares.cumsum() / shares.sum()])
    within = VP.time_of(torch.from_numpy(-2 * levels[:-1]))
    return torch.cat([torch.zeros(1), within, torch.tensor([VP.horizon])]).double()


def worst(solver: solvers.Solver) -> float:
    return max(line.exact_w2(solver, VP, mixture) for mixture in line.MIXTURES)


if __name__ == "__main__":
    main()
