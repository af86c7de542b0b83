"""Chains whose law at every time is known exactly, beside which bounds from meeting times are held.

On the line a grid carries the law: densities times the width of a cell, and what is rejected stays where it is.
"""

import math
from dataclasses import dataclass

import torch
from coupling_cases import DOUBLE, row
from coupling_pairs import total_variation
from every_outcome import matrix_of
from scipy.stats import norm

import targets
from samplers import HMC, MALA, ULA, Gibbs, Kernel, RandomWalkMetropolis, SwendsenWang, WalkJump, diagnostics
from samplers.diagnostics.couplings import WithRandomWalk
from samplers.testing import statistics
from samplers.testing.sequential_rule import sequential

WIDTH, EDGE = 0.02, 8.0
GRID = torch.arange(-EDGE, EDGE + WIDTH / 2, WIDTH, dtype=DOUBLE)
NORMAL = targets.Gaussian(row(0.0))
TWO_MODES = targets.GaussianMixture(row([-1.5], [1.5]), scales=0.6, weights=[0.6, 0.4])


@dataclass(frozen=True)
class Case:
    """exact(longest): total variation to the invariant law after t = 0 .. longest steps from `init`."""

    kernel: Kernel
    target: targets.Target
    init: object
    lag: int
    exact: object


def normal_density(x, mean, scale):
    return torch.exp(-0.5 * ((x - mean) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))


def moved_to(density, accepted):
    """The matrix of proposals with that density (from, to) that are accepted with that probability."""
    matrix = density * WIDTH * accepted
    return matrix + torch.diag(1 - matrix.sum(1))


def random_walk(target, h):
    x, y = GRID[:, None], GRID[None]
    gain = target.log_prob(y.T)[None] - target.log_prob(x)[:, None]
    return moved_to(normal_density(y, x, h), gain.clamp_max(0.0).exp())


def mala(target, h):
    x, y = GRID[:, None], GRID[None]
    ahead, value = x + h * target.score(x), target.log_prob(x)
    q = normal_density(y, ahead, math.sqrt(2 * h))
    log_q = -((y - ahead) ** 2) / (4 * h)
    ratio = value[None] - value[:, None] + log_q.T - log_q
    return moved_to(q, ratio.clamp_max(0.0).exp())


def leapfrogs(e, n):
    """On N(0, 1): (x', p') = [[a, b], [c, d]] (x, p), so that x' is N(a x, b^2) and p = (x' - a x) / b."""
    one = row([1 - e * e / 2, e], [-e * (1 - e * e / 4), 1 - e * e / 2])
    (a, b), (c, d) = torch.linalg.matrix_power(one, n).tolist()
    x, y = GRID[:, None], GRID[None]
    p = (y - a * x) / b
    lost = 0.5 * (x**2 + p**2 - y**2 - (c * x + d * p) ** 2)
    return moved_to(normal_density(y, a * x, abs(b)), lost.clamp_max(0.0).exp())


def on_grid(target, *parts, start=None, at=None):
    """Total variation by a mixture of matrices (weight, matrix), from a point `at`, which is of the grid, or a law."""

    def exact(longest):
        matrix = sum(weight * part() for weight, part in parts)
        stationary = target.log_prob(GRID[:, None]).softmax(0)
        law = start
        if law is None:
            law = torch.zeros_like(GRID)
            law[(GRID - at).abs().argmin()] = 1.0
        return total_variation(law, matrix, stationary, longest)

    return exact


def ula(h, at):
    """AR(1): x' = (1 - h) x + sqrt(2h) xi on N(0, 1); its own invariant law is N(0, 1 / (1 - h / 2))."""

    def exact(longest):
        found, last = [1.0], 1 / (1 - h / 2)
        for t in range(1, longest + 1):
            mean, variance = (1 - h) ** t * at, last * (1 - (1 - h) ** (2 * t))
            gap = normal_density(GRID, mean, math.sqrt(variance)) - normal_density(GRID, 0.0, math.sqrt(last))
            found.append(0.5 * WIDTH * float(gap.abs().sum()))
        return torch.tensor(found, dtype=DOUBLE)

    return exact


def walk_of_measurement(h, at):
    """MALA in units of the noise on y ~ N(0, 2), from Y = `at` + N(0, 1)."""
    law = normal_density(GRID, at, 1.0) * WIDTH
    wide = targets.Gaussian(row(0.0), math.sqrt(2))
    return on_grid(wide, (1, lambda: mala(wide, h)), start=law)


def heat_bath(target):
    """The matrix of a sweep through the sites by number, from the conditional laws alone."""
    states = target.enumerate()
    n, sweep = len(states), torch.eye(len(states), dtype=DOUBLE)
    for site in range(target.dim):
        law = target.conditional_logits(states, torch.tensor([site]))[:, 0].double().softmax(-1)
        bit = 2 ** (target.dim - 1 - site)
        up = states[:, site] > 0
        index = torch.arange(n)
        down, above = torch.where(up, index - bit, index), torch.where(up, index, index + bit)
        into = torch.zeros(n, n, dtype=DOUBLE).index_add_(1, down, sweep * law[:, 0])
        sweep = into.index_add_(1, above, sweep * law[:, 1])
    return sweep


def on_spins(target, matrix):
    """From all spins up."""

    def exact(longest):
        start = torch.zeros(2**target.dim, dtype=DOUBLE)
        start[-1] = 1.0
        return total_variation(start, matrix(), target.log_prob(target.enumerate()).double().softmax(0), longest)

    return exact


RING = targets.Ising((4,), coupling=0.5, field=0.1, dtype=DOUBLE)
TEN = targets.Ising((2, 5), coupling=0.3, field=0.05, periodic=False, dtype=DOUBLE)
NINE = targets.Ising((3, 3), coupling=0.3, dtype=DOUBLE)
UP = {n: torch.ones(n) for n in (4, 9, 10)}
THREE = row(3.0)
CASES = {
    "random walk on a Gaussian": Case(
        RandomWalkMetropolis(1.5), NORMAL, THREE, 60, on_grid(NORMAL, (1, lambda: random_walk(NORMAL, 1.5)), at=3.0)
    ),
    "MALA on a Gaussian": Case(MALA(0.2), NORMAL, THREE, 40, on_grid(NORMAL, (1, lambda: mala(NORMAL, 0.2)), at=3.0)),
    "ULA on a Gaussian": Case(ULA(0.1), NORMAL, THREE, 60, ula(0.1, 3.0)),
    # HMC with steps so short that it takes longer to mix than to wait for a step by which chains can meet
    "HMC on a Gaussian": Case(
        HMC(0.25, trajectory_length=0.5),
        NORMAL,
        THREE,
        80,
        on_grid(NORMAL, *((1 / 2, lambda n=n: leapfrogs(0.25, n)) for n in (1, 2)), at=3.0),
    ),
    "HMC with a random walk": Case(
        WithRandomWalk(HMC(0.15, steps=3), scale=0.4, share=0.3),
        NORMAL,
        THREE,
        80,
        on_grid(NORMAL, (0.7, lambda: leapfrogs(0.15, 3)), (0.3, lambda: random_walk(NORMAL, 0.4)), at=3.0),
    ),
    "walk-jump on a Gaussian": Case(
        WalkJump(sigma=1.0, kernel=MALA(0.3, "identity"), steps=1), NORMAL, THREE, 40, walk_of_measurement(0.3, 3.0)
    ),
    "random walk between two modes": Case(
        RandomWalkMetropolis(1.0),
        TWO_MODES,
        row(1.5),
        300,
        on_grid(TWO_MODES, (1, lambda: random_walk(TWO_MODES, 1.0)), at=1.5),
    ),
    "MALA between two modes": Case(
        MALA(0.25), TWO_MODES, row(1.5), 300, on_grid(TWO_MODES, (1, lambda: mala(TWO_MODES, 0.25)), at=1.5)
    ),
    "Gibbs on 9 spins": Case(Gibbs("sequential"), NINE, UP[9], 40, on_spins(NINE, lambda: heat_bath(NINE))),
    "Gibbs on 10 spins": Case(Gibbs("sequential"), TEN, UP[10], 40, on_spins(TEN, lambda: heat_bath(TEN))),
    "Swendsen-Wang on 4 spins": Case(
        SwendsenWang(), RING, UP[4], 30, on_spins(RING, lambda: matrix_of(SwendsenWang(), RING))
    ),
}
TIMES = 3  # the bound is no more than so many times the exact distance where that is .1


def last_above(exact, level):
    return int((exact >= level).nonzero()[-1])


def check_bounds(name, pairs=2000):
    """At every t the mean of the bounds is at least the exact distance, and where that is .1, within 3 times of it.

    One-sided z-tests by the sequential rule, where the exact distance is that of at least 100 pairs.
    """
    case = CASES[name]
    exact = case.exact(400)
    assert float(exact[-1]) < 0.01

    def p_values(stage, n):
        seed = statistics.seeds(13, stage, 1)[0]
        found = diagnostics.meeting_times(
            case.kernel, case.target, lag=case.lag, pairs=n, max_steps=20_000, seed=seed, init=case.init
        )
        each = {}
        for t in range(last_above(exact, 100 / n) + 1):
            mean, error = mean_and_error(found, t)
            each[f"bound {mean:.4f} at {t}, exactly {float(exact[t]):.4f}"] = at_least(float(exact[t]), mean, error)
        t = last_above(exact, 0.1)
        mean, error = mean_and_error(found, t)
        near = at_least(-TIMES * float(exact[t]), -mean, error)
        each[f"bound {mean:.3f} at {t}, within {TIMES} x {float(exact[t]):.3f}"] = near
        return each

    return sequential(f"bounds of {name}", pairs, p_values)


def mean_and_error(found, t):
    """As upper_bound, before it is cut off at 1."""
    each = found._each(torch.tensor(t))
    return float(each.mean()), float(each.std()) / math.sqrt(len(each))


def at_least(value, mean, error):
    """One-sided p-value of an expectation of at least that value; without an error, whether it is."""
    return float(norm.cdf((mean - value) / error)) if error else float(mean >= value - 1e-9)
