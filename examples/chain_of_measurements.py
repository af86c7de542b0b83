"""From one mode to both: what m noisy measurements know of the target, histogram by histogram.

    python examples/chain_of_measurements.py [draws]

Two Gaussians in eight dimensions, 3 to either side of the origin in every coordinate, with weights 0.8 and 0.2. All
chains start in the lighter mode. The first measurement is so noisy that its density has a single mode; each further one
is drawn given those before it, and the mean E[X | y_1 .. y_m] sharpens into the target. A last draw of X given the
measurements is exact at every m. The picture is chain_of_measurements.png.
"""

import math
import sys

import torch
from matplotlib.figure import Figure
from scipy.stats import norm

import samplers
import targets

DIM, COUNTS = 8, (1, 4, 16, 64, 400)


def main(draws=4000):
    target = targets.benchmark(f"two-gaussians-unequal-d{DIM}")
    start = 3 + torch.randn(draws, DIM, generator=torch.Generator().manual_seed(1))
    sigma = math.sqrt(9 * DIM - 1)  # from here on the first measurement has a log-concave density
    figure = Figure(figsize=(14, 5), layout="constrained")
    panels = figure.subplots(2, len(COUNTS), sharex=True, sharey="row")
    grid = torch.linspace(-7, 7, 300)
    truth = 0.8 * norm.pdf(grid, -3) + 0.2 * norm.pdf(grid, 3)
    print(
        f"{'m':>4} {'sigma/sqrt(m)':>14} {'left, mean':>11} {'left, draw':>11} {'sd, mean':>9} {'sd, draw':>9}   exact"
    )
    for column, m in zip(panels.T, COUNTS, strict=True):
        row = []
        for axes, jump in zip(column, ("mean", "posterior"), strict=True):
            sampler = samplers.SequentialMultimeasurement(sigma=sigma, m=m, steps=2, first_steps=64, jump=jump)
            x = sampler.sample(target, draws=draws, init=start, seed=2).x[0, :, 0]
            row.append((float((x < 0).double().mean()), float(x.std())))
            axes.hist(
                x.numpy(), bins=100, range=(-7, 7), density=True, color="tab:orange" if jump == "mean" else "tab:green"
            )
            axes.plot(grid, truth, color="black", linewidth=1)
        column[0].set_title(f"m = {m}")
        (left_mean, sd_mean), (left_draw, sd_draw) = row
        print(
            f"{m:4d} {sigma / math.sqrt(m):14.3f} {left_mean:11.3f} {left_draw:11.3f} {sd_mean:9.3f} {sd_draw:9.3f}   "
            f"0.800 {math.sqrt(1 + 9 * 4 * 0.16):.3f}"
        )
    panels[0, 0].set(ylabel="E[X | measurements]", ylim=(0, 0.6))
    panels[1, 0].set(ylabel="X given measurements", ylim=(0, 0.4))
    for axes in panels[1]:
        axes.set_xlabel("first coordinate")
    figure.savefig("chain_of_measurements.png", dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
