"""Diffusion models learned from draws of known laws: their exact divergence from the law of the samples.

    KL(p | q) = E_p[log p - log q]     over 50,000 exact draws that training has not seen; q by the probability flow

Mixtures of eight components in 2 and 16 dimensions, means N(0, 3^2) and N(0, 2^2), deviations U(.3, 1) and U(.5, 1),
weights from a Dirichlet law; the Swiss roll of `examples/score_diffusion.py`, a hundred narrow Gaussians. Beside KL of
the model stand that of the Gaussian where training starts, and log Z (0 is right) with the share of effective draws, by
exact weights of the reverse process in 100 steps.

Then log Z of energies by the weights of a model that is learned from HMC's draws of them (`ScoreDiffusion.sample`).
Last, both ways to weigh a model: whole paths, and particles that are resampled on the way, of the same models.
Tables are written after each row, beside the rows of other targets and seeds that are there already. Of fewer exact
draws (--judged) the divergence is known less well, and sooner.

    python benchmarks/score_diffusion.py [--seeds 0 1 2] [--judged 10000] [--only laws chains way]
"""

from __future__ import annotations

import math
import runpy
import time
import warnings
from pathlib import Path

import torch
from _machine import Row, parser, recorded, write
from torch import Tensor

from samplers import HMC, Draws, SamplingWarning, ScoreDiffusion
from samplers.generative import FittedDiffusion
from targets import GaussianMixture, Ising, Target, benchmark

ROOT = Path(__file__).resolve().parents[1]
ROWS, JUDGED = 50_000, 50_000
CHAINS = {  # energies that HMC draws from, and their log Z
    "many-well5-delta4": None,
    "ising-relaxed-4x4": None,
    "sonar": -108.39,  # by long annealed importance sampling
    "many-well32-fab": None,
}


PARTS = ["laws", "chains", "way"]


def mixture(dim: int, spread: float, least: float) -> GaussianMixture:
    """Means N(0, spread^2), deviations from `least` to 1."""
    generator = torch.Generator().manual_seed(dim)
    means = spread * torch.randn(8, dim, generator=generator)
    scales = least + (1 - least) * torch.rand(8, generator=generator)
    weights = -torch.rand(8, generator=generator).log()
    return GaussianMixture(means, scales=scales, weights=weights / weights.sum(), name=f"mixture, d = {dim}")


LAWS: list[tuple[GaussianMixture, int]] = [  # and iterations
    (mixture(2, 3.0, 0.3), 8000),
    (mixture(16, 2.0, 0.5), 16_000),
    (runpy.run_path(str(ROOT / "examples/score_diffusion.py"))["roll"](), 8000),
]


def divergence(target: Target, fitted: FittedDiffusion, n: int) -> tuple[float, float]:
    """KL and its standard error."""
    x = target.sample(n, generator=torch.Generator().manual_seed(10_007))
    ratio = torch.cat([target.log_prob(part).double() - fitted.log_prob(part) for part in x.split(5000)])
    return float(ratio.mean()), float(ratio.std() / math.sqrt(n))


def row(target: GaussianMixture, seed: int, iterations: int, judged: int) -> Row:
    model = ScoreDiffusion()
    samples = target.sample(ROWS, generator=torch.Generator().manual_seed(seed))
    gaussian = model.fit(samples, seed=seed, iterations=0, progress=False)
    began = time.perf_counter()
    fitted = model.fit(samples, seed=seed, iterations=iterations, progress=False)
    seconds = time.perf_counter() - began
    kl, error = divergence(target, fitted, judged)
    weighed = fitted.weigh(target, draws=4000, seed=seed)
    assert weighed.log_z is not None
    return {
        "target": target.name,
        "seed": seed,
        "iterations": iterations,
        "exact draws": judged,
        "KL of the Gaussian": divergence(target, gaussian, judged // 10)[0],
        "KL": kl,
        "s.e.": error,
        "minutes": seconds / 60,
        "log Z": weighed.log_z.value,
        "its s.e.": weighed.log_z.standard_error,
        "ESS": weighed.attrs["ess"],
    }


def energy(name: str) -> tuple[Target, float]:
    """And its log Z."""
    target = Ising((4, 4), coupling=0.4).relaxed() if name == "ising-relaxed-4x4" else benchmark(name)
    known = CHAINS[name]
    return target, target.log_z if known is None else known


def from_chains(name: str, seed: int, draws: int, iterations: int) -> Row:
    """A model of HMC's draws, started from their Gaussian, and its weights."""
    target, log_z = energy(name)
    model = ScoreDiffusion(standardise="whiten")
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SamplingWarning)
        found = model.sample(target, draws=draws, iterations=iterations, seed=seed, progress=False)
    assert found.log_z is not None
    return {
        "target": name,
        "dim": target.dim,
        "seed": seed,
        "log Z off by": found.log_z.value - log_z,
        "its s.e.": found.log_z.standard_error,
        "ESS": found.attrs["ess"],
        "k-hat": found.pareto_k,
        "warned": "yes" if caught else "",
        "evaluations": found.cost.log_prob,
        "minutes": (time.perf_counter() - began) / 60,
    }


def on_the_way(
    target: Target, log_z: float, samples: Tensor | Draws, model: ScoreDiffusion, seed: int, iterations: int
) -> Row:
    """The same model weighed by whole paths and by particles that are resampled on the way."""
    fitted = model.fit(samples, seed=seed, iterations=iterations, progress=False)
    row: Row = {"target": target.name, "seed": seed, "iterations": iterations}
    for blank, how in enumerate((None, "smc")):
        began = time.perf_counter()
        found = fitted.weigh(target, draws=4000, seed=seed, correct=how)
        assert found.log_z is not None
        name = "whole paths" if how is None else "SMC"
        row |= {
            f"{name}: log Z off by": found.log_z.value - log_z,
            "its s.e." + " " * blank: found.log_z.standard_error,
            "ESS" + " " * blank: found.attrs["ess"],
            "s" + " " * blank: time.perf_counter() - began,
        }
    return row


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    command.add_argument("--threads", type=int, default=1)
    command.add_argument("--judged", type=int, default=JUDGED, help="exact draws that the divergence is a mean over")
    command.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    options = command.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", SamplingWarning)
    quick = options.quick
    judged, seeds = (500, options.seeds[:1]) if quick else (options.judged, options.seeds)
    settings = {"samples": ROWS, "torch threads": options.threads}
    tables = {} if quick else recorded(Path(__file__).stem)

    def add(title: str, found: Row) -> None:
        key = ("target", "seed")
        others = [row for row in tables.get(title, []) if any(row[k] != found[k] for k in key)]
        tables[title] = [*others, found]
        write(Path(__file__).stem, "Diffusion models learned from samples", tables, settings=settings, quick=quick)

    for seed in seeds if "chains" in options.only else ():
        for name in CHAINS:
            add("log Z by a model of HMC's draws", from_chains(name, seed, *((200, 20) if quick else (4000, 4000))))
    for seed in seeds if "laws" in options.only else ():
        for target, most in LAWS:
            add("Divergence from the law of the samples", row(target, seed, 50 if quick else most, judged))
    for seed in seeds if "way" in options.only else ():
        title = "Whole paths, and particles resampled on the way"
        for target, _ in LAWS:
            samples = target.sample(ROWS, generator=torch.Generator().manual_seed(seed))
            add(title, on_the_way(target, 0.0, samples, ScoreDiffusion(), seed, 50 if quick else 4000))
        for name in CHAINS:
            density, log_z = energy(name)
            draws = HMC().sample(density, chains=64, draws=20 if quick else 250, seed=seed, progress=False)
            model = ScoreDiffusion(standardise="whiten")
            add(title, on_the_way(density, log_z, draws, model, seed, 50 if quick else 4000))


if __name__ == "__main__":
    main()
