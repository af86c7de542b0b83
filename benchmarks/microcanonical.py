"""Microcanonical kernels beside HMC, by counts of gradients: adjusted (MAMS) and unadjusted (MCLMC), with defaults.

Effective draws: gradients a chain after warmup, over the least bulk ESS (ArviZ) of all coordinates, of x and of x^2.
Errors: b^2 = max_i E (mean of x_i^2 - E x_i^2)^2 / Var(x_i^2), the mean square over the chains of each one's error; the
gradients of a chain until it is below 0.01 and stays there, warmup not counted; inf where it never was. MCLMC's own
bias is in its b^2, not in its ESS: the last column is b^2 of all chains together, whose floor is about 1 / ESS.
Many chains: one draw of each of many chains, the sequential gradients of a chain from its start, Pathfinder's and
warmup's counted, and b^2 of all chains together, whose floor is that of as many exact draws.

    Gaussian        100 dimensions, covariance of condition 1,000 with random axes
    Rosenbrock      18 pairs a ~ N(1, 1), b ~ N(a^2, 0.1)
    German credit   logistic regression with unit prior, 25 dimensions
    sonar           logistic regression, 61 dimensions
    eight schools   non-centred, 10 dimensions

    python benchmarks/microcanonical.py

What is known of the last three comes from a run of HMC with 64 chains of 300 draws. No time is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from _machine import Row, parser, write
from torch import Tensor

import samplers
import targets
from samplers.draws.estimates import least_ess

F64 = torch.float64
GOAL = 0.01  # b^2
MOST = 15_000  # draws of a chain of MCLMC


def ill_conditioned() -> targets.Target:
    generator = torch.Generator().manual_seed(1)
    axes, _ = torch.linalg.qr(torch.randn(100, 100, generator=generator, dtype=F64))
    covariance = axes @ torch.diag(torch.logspace(-1.5, 1.5, 100, dtype=F64)) @ axes.mT
    return targets.Gaussian(torch.zeros(100, dtype=F64), covariance=0.5 * (covariance + covariance.mT))


class Rosenbrock(targets.Target):
    """Pairs a ~ N(1, 1), b ~ N(a^2, 0.1)."""

    pairs, variance = 18, 0.1

    def __init__(self) -> None:
        super().__init__(2 * self.pairs, dtype=F64, name="Rosenbrock")

    def log_prob(self, x: Tensor) -> Tensor:
        a, b = x[..., : self.pairs], x[..., self.pairs :]
        return -0.5 * ((a - 1).square() + (b - a.square()).square() / self.variance).sum(-1)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(n, self.dim, generator=generator, dtype=F64)
        a = 1 + noise[:, : self.pairs]
        return torch.cat([a, a.square() + math.sqrt(self.variance) * noise[:, self.pairs :]], -1)


TARGETS: dict[str, Callable[[], targets.Target]] = {
    "Gaussian": ill_conditioned,
    "Rosenbrock": Rosenbrock,
    "German credit": lambda: targets.benchmark("credit-unit-prior"),
    "sonar": lambda: targets.benchmark("sonar"),
    "eight schools": lambda: targets.benchmark("eight-schools"),
}


@dataclass(frozen=True)
class Squares:
    """Mean and variance of the squares of the coordinates, (dim,) both."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, target: targets.Target, draws: int) -> Squares:
        """From exact draws, or from HMC's."""
        if "sample" in target.known and target.name != "eight-schools":
            x = target.sample(64 * draws, generator=torch.Generator().manual_seed(0))
        else:
            x = samplers.HMC().sample(target, chains=64, draws=draws, seed=99, progress=False).x
        squares = x.reshape(-1, target.dim).square()
        return cls(squares.mean(0), squares.var(0))

    def error(self, means: Tensor) -> Tensor:
        """b^2 of means of squares (chains, ..., dim), averaged over the first axis."""
        return ((means - self.mean).square() / self.variance).mean(0).amax(-1)


def row(name: str, target: targets.Target, kernel: samplers.Kernel, truth: Squares, chains: int, kept: int) -> Row:
    """One run with everything left to warmup."""
    unadjusted = isinstance(kernel, samplers.MCLMC)
    found = kernel.sample(target, chains=chains, draws=kept, warmup=500, seed=0, progress=False)
    lengths = torch.ones(kept, dtype=F64) if unadjusted else found.stats["n_steps"][0].double()
    means = found.x.square().cumsum(1) / torch.arange(1, kept + 1)[:, None]
    above = (truth.error(means) >= GOAL).nonzero()[:, 0]
    last = int(above[-1]) + 1 if len(above) else 0
    gradients, kernel = float(lengths.sum()), found.kernel
    per = {f"gradients / ESS of {label}": gradients * chains / least_ess(x) for label, x in _powers(found.x)}
    return {
        "target": name,
        "kernel": type(kernel).__name__,
        "step size": kernel.step_size,
        "T or l": kernel.decoherence_length if unadjusted else kernel.trajectory_length,
        "acceptance": float(found.stats["acceptance_rate"].mean()),
        **per,
        "gradients to b^2 < 0.01": float(lengths[: last + 1].sum()) if last < kept else math.inf,
        "gradients": gradients,
        "gradients of warmup": found.cost.score / chains - gradients,
        "b^2 of all": float(truth.error(found.x.square().mean((0, 1))[None])),
    }


def rows(name: str, target: targets.Target, truth: Squares, chains: int, draws: int) -> list[Row]:
    """Of the three kernels; MCLMC makes about as many gradients as HMC, each of which is a draw."""
    found = [row(name, target, kernel, truth, chains, draws) for kernel in (samplers.HMC(), samplers.MAMS())]
    return [*found, row(name, target, samplers.MCLMC(), truth, chains, min(MOST, int(found[0]["gradients"])))]


def _powers(x: Tensor) -> list[tuple[str, Tensor]]:
    return [("x", x), ("x^2", x.square())]


def many_chains(name: str, target: targets.Target, truth: Squares, chains: int) -> list[Row]:
    """One draw a chain: by HMC and MAMS from the start, and by MCLMC with a few steps of MAMS at the end."""
    rows = []
    options = {"chains": chains, "draws": 1, "seed": 0, "progress": False}
    for steps in (30, 90):
        runs = {kind.__name__: kind().sample(target, warmup=steps, **options) for kind in (samplers.HMC, samplers.MAMS)}
        first = samplers.MCLMC().sample(target, warmup=steps, **options)
        last = samplers.MAMS(inverse_mass_matrix=first.kernel.inverse_mass_matrix)
        runs["MCLMC"] = first
        runs["MCLMC, then MAMS"] = last.sample(target, warmup=20, init=first.x[:, -1], **options)
        for label, draws in runs.items():
            scores = draws.cost.score + (first.cost.score if "then" in label else 0)
            error = float(truth.error(draws.x.square().mean((0, 1))[None]))
            rows.append(
                {"target": name, "kernel": label, "warmup": steps, "gradients": scores / chains, "b^2 of all": error}
            )
    return rows


def main() -> None:
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    chains, draws, crowd, known = (8, 20, 50, 20) if arguments.quick else (32, 600, 512, 300)
    made = {name: make() for name, make in TARGETS.items()}
    truths = {name: Squares.of(target, known) for name, target in made.items()}
    tables = {
        "Effective draws and errors": [
            line for name, target in made.items() for line in rows(name, target, truths[name], chains, draws)
        ],
        "One draw of many chains": [
            line for name in ("Gaussian", "sonar") for line in many_chains(name, made[name], truths[name], crowd)
        ],
    }
    settings = {"chains": chains, "draws": draws, "warmup": 500, "many chains": crowd}
    notes = [
        "step sizes, T (trajectories) and l (decoherence) are times in whitened coordinates",
        "published gradients to b^2 < 0.01, NUTS / adjusted / unadjusted, on targets that are alike but not the same: "
        "ill-conditioned Gaussian 33,276 / 931 / 1,956, Rosenbrock 180,251 / 94,707 / 67,638 "
        "(github.com/reubenharry/sampler-benchmarks)",
    ]
    write("microcanonical", "Microcanonical kernels", tables, settings=settings, notes=notes, quick=arguments.quick)


if __name__ == "__main__":
    main()
