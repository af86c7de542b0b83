"""How many evaluations kernels need to forget where they began, against dimension and accuracy, beside the theory.

On N(0, I), from one typical point. Each figure is the first time at which the bound from meeting times of coupled chains
is below epsilon: no distance to a known law is computed. Random walk, MALA and HMC have a test, and steps that fall with
the dimension as their optimal scaling says: d, d^(1/3) and d^(1/4) evaluations, times log(1 / epsilon). ULA has none: its
step is the largest whose invariant law is within epsilon / 2, known here; for any smooth log-concave density the
literature promises d / epsilon^2. Prints a table and draws `mixing_time.png`. Arguments: largest dimension, pairs.
"""

import math
import sys

import torch
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.stats import chi2

import samplers
import targets
from samplers.diagnostics.couplings import WithRandomWalk, meeting_times

EPSILONS = (0.5, 0.25, 0.1, 0.05, 0.02)
THEORY = {"random walk": 1.0, "MALA": 1 / 3, "HMC": 1 / 4, "ULA": 1.0}  # powers of d
STYLES = dict(zip(THEORY, ("s-", "o-", "^-", "x-"), strict=True))


def ula_bias(h, d):
    """Total variation between N(0, I) and N(0, I / (1 - h / 2)), which ULA leaves invariant."""
    wide = 1 / (1 - h / 2)
    radius = d * math.log(wide) / (1 - 1 / wide)
    return chi2.cdf(radius, d) - chi2.cdf(radius / wide, d)


def kernel(name, d, epsilon):
    """With its step size for d dimensions, and how many evaluations a step takes."""
    if name == "random walk":
        return samplers.RandomWalkMetropolis(2.38 / d**0.5), 1
    if name == "MALA":
        return samplers.MALA(1.36 * d ** (-1 / 3)), 1
    if name == "ULA":
        return samplers.ULA(brentq(lambda h: ula_bias(h, d) - epsilon / 2, 1e-9, 1.5)), 1
    step = 1.2 * d**-0.25
    n = math.ceil(1.5 / step)
    return WithRandomWalk(samplers.HMC(step, steps=n), scale=0.5 / d**0.5, share=0.1), 0.9 * n + 0.1


def evaluations(name, d, epsilon, pairs):
    chosen, each = kernel(name, d, epsilon)
    target = targets.Gaussian(torch.zeros(d, dtype=torch.float64))
    lag = 40 * d if name == "random walk" else 100
    found = meeting_times(chosen, target, lag=lag, pairs=pairs, max_steps=100_000, init=torch.ones(d))
    return each * found.mixing_time(epsilon / 2 if name == "ULA" else epsilon)


def main(largest=64, pairs=400):
    dims = [2 ** (2 * i + 1) for i in range(10) if 2 ** (2 * i + 1) <= largest]
    by_dim = {name: [evaluations(name, d, 0.25, pairs) for d in dims] for name in THEORY}
    by_epsilon = {name: [evaluations(name, 8, e, pairs) for e in EPSILONS] for name in THEORY}
    print("evaluations until the total variation is below 0.25, by dimension")
    for name, found in by_dim.items():
        slope = math.log(found[-1] / found[0]) / math.log(dims[-1] / dims[0])
        cells = "  ".join(f"{d}: {n:.0f}" for d, n in zip(dims, found, strict=True))
        print(f"{name:12} {cells}   grows as d^{slope:.2f}, theory d^{THEORY[name]:.2f}")
    print("in 8 dimensions, by epsilon")
    for name, found in by_epsilon.items():
        print(f"{name:12} " + "  ".join(f"{e}: {n:.0f}" for e, n in zip(EPSILONS, found, strict=True)))
    draw(dims, by_dim, by_epsilon)


def draw(dims, by_dim, by_epsilon):
    sheet = Figure((11, 4.4), layout="constrained")
    left, right = sheet.subplots(1, 2)
    for name, style in STYLES.items():
        (line,) = left.loglog(dims, by_dim[name], style, label=name)
        guide = [by_dim[name][-1] * (d / dims[-1]) ** THEORY[name] for d in dims]
        left.loglog(dims, guide, ":", c=line.get_color())
        right.loglog([1 / e for e in EPSILONS], by_epsilon[name], style, label=name)
    worst = [by_epsilon["ULA"][0] * (EPSILONS[0] / e) ** 2 for e in EPSILONS]
    right.loglog([1 / e for e in EPSILONS], worst, "k:", label="1 / epsilon$^2$")
    left.set(xlabel="dimension (dotted: theory)", ylabel="evaluations to a total variation of 0.25")
    right.set(xlabel="1 / epsilon, in 8 dimensions", ylabel="evaluations to epsilon")
    left.legend(frameon=False), right.legend(frameon=False)
    sheet.savefig("mixing_time.png", dpi=110)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
