"""log Z of sonar: SMC with its defaults against BlackJAX's adaptive tempered SMC, error against time and evaluations.

Both anneal from the prior N(0, I) with 1,000 or 4,000 particles. BlackJAX's has no tuning: its HMC gets the identity as
mass matrix, and every pair of step size and trajectory in `THEIRS` is run, so that the best of them can be seen; its
steps are compiled beforehand and the time of a run is that of a second call with another seed. The error is the root
mean square over seeds against -108.39 (long run, +- 0.04). The figure to compare is time x error^2, which more
particles leave as it is; evaluations are gradients. Sides run in turn, one thread each where that can be set.

    python benchmarks/smc_vs_blackjax.py
"""

from __future__ import annotations

import math
import os
import time
import warnings

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import torch
from _machine import Row, parser, write
from blackjax.smc import extend_params, resampling

import samplers
import targets
from targets.datasets import sonar, standardised

TRUTH = targets.benchmarks()["sonar"].reference_log_z[0]
OURS = {
    "defaults": lambda: samplers.SMC(),
    "conditional ESS 0.8, 2 moves": lambda: samplers.SMC(conditional_ess=0.8, moves=2),
    'base="pilot"': lambda: samplers.SMC(base="pilot"),
    "waste-free 8": lambda: samplers.SMC(waste_free=8),
}
THEIRS = [(0.1, 10, 1), (0.2, 5, 1), (0.2, 10, 1), (0.2, 5, 3), (0.2, 10, 3), (0.3, 10, 3)]  # step, leapfrogs, moves
TARGET_ESS = 0.9


def ours(make, particles: int, seed: int) -> tuple[float, float, float]:
    """log Z, seconds, gradients a run."""
    target = targets.benchmark("sonar")
    began = time.perf_counter()
    draws = make().sample(target, draws=particles, seed=seed, progress=False)
    return draws.log_z.value, time.perf_counter() - began, draws.cost.score


class Peer:
    """BlackJAX's SMC, compiled once."""

    def __init__(self, step_size: float, leapfrogs: int, moves: int, particles: int) -> None:
        features, labels = sonar()
        x = jnp.asarray(np.asarray(standardised(features)), jnp.float32)
        y = jnp.asarray(np.asarray(labels), jnp.float32)
        self.dim, self.particles, self.per_step = x.shape[1], particles, leapfrogs * moves
        constant = -0.5 * self.dim * math.log(2 * math.pi)
        hmc = {"step_size": step_size, "inverse_mass_matrix": jnp.eye(self.dim), "num_integration_steps": leapfrogs}
        self.smc = blackjax.adaptive_tempered_smc(
            lambda w: constant - 0.5 * w @ w,
            lambda w: jnp.sum(y * (x @ w) - jax.nn.softplus(x @ w)),
            blackjax.hmc.build_kernel(),
            blackjax.hmc.init,
            extend_params(hmc),
            resampling.systematic,
            TARGET_ESS,
            num_mcmc_steps=moves,
        )
        self.loop = jax.jit(self._loop)
        jax.block_until_ready(self.loop(jax.random.PRNGKey(10_000)))

    def _loop(self, key):
        first, key = jax.random.split(key)
        state = self.smc.init(jax.random.normal(first, (self.particles, self.dim)))

        def more(carry):
            return carry[0].tempering_param < 1

        def step(carry):
            state, log_z, steps, key = carry
            key, sub = jax.random.split(key)
            state, info = self.smc.step(sub, state)
            return state, log_z + info.log_likelihood_increment, steps + 1, key

        return jax.lax.while_loop(more, step, (state, jnp.zeros(()), 0, key))

    def __call__(self, seed: int) -> tuple[float, float, float]:
        began = time.perf_counter()
        _, log_z, steps, _ = jax.block_until_ready(self.loop(jax.random.PRNGKey(seed)))
        return float(log_z), time.perf_counter() - began, int(steps) * self.particles * self.per_step


def row(side: str, label: str, particles: int, runs: list[tuple[float, float, float]]) -> Row:
    errors = np.array([log_z - TRUTH for log_z, _, _ in runs])
    seconds, evaluations = float(np.mean([s for _, s, _ in runs])), float(np.mean([e for *_, e in runs]))
    square = float(np.mean(errors**2))
    return {
        "sampler": side,
        "settings": label,
        "particles": particles,
        "rms error": math.sqrt(square),
        "mean error": float(errors.mean()),
        "seconds": seconds,
        "gradients": evaluations,
        "seconds x error^2": seconds * square,
        "gradients x error^2": evaluations * square,
    }


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", samplers.SamplingWarning)
    runs, sizes = (2, (200,)) if options.quick else (24, (1000,))
    rows = []
    for particles in sizes:
        peers = {setting: Peer(*setting, particles) for setting in (THEIRS[:1] if options.quick else THEIRS)}
        found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
        for seed in range(runs):
            for label, make in OURS.items():
                found.setdefault(("unnorm", label), []).append(ours(make, particles, seed))
            for (step, leapfrogs, moves), peer in peers.items():
                label = f"step {step}, {leapfrogs} leapfrogs, {moves} moves"
                found.setdefault(("BlackJAX", label), []).append(peer(seed))
        rows += [row(side, label, particles, results) for (side, label), results in found.items()]
    best = {side: min(r["seconds x error^2"] for r in rows if r["sampler"] == side) for side in ("unnorm", "BlackJAX")}
    default = min(r["seconds x error^2"] for r in rows if r["settings"] == "defaults")
    notes = [
        f"time at equal error, the best BlackJAX row against our defaults: {best['BlackJAX'] / default:.2f}x; "
        f"against our best: {best['BlackJAX'] / best['unnorm']:.2f}x",
    ]
    settings = {"target ESS of BlackJAX": TARGET_ESS, "torch threads": 1, "runs": runs, "dtype": "float32"}
    write(
        "smc_vs_blackjax",
        "SMC against BlackJAX on sonar",
        {"Sonar": rows},
        settings=settings,
        notes=notes,
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
