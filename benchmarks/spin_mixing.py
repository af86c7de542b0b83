"""How fast samplers of spins mix, and whether they are right: walk-jump with noise of the model's shape against others.

The 8 x 8 Ising torus above, at and below its critical temperature, and 16 spins with random couplings of both signs and
fields. All chains of a sampler run at once, from independent fair coins, in float64 on the CPU; after warmup their
draws give effective sample sizes (ArviZ, bulk, all chains together) of the energy, the mean spin and its square. Every
answer is compared with the exact one in standard errors, which come from the spread among the chains' own averages:
Kaufman's energy, E[m^2] by transfer matrix, pair correlations by transfer matrix with one spin held, and all of them by
enumeration for the 16 spins.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import arviz
import torch
from _machine import Row, parser, write

import samplers
import targets
from samplers.smoothing import WalkJump

CRITICAL = math.log(1 + math.sqrt(2)) / 2
CHAINS = 64
HELD = 25.0  # a field that leaves a spin exp(-50) of a chance to turn


@dataclass
class Model:
    """A target, and what is exactly known of it."""

    name: str
    target: targets.PairwiseMRF

    @property
    def torus(self) -> bool:
        return isinstance(self.target, targets.Ising)

    def squares(self, x: torch.Tensor) -> torch.Tensor:
        """The square of the mean spin on a torus, the mean spin elsewhere, (*batch,)."""
        return x.mean(-1).square() if self.torus else x.mean(-1)

    def exact_square(self) -> float:
        if isinstance(self.target, targets.Ising):
            return self.target.mean_square_magnetisation
        return float(self.target.mean.mean())

    def pairs(self, x: torch.Tensor) -> torch.Tensor:
        """E[s s'] within each chain: by displacement on a torus, for every pair elsewhere, (chains, pairs)."""
        if not isinstance(self.target, targets.Ising):
            i, j = torch.triu_indices(self.target.dim, self.target.dim, 1)
            return (x.mT @ x / x.shape[1])[:, i, j]
        shape = self.target.shape
        power = torch.fft.rfft2(x.reshape(*x.shape[:2], *shape)).abs().square().mean(1)
        return (torch.fft.irfft2(power, s=shape) / self.target.dim).flatten(1)[:, 1:]

    def exact_pairs(self) -> torch.Tensor:
        if not isinstance(self.target, targets.Ising):
            i, j = torch.triu_indices(self.target.dim, self.target.dim, 1)
            mean = self.target.mean
            return (self.target.covariance + mean[:, None] * mean)[i, j]
        field = torch.zeros(self.target.shape, dtype=torch.float64)
        field[0, 0] = HELD
        return targets.Ising(self.target.shape, self.target.coupling, field, dtype=torch.float64).mean[1:]


def random_model(n: int = 16, seed: int = 7) -> targets.PairwiseMRF:
    """Couplings N(0, 1 / n) between all pairs, and fields N(0, 1/4)."""
    generator = torch.Generator().manual_seed(seed)
    upper = torch.randn(n, n, generator=generator, dtype=torch.float64).triu(1) / math.sqrt(n)
    return targets.PairwiseMRF(upper + upper.mT, 0.5 * torch.randn(n, generator=generator, dtype=torch.float64))


def models() -> list[Model]:
    tori = [
        Model(f"8 x 8, K = {name}", targets.Ising((8, 8), coupling, dtype=torch.float64))
        for name, coupling in (("0.2", 0.2), ("critical", CRITICAL), ("0.6", 0.6))
    ]
    return [*tori, Model("16 spins, random", random_model())]


def kernels() -> dict[str, tuple[samplers.Kernel, int]]:
    """Each with the draws of a chain, so that all take some seconds."""
    return {
        "walk-jump, 8 steps of HMC": (WalkJump(noise="mrf"), 400),
        "walk-jump, 2 steps of HMC": (WalkJump(noise="mrf", steps=2), 1000),
        "diffusive Gibbs, noise of the model": (samplers.DiffusiveGibbs(noise="mrf"), 2000),
        "Gibbs, checkerboard": (samplers.Gibbs(), 4000),
        "discrete Langevin": (samplers.DiscreteLangevin(), 4000),
        "Gibbs with gradients, 16 flips": (samplers.GibbsWithGradients(16), 500),
        "Swendsen-Wang": (samplers.SwendsenWang(), 1500),
    }


def scores(found: torch.Tensor, exact: torch.Tensor | float) -> torch.Tensor:
    """How many standard errors chains' averages (chains, ...) are off."""
    return (found.mean(0) - exact) / (found.std(0) / math.sqrt(len(found)))


def ess(values: torch.Tensor) -> float:
    """Bulk ESS of (chains, draws)."""
    return float(arviz.ess(values.numpy(), method="bulk"))


def measure(model: Model, name: str, kernel: samplers.Kernel, draws: int, seed: int) -> Row:
    target = model.target
    began = time.process_time()
    run = kernel.sample(target, chains=CHAINS, draws=draws, warmup=draws // 4, seed=seed, progress=False)
    seconds = time.process_time() - began
    share = draws / (draws + draws // 4)  # of the cost: what sampling took
    evaluations = share * (run.cost.log_prob + run.cost.score)
    energy, spin, square = -target.log_prob(run.x), run.x.mean(-1), model.squares(run.x)
    sizes = {"energy": ess(energy), "m": ess(spin), "m^2": ess(spin.square())}
    row: Row = {"model": model.name, "sampler": name}
    row |= {f"ESS of {key} / 1000 evaluations": 1000 * size / evaluations for key, size in sizes.items()}
    row |= {f"ESS of {key} / s": size / (share * seconds) for key, size in sizes.items()}
    pairs = scores(model.pairs(run.x), model.exact_pairs())
    row |= {
        "energy, s.e. off": float(scores(energy.mean(1), -target.mean_log_prob)),
        "m^2 (random: m), s.e. off": float(scores(square.mean(1), model.exact_square())),
        "worst pair, s.e. off": float(pairs[pairs.abs().argmax()]),
        "seconds": seconds,
    }
    print(", ".join(f"{key}: {value:.3g}" if isinstance(value, float) else value for key, value in row.items()))
    return row


def main() -> None:
    quick = parser(__doc__).parse_args().quick
    torch.set_num_threads(1)
    rows = []
    for model in models():
        for seed, (name, (kernel, draws)) in enumerate(kernels().items()):
            rows.append(measure(model, name, kernel, draws // 50 if quick else draws, seed))
    write(
        "spin_mixing",
        "Mixing of spins",
        {"Effective draws, and distance from the exact answers": rows},
        settings={"chains": CHAINS, "dtype": "float64", "torch threads": torch.get_num_threads()},
        notes=[
            "seconds: of the processor, so that other work on the machine counts little",
            "evaluations: log-densities and scores of a chain's points, each about one product with the couplings",
            "s.e. off: of chains' averages from the exact value, in standard errors from the spread among the chains; "
            "the worst pair is that of 63 displacements on a torus, of 120 pairs of the random spins",
            "all start from fair coins, so that a sampler which has not forgotten its start is far off",
        ],
        quick=quick,
    )


if __name__ == "__main__":
    main()
