"""Walk on the density of a noisy measurement, jump from there to the target: a picture of each step.

    python examples/walk_jump.py [chains]

Seven modes on a circle, with unequal weights. Measured with noise, the density has one mode, and a chain that starts in
a corner crosses it at once. From every measurement two jumps are made: to the mean E[X | y], as in the literature, and
to a draw of X given y, after which the weights of the modes are those of the target. The picture is walk_jump.png.
"""

import math
import sys

import torch
from matplotlib.figure import Figure

import samplers
import targets
from samplers.smoothing import Noisy

WEIGHTS = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]
SIGMA = 3.0


def circle():
    angle = 2 * math.pi * torch.arange(7, dtype=torch.float64) / 7
    return targets.GaussianMixture(5 * torch.stack([angle.cos(), angle.sin()], 1), scales=0.5, weights=WEIGHTS)


def background(axes, density, reach=8.0):
    """The density in grey."""
    line = torch.linspace(-reach, reach, 200, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    axes.imshow(density.log_prob(points).exp().numpy(), origin="lower", extent=[-reach, reach] * 2, cmap="Greys")
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[-5, 0, 5], yticks=[-5, 0, 5])


def main(chains=2000):
    target = circle()
    corner = torch.full((chains, 2), 4.0, dtype=torch.float64)
    both = {}
    for jump in ("mean", "posterior"):
        sampler = samplers.WalkJump(sigma=SIGMA, kernel=samplers.MALA(0.1), steps=1, jump=jump)
        both[jump] = sampler.sample(target, chains=chains, draws=50, warmup=0, init=corner, seed=1)
    shares = target.mode_probabilities(both["posterior"].x[:, -1]).mean(0)
    print("mode       " + "  ".join(f"{k:5d}" for k in range(7)))
    print("exact      " + "  ".join(f"{w:5.3f}" for w in WEIGHTS))
    print("walk-jump  " + "  ".join(f"{w:5.3f}" for w in shares.tolist()))
    print(f"largest error of a weight {float((shares - target.mode_weights).abs().max()):.3f}")
    noisy = Noisy(target, SIGMA)
    kernel, generator = samplers.MALA(0.1 * SIGMA**2), torch.Generator().manual_seed(3)
    state, path = kernel.init(noisy, corner[:1], generator), []
    for _ in range(60):
        path.append(state.x[0])
        state, _ = kernel.step(noisy, state, generator)
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    panels = figure.subplots(1, 4)
    titles = ("the target", "measured, and a walk", "jumps to the mean", "jumps to a draw given y")
    for axes, density, title in zip(panels, (target, noisy, target, target), titles, strict=True):
        background(axes, density, reach=12.0 if density is noisy else 8.0)
        axes.set_title(title)
    panels[1].plot(*torch.stack(path).T, "o-", color="tab:blue", markersize=3, linewidth=0.8)
    for axes, jump, colour in zip(panels[2:], both, ("tab:orange", "tab:green"), strict=True):
        axes.plot(*both[jump].x[:, -1].T, ".", color=colour, markersize=1.5, alpha=0.7)
    figure.savefig("walk_jump.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
