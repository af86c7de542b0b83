"""Rates of one tree, as JSON, for `against_commit.py`: the number of steps is the argument."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

BEGAN = time.process_time()
import torch  # noqa: E402

TORCH = time.process_time() - BEGAN
import samplers  # noqa: E402
import targets  # noqa: E402

IMPORTED = time.process_time() - BEGAN

from torch.distributions import HalfCauchy, Normal  # noqa: E402

Y = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12], dtype=torch.float64)
SIGMA = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18], dtype=torch.float64)
CHAINS = 64


def schools() -> targets.Posterior:
    """Eight schools as a user writes it."""
    return targets.Posterior(
        log_likelihood=lambda mu, tau, z: Normal(mu[:, None] + tau[:, None] * z, SIGMA).log_prob(Y).sum(-1),
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 5.0)),
            "tau": targets.Positive(prior=HalfCauchy(5.0)),
            "z": targets.Real(8, prior=Normal(0.0, 1.0)),
        },
    )


def rate(kernel: samplers.Kernel, target: targets.Target, steps: int) -> float:
    """Steps of all chains together in a second of the processor, the best of three times."""
    start = torch.zeros(CHAINS, target.dim, dtype=target.dtype)
    options: dict[str, Any] = {"chains": CHAINS, "warmup": 0, "seed": 0, "init": start}
    kernel.sample(target, draws=max(1, steps // 10), **options)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        kernel.sample(target, draws=steps // 3, **options)
        seconds.append(time.process_time() - began)
    return steps // 3 / min(seconds)


def trained(iterations: int) -> float:
    """Processor seconds of training a diffusion sampler."""
    target = targets.benchmark("gmm40-fab")
    prior = targets.Gaussian(torch.zeros(2), 30.0)
    began = time.process_time()
    samplers.DDS(steps=32, prior=prior).fit(target, iterations=iterations, seed=0)
    return time.process_time() - began


def whole(steps: int) -> float:
    """Processor seconds of a run with starts and warmup, as `HMC()` does it."""
    began = time.process_time()
    samplers.HMC().sample(schools(), chains=CHAINS, draws=steps, warmup=steps, seed=0)
    return time.process_time() - began


def main(steps: int) -> None:
    torch.set_num_threads(1)
    hmc, function = samplers.HMC(step_size=0.4, steps=5), lambda x: -0.5 * x.square().sum(-1)
    mixture = targets.benchmark("gmm40-fab")
    found = {
        "HMC, eight schools as a user's Posterior": rate(hmc, schools(), steps // 4),
        "HMC, eight schools built in": rate(hmc, targets.benchmark("eight-schools"), steps),
        "HMC, a function": rate(hmc, targets.LogDensity(function, 10, dtype=torch.float64), steps),
        "MALA, 40 Gaussians": rate(samplers.MALA(step_size=0.5), mixture, 2 * steps),
        "ULA, 40 Gaussians": rate(samplers.ULA(step_size=0.1), mixture, 2 * steps),
        "start-up: torch and both packages": 1 / IMPORTED,
        "the part of it after torch": 1 / (IMPORTED - TORCH),
        "a run of HMC() with starts and warmup": 1 / whole(steps // 8),
    }
    trained(2)
    few, many = (min(trained(n) for _ in range(3)) for n in (2, 32))
    found["an iteration of DDS"] = 30 / (many - few)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
