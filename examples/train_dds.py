"""Train a denoising diffusion sampler on nine modes from their energy alone, in about a minute.

    python examples/train_dds.py [iterations]

Paths start as Gaussian noise and end at the target. What the network has learned is shown by the bound on log Z (the
truth is 0), the share of effective draws and the weights of the modes; the picture train_dds.png shows the paths
before training and after it, and what they left of log Z on the way.
"""

import sys

import torch
from matplotlib.figure import Figure

import samplers
import targets
from samplers.path_measures.simulation import simulate

PATHS = 1500


def paths(fitted):
    """States (steps + 1, n, 2) of a few paths, in the coordinates of the target."""
    seen = fitted.space.seen(fitted.target)
    found = simulate(fitted.measure, seen, PATHS, torch.Generator().manual_seed(5), keep=True)
    return seen.to_x(found.points.x)


def main(iterations=400):
    target = targets.benchmark("gmm9")
    method = samplers.DDS(prior="gaussian")
    untrained = method.fit(target, seed=0, iterations=0)
    fitted = method.fit(target, seed=0, iterations=iterations)
    draws = fitted.sample(draws=4000, seed=1)
    share = draws.log_weights[0].softmax(0)
    modes = (share[:, None] * target.mode_probabilities(draws.x[0])).sum(0)
    print(f"trained in {fitted.cost.seconds:.0f} s with {fitted.cost.score:,} scores")
    print(f"log Z {draws.log_z.value:.3f} +- {draws.log_z.standard_error:.3f}, bound {draws.log_z.lower:.3f}, truth 0")
    print(f"effective draws {draws.attrs['ess']:.0%}, Pareto k-hat {draws.attrs['pareto_k']:.2f}")
    print(f"weights of the modes from {float(modes.min()):.3f} to {float(modes.max()):.3f}, truth {1 / 9:.3f}")
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    for row, (name, sampler) in zip(figure.subplots(2, 5), {"before": untrained, "after": fitted}.items(), strict=True):
        states = paths(sampler)
        steps = len(states) - 1
        for axes, k in zip(row, (0, steps // 4, steps // 2, 3 * steps // 4, steps), strict=True):
            axes.plot(*states[k].T, ".", color="tab:blue", markersize=1.2, alpha=0.6)
            axes.plot(*target.modes.T, "+", color="black", markersize=7)
            if k == steps and name == "after":
                axes.plot(*states[:, :6].permute(1, 2, 0)[0], color="tab:orange", linewidth=0.8)
            axes.set(title=f"{name} training, step {k}", xlim=(-12, 12), ylim=(-12, 12), aspect="equal")
    figure.savefig("train_dds.png", dpi=110)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
