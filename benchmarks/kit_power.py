"""How many chains `check_invariance` needs to find an error of a kernel: relative errors of 1, 2, 5 and 10 %.

    step:        MALA whose Hastings term is for a step size that is too small by the error
    variance:    MALA whose noise has a variance that is too large by the error
    acceptance:  random walk accepted with probability min(1, r^(1 + error)), r the ratio of the densities

Chains of five steps each, on a Gaussian times a log-exponential, in batches, tell how far every statistic is off on
average, z = d sqrt(chains), and how statistics vary together. With these the rule of `samplers.testing.sequential_rule`
is played many times; the least number of chains at which it rejects with probability 0.9 is found by bisection.
`--check` runs the real check with as many chains and 20 seeds, for those errors that need fewer than 100,000.

    python benchmarks/kit_power.py [--quick] [--check]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from _machine import parser, write
from scipy import special

import samplers
import targets
from samplers.kernels import Kernel, evaluate, metropolis, noise_like
from samplers.testing import check_invariance
from samplers.testing.invariance import features, run
from samplers.testing.sequential_rule import GROWTH, LEVEL, STAGES

BATCH, BATCHES, STEPS, PLAYS, POWER = 20_000, 150, 5, 4000, 0.9
ERRORS = (0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, eq=False)
class WrongMALA(samplers.MALA):
    """step, noise: the relative errors of the Hastings term's step size, and of the variance of the noise."""

    step_error: float = 0.0
    variance_error: float = 0.0

    def step(self, target, state, generator):
        h = self.step_size
        noise = noise_like(state.x, generator) * math.sqrt(2 * h * (1 + self.variance_error))
        proposal = evaluate(target, state.x + h * state.score + noise)
        told = h * (1 - self.step_error)

        def log_q(x, y):
            return -(y.x - x.x - told * x.score).square().sum(-1) / (4 * told)

        ratio = proposal.log_prob - state.log_prob + log_q(proposal, state) - log_q(state, proposal)
        return metropolis(state, proposal, ratio.double(), generator)


@dataclass(frozen=True, eq=False)
class WrongWalk(samplers.RandomWalkMetropolis):
    """error: of the exponent of the ratio."""

    error: float = 0.0

    def step(self, target, state, generator):
        x = state.x + self.step_size * noise_like(state.x, generator)
        proposal = replace(state, x=x, log_prob=target.log_prob(x))
        ratio = (1 + self.error) * (proposal.log_prob - state.log_prob)
        return metropolis(state, proposal, ratio.double(), generator)


KINDS: dict[str, Callable[[float], Kernel]] = {
    "step": lambda e: WrongMALA(0.5, step_error=e),
    "variance": lambda e: WrongMALA(0.5, variance_error=e),
    "acceptance": lambda e: WrongWalk(1.0, error=e),
}


def target() -> targets.Target:
    """Skewed, as some errors cancel on symmetric ones."""
    double = torch.float64
    return targets.Product(targets.Gaussian(torch.zeros(1, dtype=double)), targets.LogExponential(1, dtype=double))


Drift = tuple[np.ndarray, np.ndarray, np.ndarray]


def drifts(kernel: Kernel, batches: int) -> Drift:
    """How far statistics are off per square root of the chains: location and scale of every feature, and how they vary
    together; the gaps of distribution functions."""
    law, generator = target(), torch.Generator().manual_seed(0)
    named = list(features(law, generator).values())
    scores, gaps = [], np.zeros(len(named))
    n = BATCH
    normal = torch.special.ndtri((torch.arange(2 * n, dtype=torch.float64) + 0.5) / (2 * n))
    for _ in range(batches):
        moved = run(kernel, law, law.sample(n, generator=generator), STEPS, generator)
        fresh = law.sample(n, generator=generator)
        row = []
        for function in named:
            first = (torch.cat([function(moved), function(fresh)]).argsort() < n).double()
            for values in (normal, normal.square()):
                centred = values - values.mean()
                spread = (centred.square().sum() * n**2 / (2 * n * (2 * n - 1))).sqrt()
                row.append(float((centred * first).sum() / spread))
        scores.append(row)
    z = np.array(scores)
    return z.mean(0) / math.sqrt(n), np.atleast_2d(np.cov(z.T)), gaps


def power(drift: Drift, chains: float, generator: np.random.Generator) -> float:
    """The share of plays of the rule that reject; by location and scale, Bonferroni counting shapes too."""
    mean, covariance, gaps = drift
    open_, rejected = np.ones(PLAYS, bool), 0
    beta, draws = LEVEL / STAGES, chains
    gamma = beta ** (1 / STAGES)
    for stage in range(STAGES):
        z = generator.multivariate_normal(mean * math.sqrt(draws), covariance, PLAYS, method="eigh")
        q = (len(mean) + len(gaps)) * special.erfc(np.abs(z) / math.sqrt(2)).min(1)
        rejected += int((open_ & (q <= beta)).sum())
        open_ &= (q > beta) & (q <= gamma + beta)
        beta /= gamma
        draws = draws * GROWTH if stage == 0 else draws
    return rejected / PLAYS


def needed(drift: Drift) -> float:
    """Chains with which the rule rejects with probability POWER."""
    low, high = 100.0, 1e9
    while high / low > 1.03:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if power(drift, middle, np.random.default_rng(0)) >= POWER else (middle, high)
    return high


def rejected(kernel: Kernel, chains: int, seeds: int = 20) -> float:
    """The share of real checks that reject."""
    count = 0
    for seed in range(seeds):
        try:
            check_invariance(kernel, target(), chains=chains, steps=STEPS, seed=seed)
        except AssertionError:
            count += 1
    return count / seeds


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--check", action="store_true", help="run the real check too")
    options = arguments.parse_args()
    batches = BATCHES // 10 if options.quick else BATCHES
    rows = []
    for kind, make in KINDS.items():
        for error in ERRORS:
            n = needed(drifts(make(error), batches))
            told = float(f"{n:.2g}")
            real = rejected(make(error), int(told)) if options.check and n < 1e5 else None
            rows.append({"error in": kind, "%": 100 * error, "chains": int(told), "rejected": real})
            print(rows[-1], flush=True)
    write(
        "kit_power",
        "Power of check_invariance",
        {"Chains for 0.9": rows},
        settings={"chains": BATCH * batches},
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
