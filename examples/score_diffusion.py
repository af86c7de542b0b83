"""A diffusion model learned from samples of a Swiss roll: data, draws, density, and paths of the reverse process.

    python examples/score_diffusion.py [iterations]

The roll is a mixture of a hundred narrow Gaussians along a spiral, so that its density is known, and with it the exact
divergence of the model. 2,000 iterations take a minute. The picture is score_diffusion.png.
"""

import math
import sys

import torch
from matplotlib.figure import Figure

import targets
from samplers import ScoreDiffusion
from samplers.generative import ScoreMLP
from samplers.generative.solvers import DPMSolver2M

REACH, CELLS = 4.0, 40


def roll():
    turn = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 100)
    spiral = 0.25 * turn[:, None] * torch.stack([turn.cos(), turn.sin()], 1)
    return targets.GaussianMixture(spiral, scales=0.12, name="Swiss roll")


def divergence(target, log_prob, x):
    return float((target.log_prob(x).double() - log_prob).mean())


def main(iterations=2000):
    target = roll()
    train, test = (target.sample(n, generator=torch.Generator().manual_seed(n)) for n in (20_000, 500))
    fitted = ScoreDiffusion(network=ScoreMLP(width=64)).fit(train, iterations=iterations)
    gaussian = targets.Gaussian(train.mean(0), covariance=torch.cov(train.mT))
    print(f"KL of the Gaussian of the samples' moments {divergence(target, gaussian.log_prob(test), test):.3f}")
    print(f"KL of the model                            {divergence(target, fitted.log_prob(test), test):.3f}")
    print(f"bound of the log-density {fitted.elbo(test[:200]).mean[0]:.3f}, ", end="")
    print(f"exact {float(target.log_prob(test[:200]).mean()):.3f}")
    draws = fitted.sample(draws=4000, seed=1).x[0]
    line = torch.linspace(-REACH, REACH, CELLS)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    density = fitted.log_prob(grid.reshape(-1, 2)).exp().reshape(CELLS, CELLS)
    solver, generator = DPMSolver2M(steps=50), torch.Generator().manual_seed(2)
    start = fitted.prior.sample(12, generator=generator)
    with torch.no_grad():
        states = solver.solve(fitted.score, fitted.process, start, generator, trajectory=True)
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    panels = figure.subplots(1, 4)
    for axes, points, title in zip(panels, (train[:4000], draws), ("samples", "draws of the model"), strict=False):
        axes.plot(*points.T, ".", markersize=1.5, alpha=0.5)
        axes.set_title(title)
    panels[2].imshow(density.numpy(), origin="lower", extent=[-REACH, REACH] * 2, cmap="Greys", interpolation="bicubic")
    panels[2].set_title("density of the model")
    paths = torch.stack([fitted.transformation.inverse(state) for state in states]).numpy()
    panels[3].plot(paths[..., 0], paths[..., 1], linewidth=0.8)
    panels[3].plot(*paths[-1].T, "k.", markersize=4)
    panels[3].set_title("from noise to data")
    for axes in panels:
        axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[], yticks=[], aspect="equal")
    figure.savefig("score_diffusion.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
