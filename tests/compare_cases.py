"""Samplers whose faults are planted, and ways to fail; shared by the tests of the comparison."""

import math
import os
import sys
import time

import torch

from samplers import Cost, Draws, LogZ


def exact(target, seed, n):
    return target.sample(n, generator=torch.Generator().manual_seed(seed))


class Exact:
    """Exact draws as chains; `shift` and `scale` make them wrong, `stream` makes others of the same law."""

    def __init__(self, shift=0.0, scale=1.0, stream=0):
        self.shift, self.scale, self.stream = shift, scale, stream

    def sample(self, target, *, chains=8, draws=250, seed=0):
        x = exact(target, seed + 1000 * self.stream, chains * draws) * self.scale
        x[:, 0] += self.shift
        return Draws(x.reshape(chains, draws, -1), target=target, cost=Cost(len(x), len(x), 0.01))


class OneMode:
    """Exact draws of the half line x[0] < 0, which is one of two modes."""

    def sample(self, target, *, chains=8, draws=250, seed=0):
        x = exact(target, seed, 8 * chains * draws)
        x = x[x[:, 0] < 0][: chains * draws]
        return Draws(x.reshape(chains, draws, -1), target=target, cost=Cost(len(x), len(x), 0.01))


class NoisyLangevin:
    """ULA whose noise is 5 % too large, with steps so small that its own bias is not seen."""

    def sample(self, target, *, chains=64, draws=500, seed=0):
        g = torch.Generator().manual_seed(seed)
        x = exact(target, seed, chains)
        kept = torch.empty(draws, *x.shape, dtype=x.dtype)
        h = 0.02
        for t in range(draws * 40):
            noise = torch.randn(x.shape, generator=g, dtype=x.dtype)
            x = x + h * target.score(x) + 1.05 * math.sqrt(2 * h) * noise
            if t % 40 == 39:
                kept[t // 40] = x
        return Draws(kept.transpose(0, 1), target=target, cost=Cost(0, draws * 40 * chains, 1.0))


class NarrowImportance:
    """Importance sampling from a Gaussian too narrow: the variance of the weights is infinite."""

    def sample(self, target, *, draws=2000, seed=0):
        g = torch.Generator().manual_seed(seed)
        scale = 0.3
        x = scale * torch.randn(draws, target.dim, generator=g, dtype=torch.float64)
        log_q = -0.5 * (x / scale).square().sum(-1) - target.dim * (math.log(scale) + 0.5 * math.log(2 * math.pi))
        log_w = target.log_prob(x) - log_q
        value = float(log_w.logsumexp(0)) - math.log(draws)
        return Draws(
            x[None], log_weights=log_w[None], log_z=LogZ(value, 0.01), target=target, cost=Cost(draws, 0, 0.01)
        )


class DoubledJacobian:
    """Draws of eight schools by log tau with the Jacobian tau counted twice: they follow p(tau) tau."""

    def sample(self, target, *, chains=8, draws=500, seed=0):
        g = torch.Generator().manual_seed(seed)
        x = target.sample(20 * chains * draws, generator=g)
        x = x[torch.multinomial(x[:, 1].exp(), chains * draws, generator=g)]
        return Draws(x.reshape(chains, draws, -1), target=target, cost=Cost(len(x), len(x), 0.01))


class Crash:
    def sample(self, target, *, seed=0):
        os.kill(os.getpid(), 11)


class Exit:
    def sample(self, target, *, seed=0):
        print("a last word", file=sys.stderr)
        os._exit(3)


class Hang:
    def sample(self, target, *, seed=0):
        time.sleep(60)


class Refuse:
    def sample(self, target, *, seed=0):
        raise ValueError("target: not for me")
