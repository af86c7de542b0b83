"""Noise of the shape of a random field beside isotropic noise: the steps that reverse solvers need for equal error.

Gaussian fields on the 8 x 8 torus, of precision m^2 + the Laplacian's eigenvalues and unit variance at each site, of
condition numbers 10, 100 and 1,000. Scores are exact, and the covariance that a solver makes of the exact law at the
horizon is found without sampling: in the field's eigenvectors every solver is linear, mode by mode. The error is sliced
W2 to the field, in units of the deviation of a site, over 4,000 directions; a number of steps counts as enough where
no larger one that was tried is worse than the limit.

Spins of the 3 x 3 torus by exact sums over all 512 configurations: the error is sliced W2 between what a solver makes
of exact draws, noised, and what 256 steps make of the same. Last a trained model of a relaxed Ising field.

    python benchmarks/field_noise.py
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from _machine import Row, parser, write
from torch import Generator, Tensor

import targets
from samplers import ScoreDiffusion
from samplers.denoisers.spins import Enumeration
from samplers.diagnostics import sliced_wasserstein
from samplers.draws import SamplingWarning
from samplers.generative import ScoreMLP, Training, as_score, solvers
from samplers.processes import grids
from samplers.processes.base import Process
from samplers.processes.linear import VP

F64 = torch.float64
SIDE, DIRECTIONS = 8, 4000
CONDITIONS, LIMITS = (10, 100, 1000), (0.03, 0.01)
STEPS = (3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96)
FEWER = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
SOLVERS: dict[str, Callable[..., solvers.GridSolver]] = {
    "Euler": solvers.Euler,
    "Heun": solvers.Heun,
    "EulerMaruyama": solvers.EulerMaruyama,
    "DDIM": solvers.DDIM,
    "DPMSolver2M": solvers.DPMSolver2M,
}
HIDDEN = 0.01  # of its variance, that the widest direction has left at the horizon where that is chosen for each noise
LEASTS = (1e-3, 4e-3, 1.6e-2, 6e-2)  # first times of the grids that are tried
POINTS, REFERENCE, SPIN_STEPS = 1000, 256, (4, 6, 8, 12, 16, 24, 32)


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", SamplingWarning)
    conditions = CONDITIONS[:1] if options.quick else CONDITIONS
    tables: dict[str, list[Row]] = {
        "Gaussian fields, one process and each solver's own grid": [
            row for condition in conditions for row in _own_grids(condition, options.quick)
        ],
        "Gaussian fields, horizon and grid chosen for each noise": [
            row for condition in conditions for row in _best_grids(condition, options.quick)
        ],
        "Spins, 3 x 3 torus, K = 0.3": _spins(options.quick),
        "Trained on a relaxed Ising field, 4 x 4, K = 0.3": _trained(options.quick),
    }
    write(
        "field_noise",
        "Noise of the shape of a random field",
        tables,
        settings={"process": "VP(beta_max=10)", "directions": DIRECTIONS, "torch threads": 1},
        notes=[
            f"Figures of the first two tables are steps; a cell without one needs more than {STEPS[-1]}, in the second "
            f"more than {FEWER[-1]}. Heun takes two evaluations a step but the last, the others one.",
            "field: noise of the covariance of the field. whitened: isotropic noise in whitened coordinates, the same "
            "law. another mass: noise of the field with 4 m^2 for m^2, scaled as standardise='common' does. VP with "
            "noise of the covariance of a Gaussian leaves that as it is: the flow of Euler and Heun stands still.",
            f"In the second table the noise at the horizon leaves {HIDDEN:.0%} of the variance of the widest "
            f"direction, in units of the noise, and the grid is the best of {2 * len(LEASTS)} at each number of steps: "
            "equal steps of log-SNR, and the arctan grid, from several first times.",
            "Spins: J + D is MRFNoise of the model's couplings, in which the noise has correlations opposite to those "
            "of the spins; D - J has correlations like theirs; closest is the covariance of the spins. Each is scaled "
            "as standardise='common' does.",
            "Trained: sliced W2 to exact draws, by DPMSolver2M of so many steps; the floor is that of two such sets.",
        ],
        quick=options.quick,
    )


# Gaussian fields


def spectrum(condition: float, mass: float = 1.0) -> Tensor:
    """Variances of the modes, whose mean is 1: 1 / (mass m^2 + 4 - 2 cos k - 2 cos l), for m^2 of the condition."""
    wave = (2 * math.pi / SIDE * torch.arange(SIDE, dtype=F64)).cos()
    precision = mass * 8 / (condition - 1) + 4 - 2 * wave[:, None] - 2 * wave
    return 1 / precision.flatten() / (1 / precision).mean()


def common(variances: Tensor, noise: Tensor) -> Tensor:
    """The noise, scaled so that the field has unit variance in its units, in the mean over directions."""
    return noise * (variances / noise).mean()


class Unit(targets.CorrelatedNoise):
    """Diagonal noise of which draw k is 0 but in row 1 + k: one for all modes, which do not mix."""

    def __init__(self, variances: Tensor) -> None:
        super().__init__(variances)
        self.draws = 0

    def sample_like(self, v: Tensor, generator: Generator) -> Tensor:
        white = torch.zeros_like(v)
        if 1 + self.draws < len(v):
            white[1 + self.draws] = 1.0
        self.draws += 1
        return self.colour(white)


def reached(solver: solvers.Solver, process: Process, variances: Tensor, noise: Tensor) -> Tensor:
    """The variances of the modes that a solver makes of the exact law at the horizon."""

    def score(x: Tensor, t: float) -> Tensor:
        scale, variance = (float(value) for value in process.transition(0.0, t))
        return -x / (scale**2 * variances + variance * noise)

    rows = 1
    for _ in range(1 if solver.deterministic else 2):  # draws are counted first
        unit = Unit(noise)
        x = torch.zeros(rows, len(variances), dtype=F64)
        x[0] = 1.0
        out = solver.solve(score, replace(process, noise=unit), x, Generator())
        rows = 1 + unit.draws
    scale, variance = (float(value) for value in process.transition(0.0, process.horizon))
    return out[0].square() * (scale**2 * variances + variance * noise) + out[1:].square().sum(0)


_WHITE = torch.randn(SIDE**2, DIRECTIONS, generator=Generator().manual_seed(0), dtype=F64)
_SQUARES = torch.nn.functional.normalize(_WHITE, dim=0).square()


def sliced(found: Tensor, variances: Tensor) -> float:
    """Sliced W2 of two centred Gaussians with the same axes."""
    return float(((found @ _SQUARES).sqrt() - (variances @ _SQUARES).sqrt()).square().mean().sqrt())


def enough(errors: dict[int, float], limit: float) -> int | None:
    """The least number of steps from which on no error is above the limit."""
    found = None
    for steps in sorted(errors, reverse=True):
        if errors[steps] > limit:
            break
        found = steps
    return found


def shapes(condition: float) -> dict[str, tuple[Tensor, Tensor]]:
    """Variances of field and noise in the coordinates in which the process runs."""
    field = spectrum(condition)
    flat = torch.ones_like(field)
    return {
        "isotropic": (field, flat),
        "field": (field, field),
        "another mass": (field, common(field, spectrum(condition, 4.0))),
        "whitened": (flat, flat),
    }


def _own_grids(condition: float, quick: bool) -> list[Row]:
    process, field, rows = VP(beta_max=10.0), spectrum(condition), []
    for name, make in SOLVERS.items():
        errors: dict[str, dict[int, float]] = {}
        for shape, (variances, noise) in shapes(condition).items():
            found = {n: reached(make(steps=n), process, variances, noise) for n in (STEPS[:4] if quick else STEPS)}
            errors[shape] = {n: sliced(value * field / variances, field) for n, value in found.items()}
        print(condition, name, {k: round(v[8], 4) for k, v in errors.items() if 8 in v}, flush=True)
        rows += [_row(condition, name, limit, errors) for limit in LIMITS]
    return rows


def _best_grids(condition: float, quick: bool) -> list[Row]:
    field, rows = spectrum(condition), []
    for name in ("Heun", "DDIM", "DPMSolver2M"):
        errors: dict[str, dict[int, float]] = {}
        for shape, (variances, noise) in shapes(condition).items():
            total = math.log1p(float((variances / noise).max()) / HIDDEN)  # int beta: a^2 = exp(-total)
            process = VP(beta_max=2 * total - 0.1)
            errors[shape] = {}
            for n in FEWER[:2] if quick else FEWER:
                tried = [make(process, n, least) for least in LEASTS for make in (grids.log_snr, grids.arctan)]
                found = [reached(SOLVERS[name](steps=n, grid=grid), process, variances, noise) for grid in tried]
                errors[shape][n] = min(sliced(value * field / variances, field) for value in found)
        rows += [_row(condition, name, limit, errors) for limit in LIMITS]
        print(rows[-2:], flush=True)
    return rows


def _row(condition: float, name: str, limit: float, errors: dict[str, dict[int, float]]) -> Row:
    row: Row = {"condition": condition, "solver": name, "sliced W2": limit}
    return row | {shape: enough(found, limit) for shape, found in errors.items()}


# Spins


def _spins(quick: bool) -> list[Row]:
    ising = targets.Ising((3, 3), 0.3, dtype=F64)
    couplings, generator = ising.couplings_matrix(), Generator().manual_seed(0)
    spins, covariance = ising.sample(POINTS, generator=generator), ising.covariance
    given: dict[str, targets.Noise] = {
        "isotropic": targets.IsotropicNoise(1.0),
        "J + D": targets.MRFNoise(ising),
        "D - J": targets.MRFNoise(targets.PairwiseMRF(-couplings)),
        "closest": targets.CorrelatedNoise(covariance),
    }
    rows: list[Row] = []
    made: dict[str, Any] = {}
    for shape, noise in given.items():
        scaled = noise.scaled(float(noise.solve(covariance).diagonal().mean()))
        process = VP(beta_max=10.0, noise=scaled)
        x = process.diffuse(spins, 0.0, process.horizon, Generator().manual_seed(1))
        score, began = as_score(Enumeration(), process, ising), time.perf_counter()
        most = 16 if quick else REFERENCE
        made[shape] = (process, x, score, solvers.DPMSolver2M(steps=most).solve(score, process, x))
        print(shape, f"{time.perf_counter() - began:.0f} s", flush=True)
    for name in ("Heun", "DDIM", "DPMSolver2M"):
        for steps in SPIN_STEPS[:1] if quick else SPIN_STEPS:
            row: Row = {"solver": name, "steps": steps}
            for shape, (process, x, score, reference) in made.items():
                found = SOLVERS[name](steps=steps).solve(score, process, x)
                row[shape] = round(sliced_wasserstein(found, reference), 4)
            rows.append(row)
    return rows


# Trained


def _trained(quick: bool) -> list[Row]:
    ising = targets.Ising((4, 4), 0.3)
    field = ising.relaxed(coordinates="w")
    x, exact, other = (field.sample(4000, generator=Generator().manual_seed(seed)) for seed in range(3))
    floor = sliced_wasserstein(exact, other)
    noises: dict[str, tuple[targets.Noise | None, Any]] = {
        "isotropic": (None, "scale"),
        "J + D": (targets.MRFNoise(ising), "common"),
        "D - J": (targets.MRFNoise(targets.PairwiseMRF(-ising.couplings_matrix())), "common"),
        "closest": (targets.CorrelatedNoise(field.covariance), "common"),
        "whitened": (None, "whiten"),
    }
    rows: list[Row] = []
    for shape, (noise, standardise) in noises.items():
        model = ScoreDiffusion(
            process=VP(beta_max=10.0, noise=noise),
            network=ScoreMLP(width=48, blocks=2),
            training=Training(batch=256),
            standardise=standardise,
        )
        began = time.perf_counter()
        fitted = model.fit(x, seed=0, iterations=20 if quick else 800, progress=False)
        row: Row = {
            "noise": shape,
            "held-out loss": round(fitted.validation, 3),
            "Gaussian": round(fitted.untrained, 3),
        }
        for steps in _trained_steps(quick):
            drawn = fitted.sample(draws=4000, solver=solvers.DPMSolver2M(steps=steps)).x[0]
            row[f"{steps} steps"] = round(sliced_wasserstein(drawn, exact), 4)
        rows.append(row | {"floor": round(floor, 4), "seconds": round(time.perf_counter() - began)})
        print(rows[-1], flush=True)
    return rows


def _trained_steps(quick: bool) -> Sequence[int]:
    return (4,) if quick else (4, 8, 16, 32)


if __name__ == "__main__":
    main()
