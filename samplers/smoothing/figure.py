"""How hard each measurement is: condition numbers, and the bound of the Hessian, along the measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from samplers.smoothing.concavity import (
    joint_condition_number,
    log_concave_from,
    sequential_condition_number,
    threshold,
    zeta,
)

POINTS = 60
JOINT, SEQUENTIAL, PAPER = "#b5542c", "#1f4e79", "#c8c8c8"
SMALLER = (0.25, 0.5)  # of sigma, shown beside it


def concavity_figure(
    path: str | Path,
    variances: Tensor,
    sigma: float,
    m: int,
    *,
    radius: float,
    tau: float,
    title: str | None = None,
) -> Path:
    """Write the figure; its format is the suffix of `path`.

    Left, for a Gaussian whose covariance has the eigenvalues `variances` (dim,): the condition number of m
    measurements at once, and of the last given the others. Right: zeta(m) sigma^2, below which the eigenvalues of the
    Hessian of log p(y_m | y_1 .. y_{m-1}) lie in units of the noise; where it is positive, that law need not be
    log-concave.
    """
    from matplotlib.figure import Figure

    path = Path(path)
    figure = Figure(figsize=(9.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = sorted({round(count) for count in np.geomspace(1, max(m, 2), POINTS)})
    _condition_numbers(left, variances, sigma, counts)
    _bounds(right, sigma, radius, tau, counts)
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlim(1, counts[-1])
        ax.set_xlabel("measurement m")
        ax.grid(which="major", color=PAPER, linewidth=0.5, alpha=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    if title is not None:
        figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
    return path


def _condition_numbers(ax: Any, variances: Tensor, sigma: float, counts: list[int]) -> None:
    joint = [joint_condition_number(variances, sigma, count) for count in counts]
    last = [sequential_condition_number(variances, sigma, count) for count in counts]
    ax.plot(counts, joint, color=JOINT, label="all m at once")
    ax.plot(counts, last, color=SEQUENTIAL, label="the last given the others")
    ax.set_yscale("log")
    ax.set_ylim(0.9, 1.3 * max(*joint, *last, 2.0))
    ax.set_ylabel("condition number")
    ax.set_title("Gaussian with the covariance of X", fontsize=10)
    ax.legend(frameon=False, fontsize=9, loc="upper left")


def _bounds(ax: Any, sigma: float, radius: float, tau: float, counts: list[int]) -> None:
    for share, alpha in (*((share, 0.35 + share / 2) for share in SMALLER), (1.0, 1.0)):
        noise = share * sigma
        values = [zeta(count, noise, radius, tau) * noise**2 for count in counts]
        first = log_concave_from(noise, radius, tau)
        when = "never below 0" if first is None else f"below 0 from m = {first} on"
        name = "$\\sigma$" if share == 1 else f"$\\sigma$ / {1 / share:g}"
        ax.plot(counts, values, color=SEQUENTIAL, alpha=alpha, label=f"{name}: {when}")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.axhspan(-1.05, 0, color=PAPER, alpha=0.25, zorder=0)
    ax.text(0.98 * counts[-1], -0.03, "log-concave", ha="right", va="top", fontsize=9, color="#555555")
    ax.set_yscale("symlog", linthresh=1.0)
    ax.set_ylim(-1.05, max(0.3, ax.get_ylim()[1]))
    ax.set_ylabel("bound of the Hessian, times $\\sigma^2$")
    least = threshold(radius, tau)
    ax.set_title(f"R = {radius:.4g}, $\\tau$ = {tau:.3g}: bound below 0 for $\\sigma$ from {least:.4g} on", fontsize=10)
    ax.legend(frameon=False, fontsize=9, loc="best")
