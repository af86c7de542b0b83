"""Scores of random fields by networks that are local, against exact ones: error, radius, noise level and shape.

    error = sqrt( mean |m(y) - E[X | y]|^2 / mean Var(X_i | y) )   over measurements of exact draws and sites

the error of the score in units of what is not known of X: it is that of the noise predicted, too. Each level has
measurements of its own, the same for all rows.

Ising models on an 8 x 8 torus, exact by transfer matrix: mean field, TAP and belief propagation unrolled, plain and
learned, beside a dense network with at least 20 times the weights, which is given the fields as well, and learns from
the same draws of Swendsen-Wang by the same loss. Learned with fewer rounds, and without the network that
corrects messages. Noise of the field's own shape, precision (J + D) / c, beside isotropic noise.

Gaussian fields on a 12 x 12 torus, precision (kappa^2 + 4) - neighbours, exact in closed form. Beside the networks
stands the floor of their radius: the least error that any function of the measurements within so many edges can have.
All are linear in y, and their errors are known without sampling.

    python benchmarks/local_scores.py [--only networks radius shape gaussian] [--couplings 0.2 0.4] [--quick]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from _machine import Row, parser, recorded, write
from torch import Tensor, nn

from samplers import SwendsenWang
from samplers.denoisers import ClosedForm, Denoiser, Unrolled
from samplers.denoisers.spins import BeliefPropagation, TransferMatrix
from samplers.denoisers.unrolled.learning import FieldFitting, noise_levels
from samplers.networks.linear import Linear
from samplers.networks.slots import Slots
from targets import Gaussian, Ising, IsotropicNoise, MRFNoise, Noise, PairwiseMRF
from targets._lattice import grid_edges

LEVELS = (0.5, 1.0, 2.0, 4.0, 8.0)
RANGE = (0.4, 10.0)
COUPLINGS = (0.2, 0.4)
PARTS = ["networks", "radius", "shape", "gaussian"]

Measured = tuple[float, Noise, Tensor, Tensor, Tensor]  # level, noise, y, E[X | y], mean variance


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Exact answers


def measured(ising: Ising, noises: dict[float, Noise], rows: int) -> list[Measured]:
    generator = seeded(5)
    x = ising.sample(rows * len(noises), generator=generator)
    found = []
    for part, (level, noise) in zip(x.chunk(len(noises)), noises.items(), strict=True):
        y = part + noise.sample_like(part, generator)
        mean = TransferMatrix().estimate(ising, y, noise).mean
        found.append((level, noise, y, mean, (1 - mean.square()).mean()))
    return found


def errors(denoiser: Denoiser, field: Ising, exact: list[Measured]) -> dict[str, float]:
    found = {}
    for level, noise, y, mean, variance in exact:
        gap = denoiser.estimate(field, y, noise, None).mean - mean
        found[f"{level:g}"] = float((gap.square().mean() / variance).sqrt())
    return found


# Ising


def learned(ising: Ising, draws: Tensor, iterations: int, **settings: object) -> tuple[Unrolled, float]:
    """And seconds of the processor."""
    began = time.process_time()
    found = Unrolled.fit(ising, RANGE, draws=draws, iterations=iterations, batch=32, lr=0.02, **settings)  # type: ignore[arg-type]
    return found, time.process_time() - began


class Dense(nn.Module):
    """h + MLP(tanh h) as the fields of the marginals: every site sees all measurements, and noise enters as above."""

    def __init__(self, sites: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = (sites, width, width, sites)
        scales = (1.0, 1.0, 0.1)
        self.layers = nn.ModuleList(
            Linear(*ends, generator, scale) for ends, scale in zip(pairwise(sizes), scales, strict=True)
        )
        self.sizes = {"rounds": 1, "width": width, "channels": 0}

    def forward(self, slots: Slots, couplings: Tensor, potentials: Tensor) -> Tensor:
        field = 0.5 * (potentials[..., 1] - potentials[..., 0])
        first, second, last = self.layers
        hidden = nn.functional.silu(second(nn.functional.silu(first(field.tanh()))))
        field = field + last(hidden)
        return torch.stack([-field, field], -1)


def dense(ising: Ising, draws: Tensor, iterations: int, width: int = 140) -> tuple[Unrolled, float]:
    """Learned from the same examples by the same loss."""
    began, generator = time.process_time(), seeded(0)
    network = Dense(ising.dim, width, generator)
    noises = noise_levels(*RANGE, 32, IsotropicNoise(1.0))
    fitting = FieldFitting(network, ising, noises, draws.float(), iterations, 128, 2e-3, generator)
    before, after = fitting.learned()
    return Unrolled(network, "dense", loss=after, plain_loss=before), time.process_time() - began


def weights(denoiser: Denoiser) -> int:
    assert isinstance(denoiser, Unrolled)
    return denoiser.parameters


def networks(ising: Ising, draws: Tensor, exact: list[Measured], quick: bool) -> list[Row]:
    rows = []
    for scheme in ("mean field", "TAP", "belief propagation"):
        plain = Unrolled.plain(ising, rounds=50, scheme=scheme)  # type: ignore[arg-type]
        rows.append(
            {"denoiser": f"{scheme}, plain, 50 rounds", "weights": None, "s": None, **errors(plain, ising, exact)}
        )
    for scheme in ("TAP", "belief propagation"):
        local, seconds = learned(ising, draws, 5 if quick else 300, scheme=scheme, rounds=8, width=8, channels=3)
        named = {"denoiser": f"{scheme}, learned, 8 rounds", "weights": weights(local), "s": seconds}
        rows.append(named | errors(local, ising, exact))
    whole, seconds = dense(ising, draws, 20 if quick else 3000)
    rows.append({"denoiser": "dense", "weights": weights(whole), "s": seconds, **errors(whole, ising, exact)})
    return rows


def radius(ising: Ising, draws: Tensor, exact: list[Measured], quick: bool) -> list[Row]:
    rows = []
    for rounds in (1, 2, 4, 8):
        for width, channels in ((0, 0), (8, 3)):
            settings = {"rounds": rounds, "width": width, "channels": channels}
            local, seconds = learned(ising, draws, 5 if quick else 120, **settings)
            named = {
                "rounds": rounds,
                "denoiser": f"belief propagation, width {width}",
                "weights": weights(local),
                "s": seconds,
            }
            rows.append(named | errors(local, ising, exact))
    return rows


def shapes(ising: Ising, rows: int) -> list[Row]:
    """Noise of precision (J + D) / c beside isotropic noise of the same mean variance: plain belief propagation."""
    found: list[Row] = []
    shape = MRFNoise(ising)
    for c in (1.0, 2.0, 4.0, 16.0):
        own = shape.scaled(c)
        sigma = float(own.covariance(ising.dim).diagonal().mean().sqrt())
        for name, noise in (("of the field", own), ("isotropic", IsotropicNoise(sigma))):
            exact = measured(ising, {sigma: noise}, rows)
            by_rounds = {
                f"rounds {rounds}": errors(Unrolled.plain(ising, rounds=rounds), ising, exact)[f"{sigma:g}"]
                for rounds in (1, 2, 4, 8, 16)
            }
            fixed = errors(BeliefPropagation(), ising, exact)[f"{sigma:g}"]
            found.append({"c": c, "noise": name, "mean sigma": sigma, **by_rounds, "converged": fixed})
    return found


# Gaussian fields


def gaussian_field(kappa: float, side: int = 12) -> Gaussian:
    n = side * side
    edges, _ = grid_edges((side, side), True)
    precision = (kappa**2 + 4) * torch.eye(n, dtype=torch.float64)
    precision[edges[:, 0], edges[:, 1]] = precision[edges[:, 1], edges[:, 0]] = -1.0
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(precision))
    return Gaussian(torch.zeros(n, dtype=torch.float64), covariance=covariance, name=f"kappa = {kappa:g}")


def distances(side: int) -> Tensor:
    """In edges of the torus, from site 0."""
    step = torch.arange(side)
    step = torch.minimum(step, side - step)
    return (step[:, None] + step).flatten()


def floor(field: Gaussian, noise: Noise, reach: int) -> float:
    """Of y within `reach` edges of a site: the deviation of E[X | y] given these, over that of X given y."""
    prior, added = field._exact_covariance, noise.covariance(field.dim)
    total = prior + added
    slope = torch.linalg.solve(total, prior)[:, 0]
    near = distances(round(field.dim**0.5)) <= reach
    far = ~near
    hidden = total[far][:, far] - total[far][:, near] @ torch.linalg.solve(total[near][:, near], total[near][:, far])
    known = prior[0, 0] - prior[0] @ slope
    return float(((slope[far] @ hidden @ slope[far]).clamp_min(0) / known).sqrt())


def shaped(field: Gaussian) -> Noise:
    """Of precision J + D, J the neighbours: with it sites given y are independent."""
    precision = torch.linalg.inv(field._exact_covariance)
    couplings = torch.diag(precision.diagonal()) - precision
    return MRFNoise(PairwiseMRF(torch.where(couplings.abs() > 1e-9, couplings, 0.0)))


def linear_error(denoiser: Denoiser, field: Gaussian, noise: Noise) -> float:
    """Without sampling: E[X | y] and what takes its place are linear in y, whose covariance is known."""
    eye = torch.eye(field.dim, dtype=torch.float64)
    gap = denoiser.estimate(field, eye, noise, None).mean - ClosedForm().estimate(field, eye, noise).mean
    prior, total = field._exact_covariance, field._exact_covariance + noise.covariance(field.dim)
    known = (prior - prior @ torch.linalg.solve(total, prior)).diagonal().mean()
    return float(((gap * (total @ gap)).sum() / field.dim / known).sqrt())


def gaussians(quick: bool) -> list[Row]:
    found = []
    for kappa in (1.0, 0.2):
        field = gaussian_field(kappa)
        draws = field.sample(2000, generator=seeded(3))
        spread = float(field.covariance[0, 0].sqrt())
        for shape in ("isotropic", "of the field"):
            unit = IsotropicNoise(1.0) if shape == "isotropic" else shaped(field)
            size = spread / float(unit.covariance(field.dim)[0, 0].sqrt())
            noises = {level: unit.scaled((level * size) ** 2) for level in (0.5, 2.0, 8.0)}
            named: Row = {"field": field.name, "noise": shape}
            for rounds in (1, 2, 4, 8):
                seen = rounds + (shape != "isotropic")  # P y is of one edge more
                floors = {f"{level:g}": floor(field, noise, seen) for level, noise in noises.items()}
                found.append(named | {"rounds": rounds, "denoiser": "floor of the radius", "weights": None} | floors)
                for scheme in ("mean field", "belief propagation"):
                    plain = Unrolled.plain(field, rounds=rounds, scheme=scheme)  # type: ignore[arg-type]
                    sizes: Any = {"scheme": scheme, "rounds": rounds, "iterations": 5 if quick else 100}
                    some = Unrolled.fit(
                        field, (0.4 * size, 10 * size), shape=unit, draws=draws, batch=32, lr=0.02, **sizes
                    )
                    for name, one in (("plain", plain), ("learned", some)):
                        told = {"rounds": rounds, "denoiser": f"{scheme}, {name}", "weights": weights(one)}
                        off = {f"{level:g}": linear_error(one, field, noise) for level, noise in noises.items()}
                        found.append(named | told | off)
    return found


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    command.add_argument("--rows", type=int, default=24, help="measurements at each level of Ising models")
    command.add_argument("--couplings", type=float, nargs="*", default=COUPLINGS)
    options = command.parse_args()
    torch.set_num_threads(1)
    quick, rows = options.quick, 2 if options.quick else options.rows
    settings = {"measurements a level": rows, "draws to learn from": 16384, "torch threads": 1}
    notes = [
        "columns with a number: the error at that standard deviation of the noise, of Gaussian fields in units of a "
        "site's own; s: seconds of the processor, so that other work on the machine counts little",
    ]
    tables = {} if quick else recorded(Path(__file__).stem)

    def add(title: str, made: Callable[[], list[Row]]) -> None:
        tables[title] = made()
        write(Path(__file__).stem, "Local scores of random fields", tables, settings=settings, notes=notes, quick=quick)

    for coupling in options.couplings if {"networks", "radius"} & set(options.only) else ():
        ising = Ising((8, 8), coupling)
        chains = SwendsenWang().sample(ising, chains=1024, draws=1 if quick else 16, warmup=20, thin=3, progress=False)
        draws = chains.x.reshape(-1, 64)
        exact = measured(ising, {level: IsotropicNoise(level) for level in LEVELS}, rows)
        if "networks" in options.only:
            add(f"Ising, K = {coupling:g}: networks", lambda: networks(ising, draws, exact, quick))  # noqa: B023
        if "radius" in options.only:
            add(f"Ising, K = {coupling:g}: radius", lambda: radius(ising, draws, exact, quick))  # noqa: B023
    if "shape" in options.only:
        add("Ising, K = 0.4: the shape of the noise", lambda: shapes(Ising((8, 8), 0.4), rows))
    if "gaussian" in options.only:
        add("Gaussian fields on a 12 x 12 torus", lambda: gaussians(quick))


if __name__ == "__main__":
    main()
