"""Autocorrelation of the variable that mixes worst."""

from __future__ import annotations

import numpy as np

from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.scene import Scene
from samplers.compare.report.style import MUTED, legend, new_figure, png

LEAST_LAG, MOST_LAG, SMALL = 20, 200, 0.05


def autocorrelation(scene: Scene) -> Picture | None:
    """Of each sampler's chains around their common mean; None where there are no chains."""
    if not scene.chains:
        return None
    name = scene.slowest
    found = {run.sampler: correlations(run.values[name]) for run in scene.chains}
    falls = [int(np.argmax(rho < SMALL)) for rho in found.values()]  # zero where it never does
    last = min(max([LEAST_LAG, *falls]) if any(falls) else MOST_LAG, max(map(len, found.values())) - 1)
    figure = new_figure(2.7 + 0.16 * -(-len(found) // 3))
    ax = figure.subplots()
    ax.axhline(0, color=MUTED, linewidth=0.7)
    lines = {}
    for place, run in enumerate(scene.chains):
        rho = found[run.sampler][: last + 1]
        (lines[run.sampler],) = ax.plot(rho, **run.look.line(len(rho), place))
    low = min(-0.1, *(rho[: last + 1].min() for rho in found.values()))
    ax.set(xlim=(0, last), ylim=(low, 1.03), xlabel="lag, in draws", ylabel=f"autocorrelation of {name}")
    legend(figure, lines)
    return Picture(
        "autocorrelation",
        f"Autocorrelation of {name}",
        "Of the variable that mixes worst, about the mean of all chains. Quick to fall is good; a line that levels off "
        "above zero is chains that stay where they are.",
        f"Autocorrelation of {name} by lag for {', '.join(found)}.",
        png(figure),
    )


def correlations(values: np.ndarray) -> np.ndarray:
    """At lags from 0 to half the length, of (chains, draws) about the mean of all, by Fourier transform."""
    length = values.shape[1]
    far = values - values.mean()
    spectrum = np.abs(np.fft.rfft(far, 2 * length)) ** 2
    sums = np.fft.irfft(spectrum, 2 * length)[:, : length // 2 + 1].mean(0)
    variance = sums[0]
    return np.ones_like(sums) if variance == 0 else sums / variance * length / (length - np.arange(len(sums)))
