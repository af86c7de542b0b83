"""Schroedinger bridges beside what is exactly known of them.

    Gaussian to Gaussian    N(-.1, I) to N(.1, I), noise 1, in 5, 20 and 50 dimensions, from 200,000 rows of either end
        KL      of the Gaussian of the moments of 200,000 ends, drawn from exact starts, from the exact end; moments of
                as many exact draws have about d (d + 3) / (4 n) themselves, which stands beside it
        cov     of the plan beside the closed form: mean over coordinates of cov(x_i, y_i); all of it in the Frobenius
                norm, of potentials of one component without draws, of 200,000 pairs, and of as many exact pairs
    planted plans    a mixture of five and a potential of five components, which together are a plan
        KL      E[log pi*(y | x) - log pi(y | x)] over 10,000 pairs of the exact plan; that of the independent plan is
                the mutual information, by the density of the end under 10,000 starts
        cBW2    100 E[BW2(pi*(. | x), pi(. | x))^2] / (Var(y) / 2) in %, BW2 between the Gaussians of the moments, over
                500 starts (cBW2^2-UVP of Gushchin et al. 2023, https://arxiv.org/abs/2306.10161)
    margins    noise to a mixture and mixture to mixture in the plane: sliced W2 of 5,000 draws from 5,000 exact ones,
        at both ends, over its floor, the mean for exact draws

Rows are made for each method of METHODS and written after each, beside those that are there already. Minutes are of the
fit, by wall time of one thread; seconds of processor time stand beside them.

    python benchmarks/bridges.py [--only gaussians planted margins] [--methods "mixture potentials"]
"""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path

import torch
from _machine import Row, parser, recorded, write
from torch import Generator, Tensor

from samplers import SamplingWarning, SchroedingerBridge
from samplers.diagnostics import floored, sliced_wasserstein
from samplers.generative import FittedBridge
from samplers.generative.bridges import (
    BridgeMethod,
    GaussianBridge,
    MarkovianFitting,
    MixturePotential,
    MixturePotentials,
    ProportionalFitting,
    Sinkhorn,
)
from samplers.generative.bridges.gaussian import slope
from samplers.networks import ResidualMLP
from targets import Gaussian, GaussianMixture, Target

PARTS = ["gaussians", "planted", "margins"]
PLAIN = ResidualMLP(local=0)
METHODS: dict[str, dict[str, BridgeMethod]] = {  # a method, by its name and the part
    "mixture potentials": {
        "gaussians": MixturePotentials(components=1),
        "planted": MixturePotentials(components=20),
        "margins": MixturePotentials(),
    },
    "Sinkhorn": {"margins": Sinkhorn(rows=2000)},
    "Markovian fitting": {
        "gaussians": MarkovianFitting(halves=4, network=PLAIN),
        "margins": MarkovianFitting(),
    },
    "proportional fitting": {
        "gaussians": ProportionalFitting(halves=4, network=PLAIN),
        "margins": ProportionalFitting(),
    },
}
PUBLISHED = {5: 0.007, 20: 0.029, 50: 0.124}  # KL at the end, the best that is published


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def fit(
    method: BridgeMethod, noise: float, start: Tensor, end: Tensor, iterations: int | None
) -> tuple[FittedBridge, Row]:
    began, used = time.perf_counter(), time.process_time()
    fitted = SchroedingerBridge(noise=noise, method=method).fit(start, end, iterations=iterations, progress=False)
    minutes, seconds = (time.perf_counter() - began) / 60, time.process_time() - used
    return fitted, {"iterations": fitted.iterations, "minutes": minutes, "processor s": seconds}


def gaussian_row(method: BridgeMethod, dim: int, n: int, iterations: int | None) -> Row:
    ends = [Gaussian(torch.full((dim,), at, dtype=torch.float64)) for at in (-0.1, 0.1)]
    exact = GaussianBridge.between(ends[0], ends[1], 1.0)
    fitted, cost = fit(method, 1.0, *(law.sample(n, generator=seeded(k)) for k, law in enumerate(ends)), iterations)
    x = ends[0].sample(n, generator=seeded(2))
    y, best = fitted.forward(x, seed=3), exact.forward.draw(x, seeded(4))
    return {
        "dim": dim,
        "KL at the end": kl_of_moments(y, ends[1]),
        "of exact draws": kl_of_moments(best, ends[1]),
        "published": PUBLISHED[dim],
        "cov off by, %": 100 * (mean_covariance(x, y) / float(exact.cross_covariance.trace() / dim) - 1),
        "of potentials, %": own_off_by(fitted, ends[0].covariance, exact),
        "all of it, %": 100 * off_by(x, y, exact),
        "of exact pairs, %": 100 * off_by(x, best, exact),
        **cost,
    }


def kl_of_moments(y: Tensor, law: Gaussian) -> float:
    """KL(N(mean, covariance of y) | N(m, I))."""
    covariance, gap = y.mT.cov(), y.mean(0) - law.mean
    return 0.5 * float(covariance.trace() + gap.square().sum() - len(gap) - torch.logdet(covariance))


def mean_covariance(x: Tensor, y: Tensor) -> float:
    return float(((x - x.mean(0)) * (y - y.mean(0))).mean(0).mean())


def own_off_by(fitted: FittedBridge, start: Tensor, exact: GaussianBridge) -> float | None:
    """The same without draws, where conditional means are affine: of one component."""
    if not isinstance(psi := getattr(fitted.bridge, "forward", None), MixturePotential) or len(psi.log_weights) > 1:
        return None
    s = psi.matrices[0]
    below = torch.cat([(start @ s).mT, s @ start @ s + psi.noise * s], 1)
    plan = torch.cat([torch.cat([start, start @ s], 1), below])
    return 100 * float((plan - exact.plan_covariance).norm() / exact.plan_covariance.norm())


def off_by(x: Tensor, y: Tensor, exact: GaussianBridge) -> float:
    """Frobenius distance of the covariance of pairs, over the norm of the exact one."""
    return float((torch.cat([x, y], 1).mT.cov() - exact.plan_covariance).norm() / exact.plan_covariance.norm())


def planted(dim: int, noise: float) -> tuple[GaussianMixture, MixturePotential]:
    """A start, and a potential whose conditional laws have slopes that lead deviations .7 to .5."""
    generator = seeded(dim)
    start = GaussianMixture(2.0 * torch.randn(5, dim, generator=generator).double(), scales=0.7)
    shifts = 2.0 * torch.randn(5, dim, generator=generator).double()
    lengths = (0.3 + 0.4 * torch.rand(5, dim, generator=generator)).double().square()
    slopes = slope(torch.full((5, dim, 1, 1), 0.49).double(), lengths[..., None, None], noise)[..., 0, 0]
    zero = torch.zeros(dim, dtype=torch.float64)
    return start, MixturePotential(noise, torch.zeros(5).double(), shifts, slopes, zero, zero)


def planted_row(method: BridgeMethod, dim: int, noise: float, rows: int, iterations: int | None) -> Row:
    start, psi = planted(dim, noise)
    with_end = psi.draw(start.sample(rows, generator=seeded(1)), seeded(2))
    fitted, cost = fit(method, noise, start.sample(rows, generator=seeded(3)), with_end, iterations)
    x = start.sample(10_000, generator=seeded(4))
    y = psi.draw(x, seeded(5))
    exact, log_marginal = psi.log_prob(y, x), psi.log_marginal(y, start.sample(10_000, generator=seeded(6)))
    found = fitted.bridge.forward.log_prob(y, x)  # type: ignore[attr-defined]
    mean, covariance = y.mean(0), y.mT.cov()
    truth, model = (moments(one, x[:500]) for one in (psi, fitted.bridge.forward))  # type: ignore[attr-defined]
    share = 100 / (0.5 * float(covariance.trace()))
    independent = mean.expand(500, -1), covariance.expand(500, -1, -1)
    return {
        "dim": dim,
        "noise": noise,
        "KL": float((exact - found).mean()),
        "its s.e.": float((exact - found).std()) / math.sqrt(len(x)),
        "KL, independent": float((exact - log_marginal).mean()),
        "cBW2, %": share * float(bures(*truth, *model).mean()),
        "cBW2, independent, %": share * float(bures(*truth, *independent).mean()),
        "components": int(fitted.figures["components"]),
        **cost,
    }


def moments(psi: MixturePotential, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means (n, dim) and covariances (n, dim, dim) of pi(. | x)."""
    shares = psi.shares(x)
    parts = psi.end_origin + psi.shifts + torch.einsum("kij,nj->nki", psi.matrices, x - psi.origin)
    mean = torch.einsum("nk,nki->ni", shares, parts)
    gap = parts - mean[:, None]
    within = torch.einsum("nk,kij->nij", shares, psi.noise * psi.matrices)
    return mean, within + torch.einsum("nk,nki,nkj->nij", shares, gap, gap)


def bures(m: Tensor, a: Tensor, n: Tensor, b: Tensor) -> Tensor:
    """W2^2 of Gaussians, (rows,)."""
    values, axes = torch.linalg.eigh(a)
    root = (axes * values.clamp_min(0).sqrt()[:, None]) @ axes.mT
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp_min(0).sqrt().sum(1)
    return (m - n).square().sum(1) + (a + b).diagonal(dim1=1, dim2=2).sum(1) - 2 * cross


def ring(count: int, radius: float, scale: float, name: str) -> GaussianMixture:
    angle = torch.arange(count) * (2 * math.pi / count)
    return GaussianMixture(radius * torch.stack([angle.cos(), angle.sin()], 1).double(), scales=scale, name=name)


def grid() -> GaussianMixture:
    line = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)
    return GaussianMixture(torch.cartesian_prod(line, line), scales=0.3, name="grid of nine")


MARGINS: list[tuple[str, Target, Target, float]] = [
    ("noise to eight", Gaussian(torch.zeros(2).double()), ring(8, 3.0, 0.3, "eight"), 1.0),
    ("noise to eight", Gaussian(torch.zeros(2).double()), ring(8, 3.0, 0.3, "eight"), 0.1),
    ("eight to nine", ring(8, 3.0, 0.3, "eight"), grid(), 1.0),
    ("eight to nine", ring(8, 3.0, 0.3, "eight"), grid(), 0.1),
]


def margins_row(
    method: BridgeMethod, case: tuple[str, Target, Target, float], rows: int, iterations: int | None
) -> Row:
    title, start, end, noise = case
    fitted, cost = fit(
        method, noise, *(law.sample(rows, generator=seeded(k)) for k, law in enumerate((start, end))), iterations
    )
    y = fitted.forward(start.sample(5000, generator=seeded(2)), seed=3)
    x = fitted.backward(end.sample(5000, generator=seeded(4)), seed=5)
    found = {"end": floored(sliced_wasserstein, y, end), "start": floored(sliced_wasserstein, x, start)}
    row: Row = {"bridge": title, "noise": noise}
    for name, one in found.items():
        row |= {f"{name}: sliced W2": one.value, f"{name}: floor": one.floor, f"{name}: ratio": one.value / one.floor}
    return row | cost


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    command.add_argument("--methods", nargs="*", default=list(METHODS), help=", ".join(METHODS))
    command.add_argument("--cases", nargs="*", type=int, default=range(len(MARGINS)), help="of the margins, from 0")
    command.add_argument("--iterations", type=int, help="of the fit, in place of the method's own number")
    command.add_argument("--threads", type=int, default=1)
    options = command.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", SamplingWarning)
    quick = options.quick
    settings = {"torch threads": options.threads, "rows": "200000, 20000 planted and margins"}
    tables = {} if quick else recorded(Path(__file__).stem)
    iterations = 5 if quick else options.iterations

    def add(title: str, name: str, found: Row) -> None:
        row = {"method": name, **found}
        key = [k for k in ("method", "dim", "noise", "bridge") if k in row]
        others = [other for other in tables.get(title, []) if any(other[k] != row[k] for k in key)]
        tables[title] = [*others, row]
        write(Path(__file__).stem, "Schroedinger bridges", tables, settings=settings, quick=quick)

    for name in options.methods:
        method = METHODS[name]
        for dim in (5,) if quick else (5, 20, 50):
            if "gaussians" in options.only and "gaussians" in method:
                n = 2000 if quick else 200_000
                add("Gaussian to Gaussian", name, gaussian_row(method["gaussians"], dim, n, iterations))
        for dim in (2,) if quick else (2, 16):
            for noise in (1.0,) if quick else (0.1, 1.0, 10.0):
                if "planted" in options.only and "planted" in method:
                    found = planted_row(method["planted"], dim, noise, 2000 if quick else 20_000, iterations)
                    add("Planted plans", name, found)
        for case in MARGINS[:1] if quick else [MARGINS[k] for k in options.cases]:
            if "margins" in options.only and "margins" in method:
                add("Margins", name, margins_row(method["margins"], case, 2000 if quick else 20_000, iterations))


if __name__ == "__main__":
    main()
