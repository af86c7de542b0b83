"""Schroedinger bridges from a Gaussian to eight: paths for little and much noise, plans both ways, and log Z.

    python examples/schroedinger_bridge.py [iterations]

With little noise the plan is near optimal transport, with much it forgets the start. The eight are also an energy:
draws get exact weights. 300 iterations take half a minute. The picture is schroedinger_bridge.png.
"""

import math
import sys

import torch
from matplotlib.figure import Figure

import targets
from samplers import SchroedingerBridge
from samplers.diagnostics import floored, sliced_wasserstein
from samplers.generative.bridges import MixturePotentials

NOISES, SHOWN = (0.1, 1.0, 8.0), 60


def ends():
    angle = torch.arange(8) * (math.pi / 4)
    circle = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    start = targets.Gaussian(torch.tensor([-7.0, 0.0]), scale=0.8, name="start")
    return start, targets.GaussianMixture(circle, scales=0.3, name="eight")


def main(iterations=300):
    start, end = ends()
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    panels = figure.subplots(1, 4)
    print("noise  E|x - y|^2 / 2  sliced W2 at the end (floor)  at the start (floor)")
    for noise, axes in zip(NOISES, panels, strict=False):
        method = MixturePotentials(components=20)
        fitted = SchroedingerBridge(noise=noise, method=method).fit(start, end, iterations=iterations)
        x, y = fitted.plan(2000, seed=1)
        cost = float((x - y).square().sum(1).mean()) / 2
        found = [
            floored(sliced_wasserstein, fitted.sample(draws=2000, seed=2, direction=way).x[0], law)
            for way, law in (("forward", end), ("backward", start))
        ]
        distances = [f"{one.value:.3f} ({one.floor:.3f})" for one in found]
        print(f"{noise:5.1f}  {cost:14.2f}  {distances[0]:>28}  {distances[1]:>20}")
        times = torch.linspace(0, 1, 101).tolist()
        paths = fitted.path(x[:SHOWN], times=times, seed=4)
        axes.plot(paths[..., 0], paths[..., 1], linewidth=0.5, alpha=0.6)
        axes.plot(*y.T, "k.", markersize=1, alpha=0.4)
        axes.set_title(f"noise {noise:g}")
        if noise == NOISES[1]:
            drawn = fitted.weigh(end, draws=2000, seed=3)
            for t, state in zip((0, 0.25, 0.5, 0.75, 1), fitted.path(x, times=[0, 0.25, 0.5, 0.75, 1]), strict=True):
                panels[3].plot(*state.T, ".", markersize=1.5, alpha=0.4, label=f"t = {t:g}")
            panels[3].set_title(f"states in between, noise {noise:g}")
            panels[3].legend(loc="lower left", fontsize=7, markerscale=5)
    for axes in panels:
        axes.set(xlim=(-10, 4.5), ylim=(-5, 5), xticks=[], yticks=[], aspect="equal")
    z = drawn.log_z
    print(f"log Z of the eight {z.value:.3f} +- {z.standard_error:.3f}, exact 0; {drawn.attrs['ess']:.0%} effective")
    figure.savefig("schroedinger_bridge.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
