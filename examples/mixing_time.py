"""Evaluations until a kernel has forgotten where it began, against dimension and accuracy, beside the theory.

On N(0, I), from a point at the distance sqrt(d) of the mean, which must decay: a factor log(sqrt(d) / 0.6). A figure is
the first time at which the bound from meeting times of coupled chains is below epsilon. Random walk, MALA and HMC take
steps by optimal scaling. ULA takes the largest step whose law is within epsilon / 2, known here; for smooth log-concave
densities the literature promises d / epsilon^2. Arguments: largest dimension, pairs. Draws `mixing_time.png`.
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
    n = math.ceil(1.25 * d**0.25)  # leapfrogs of HMC
    epsilon = epsilon / 2 if name == "ULA" else epsilon
    kernel = {
        "random walk": lambda: samplers.RandomWalkMetropolis(2.38 / d**0.5),
        "MALA": lambda: samplers.MALA(1.36 * d ** (-1 / 3)),
        "HMC": lambda: WithRandomWalk(samplers.HMC(1.5 / n, steps=n), scale=0.5 / d**0.5),  # a tenth of the steps walk
        "ULA": lambda: samplers.ULA(brentq(lambda h: ula_bias(h, d) - epsilon, 1e-9, 1.9)),
    }[name]()
    target = targets.Gaussian(torch.zeros(d).double())
    found = meeting_times(kernel, target, lag=100 + 8 * d, pairs=pairs, max_steps=100_000, init=torch.ones(d))
    return found.mixing_time(epsilon) * (0.9 * n + 0.1 if name == "HMC" else 1)


def main(largest=108, pairs=400):
    dims = [4 * 3**i for i in range(6) if 4 * 3**i <= largest]
    decay, tenth = [math.log(d**0.5 / 0.6) for d in dims], [1 / e for e in EPSILONS]
    left, right = (sheet := Figure((10, 4.2), layout="constrained")).subplots(1, 2)
    print(f"evaluations to a total variation of 0.25 in {dims} dimensions; to {EPSILONS} in 8")
    for (name, power), style in zip(THEORY.items(), ("s-", "o-", "^-", "x-"), strict=True):
        n, by_e = [evaluations(name, d, 0.25, pairs) for d in dims], [evaluations(name, 8, e, pairs) for e in EPSILONS]
        slope = math.log(n[-1] / decay[-1] / n[0] * decay[0]) / math.log(dims[-1] / dims[0])
        rows = [" ".join(f"{k:6.0f}" for k in some) for some in (n, by_e)]
        print(f"{name:12} {rows[0]}   grows as d^{slope:.2f} log d, theory d^{power:.2f} log d;  {rows[1]}")
        (line,) = left.loglog(dims, n, style, label=name)
        guide = [n[-1] * (d / dims[-1]) ** power * k / decay[-1] for d, k in zip(dims, decay, strict=True)]
        left.loglog(dims, guide, ":", c=line.get_color())
        right.loglog(tenth, by_e, style, label=name)
    right.loglog(tenth, [by_e[0] * (k * EPSILONS[0]) ** 2 for k in tenth], "k:", label="1 / epsilon$^2$")
    for ax, ticks in ((left, dims), (right, tenth)):
        ax.set_xticks(ticks, [f"{k:g}" for k in ticks]), ax.minorticks_off()
    left.set(xlabel="dimension d (dotted: theory, times log d)", ylabel="evaluations to 0.25")
    right.set(xlabel="1 / epsilon, in 8 dimensions", ylabel="evaluations to epsilon"), right.legend(frameon=False)
    sheet.savefig("mixing_time.png", dpi=100)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
