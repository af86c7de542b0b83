"""Diffusion models learned from draws of Gaussian mixtures: their exact divergence from the law of the samples.

    KL(p | q) = E_p[log p - log q]     over 50,000 exact draws that training has not seen; q by the probability flow

Mixtures of eight components in 2 and 16 dimensions, means N(0, 3^2) and N(0, 2^2), deviations U(.3, 1) and U(.5, 1),
weights from a Dirichlet law. Beside KL of the model stand that of the Gaussian where training starts, and log Z (0 is
right) with the share of effective draws, by exact weights of the reverse process in 100 steps.

    python benchmarks/score_diffusion.py [--seeds 0 1 2]
"""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path

import torch
from _machine import Row, parser, write

from samplers import SamplingWarning, ScoreDiffusion
from samplers.generative import FittedDiffusion
from targets import GaussianMixture, Target

DIMS = {2: (3.0, 0.3, 8000), 16: (2.0, 0.5, 16_000)}  # spread of the means, least deviation, iterations
ROWS, JUDGED = 50_000, 50_000


def mixture(dim: int) -> GaussianMixture:
    spread, least, _ = DIMS[dim]
    generator = torch.Generator().manual_seed(dim)
    means = spread * torch.randn(8, dim, generator=generator)
    scales = least + (1 - least) * torch.rand(8, generator=generator)
    weights = -torch.rand(8, generator=generator).log()
    return GaussianMixture(means, scales=scales, weights=weights / weights.sum(), name=f"mixture, d = {dim}")


def divergence(target: Target, fitted: FittedDiffusion, n: int) -> tuple[float, float]:
    """KL and its standard error."""
    x = target.sample(n, generator=torch.Generator().manual_seed(10_007))
    ratio = torch.cat([target.log_prob(part).double() - fitted.log_prob(part) for part in x.split(5000)])
    return float(ratio.mean()), float(ratio.std() / math.sqrt(n))


def row(dim: int, seed: int, iterations: int, judged: int) -> Row:
    target, model = mixture(dim), ScoreDiffusion()
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
        "KL of the Gaussian": divergence(target, gaussian, judged // 10)[0],
        "KL": kl,
        "s.e.": error,
        "minutes": seconds / 60,
        "log Z": weighed.log_z.value,
        "its s.e.": weighed.log_z.standard_error,
        "ESS": weighed.attrs["ess"],
    }


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    command.add_argument("--threads", type=int, default=1)
    options = command.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", SamplingWarning)
    judged = 500 if options.quick else JUDGED
    seeds = options.seeds[:1] if options.quick else options.seeds
    rows = [
        row(dim, seed, 50 if options.quick else most, judged) for dim, (_, _, most) in DIMS.items() for seed in seeds
    ]
    settings = {"samples": ROWS, "exact draws": judged, "torch threads": options.threads}
    tables = {"Divergence from the law of the samples": rows}
    title, name = "Diffusion models learned from samples", Path(__file__).stem
    write(name, title, tables, settings=settings, quick=options.quick)


if __name__ == "__main__":
    main()
