"""How hard each measurement is: condition numbers, and the bound of the Hessian, along the measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from samplers.smoothing.concavity import (
    joint_condition_number,
    log_concave_from,
    sequential_condition_number,
    threshold,
    zeta,
)
from samplers.smoothing.spread import Spread

POINTS = 60
JOINT, SEQUENTIAL, PAPER = "#b5542c", "#1f4e79", "#c8c8c8"
SHARES = ((0.25, 0.475), (0.5, 0.6), (1.0, 1.0))  # of sigma, and how dark their lines are


def concavity_figure(path: str | Path, spread: Spread, sigma: float, m: int, title: str) -> Path:
    """Write the figure; its format is the suffix of `path`. sigma: of the noise, in the unit of the spread's R and tau.

    Left, for a Gaussian with the covariance of X: the condition number of m measurements at once, and of the last given
    the others. Right: zeta(m) sigma^2, below which the eigenvalues of the Hessian of log p(y_m | y_1 .. y_{m-1}) lie in
    units of the noise; where it is positive, that law need not be log-concave.
    """
    from matplotlib.figure import Figure

    radius, tau, variances = spread.radius, spread.tau, spread.variances
    figure = Figure(figsize=(9.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = sorted({round(count) for count in np.geomspace(1, max(m, 2), POINTS)})
    joint = [joint_condition_number(variances, sigma, count) for count in counts]
    last = [sequential_condition_number(variances, sigma, count) for count in counts]
    left.plot(counts, joint, color=JOINT, label="all m at once")
    left.plot(counts, last, color=SEQUENTIAL, label="the last given the others")
    left.set(yscale="log", ylim=(0.9, 1.3 * max(*joint, *last, 2.0)), ylabel="condition number")
    left.set_title("Gaussian with the covariance of X", fontsize=10)
    for share, alpha in SHARES:
        noise = share * sigma
        first = log_concave_from(noise, radius, tau)
        when = "never below 0" if first is None else f"below 0 from m = {first} on"
        name = "$\\sigma$" if share == 1 else f"$\\sigma$ / {1 / share:g}"
        values = [zeta(count, noise, radius, tau) * noise**2 for count in counts]
        right.plot(counts, values, color=SEQUENTIAL, alpha=alpha, label=f"{name}: {when}")
    right.axhline(0, color="black", linewidth=0.8)
    right.axhspan(-1.05, 0, color=PAPER, alpha=0.25, zorder=0)
    right.text(0.98 * counts[-1], -0.03, "log-concave", ha="right", va="top", fontsize=9, color="#555555")
    right.set_yscale("symlog", linthresh=1.0)
    right.set(ylim=(-1.05, max(0.3, right.get_ylim()[1])), ylabel="bound of the Hessian, times $\\sigma^2$")
    least = threshold(radius, tau)
    right.set_title(
        f"R = {radius:.4g}, $\\tau$ = {tau:.3g}: bound below 0 for $\\sigma$ from {least:.4g} on", fontsize=10
    )
    for ax, where in ((left, "upper left"), (right, "best")):
        ax.set(xscale="log", xlim=(1, counts[-1]), xlabel="measurement m")
        ax.grid(which="major", color=PAPER, linewidth=0.5, alpha=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=9, loc=where)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
    return Path(path)
