"""Evaluations until a kernel has forgotten where it began, against dimension and accuracy, beside the theory.

On N(0, I), from one typical point. A figure is the first time at which the bound from meeting times of coupled chains is
below epsilon; no distance to a known law is computed. Random walk, MALA and HMC take the steps of optimal scaling: d,
d^(1/3) and d^(1/4) evaluations. ULA has no test; its step is the largest whose invariant law is within epsilon / 2, which
is known here. The literature promises it d L^2 / epsilon^2 for any smooth log-concave density, here it needs less.
Prints tables and draws `mixing_time.png`. Arguments: largest dimension, pairs.
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

EPSILONS = (0.5, 0.25, 0.1, 0.05)
THEORY = {"random walk": 1.0, "MALA": 1 / 3, "HMC": 1 / 4, "ULA": 1.0}  # powers of d


def ula_bias(h, d):
    """Total variation between N(0, I) and N(0, I / (1 - h / 2)), which ULA leaves invariant."""
    wide = 1 / (1 - h / 2)
    radius = d * math.log(wide) / (1 - 1 / wide)
    return chi2.cdf(radius, d) - chi2.cdf(radius / wide, d)


def evaluations(name, d, epsilon, pairs):
    target, each, lag = targets.Gaussian(torch.zeros(d, dtype=torch.float64)), 1.0, 100
    if name == "random walk":
        kernel, lag = samplers.RandomWalkMetropolis(2.38 / d**0.5), 30 * d
    elif name == "MALA":
        kernel = samplers.MALA(1.36 * d ** (-1 / 3))
    elif name == "ULA":
        epsilon = epsilon / 2
        kernel = samplers.ULA(brentq(lambda h: ula_bias(h, d) - epsilon, 1e-9, 1.9))
    else:  # a tenth of the steps are of a random walk, by which chains meet
        n = math.ceil(1.5 / 1.2 * d**0.25)
        kernel, each = WithRandomWalk(samplers.HMC(1.5 / n, steps=n), scale=0.5 / d**0.5), 0.9 * n + 0.1
    found = meeting_times(kernel, target, lag=lag, pairs=pairs, max_steps=100_000, init=torch.ones(d))
    return each * found.mixing_time(epsilon)


def main(largest=128, pairs=400):
    dims = [2**i for i in (1, 3, 5, 7, 9) if 2**i <= largest]
    by_d = {name: [evaluations(name, d, 0.25, pairs) for d in dims] for name in THEORY}
    by_e = {name: [evaluations(name, dims[1], e, pairs) for e in EPSILONS] for name in THEORY}
    print("evaluations to a total variation of 0.25, by dimension")
    for name, n in by_d.items():
        slope = math.log(n[-1] / n[0]) / math.log(dims[-1] / dims[0])
        print(f"{name:12}", *(f"{k:8.0f}" for k in n), f"  as d^{slope:.2f}, theory d^{THEORY[name]:.2f}")
    print(f"by total variation, {', '.join(map(str, EPSILONS))}, in {dims[1]} dimensions")
    for name, n in by_e.items():
        print(f"{name:12}", *(f"{k:8.0f}" for k in n))
    sheet, tenth = Figure((10, 4.2), layout="constrained"), [1 / e for e in EPSILONS]
    left, right = sheet.subplots(1, 2)
    for (name, power), style in zip(THEORY.items(), ("s-", "o-", "^-", "x-"), strict=True):
        (line,) = left.loglog(dims, by_d[name], style, label=name)
        left.loglog(dims, [by_d[name][0] * (d / dims[0]) ** power for d in dims], ":", c=line.get_color())
        right.loglog(tenth, by_e[name], style, label=name)
    right.loglog(tenth, [by_e["ULA"][0] * (k * EPSILONS[0]) ** 2 for k in tenth], "k:", label="1 / epsilon$^2$")
    left.set(xlabel="dimension (dotted: theory)", ylabel="evaluations to a total variation of 0.25")
    right.set(xlabel=f"1 / epsilon, in {dims[1]} dimensions", ylabel="evaluations to a total variation of epsilon")
    right.legend(frameon=False)
    sheet.savefig("mixing_time.png", dpi=100)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
