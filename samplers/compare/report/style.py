"""How the figures look: each sampler by colour, marker and dashes, so that it can be told without colour."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

# Okabe and Ito's palette, without the yellow that vanishes on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "h", "p")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.2, 1.2)), (0, (8, 2, 1, 2, 1, 2)))
INK, MUTED, TRUTH = "#1a1a1a", "#6b6b6b", "#c9c9c9"
WIDTH, DPI, TONES = 4.8, 180, 96
RC = {
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.formatter.limits": (-3, 4),
    "text.parse_math": False,  # names are the user's, dollars too
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Look:
    """Of one sampler, the same in every figure."""

    colour: str
    marker: str
    dashes: Any

    def line(self, points: int, place: int = 0) -> dict[str, Any]:
        """For a line through so many points: about seven markers, those of the sampler at that place set off."""
        step = max(1, points // 7)
        return {
            "color": self.colour,
            "linestyle": self.dashes,
            "marker": self.marker,
            "markersize": 4.5,
            "linewidth": 1.3,
            "markevery": ((place * step) // 5 % step, step),
        }


def looks(samplers: Sequence[str]) -> dict[str, Look]:
    """A look for each."""
    return {
        name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, name in enumerate(samplers)
    }


@contextmanager
def styled() -> Iterator[None]:
    """Figures made inside look alike, whatever the user's own settings."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in a script that the font lacks
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def new_figure(height: float) -> Any:
    """A figure of the common width, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white", layout="constrained")


def png(figure: Any) -> bytes:
    """The figure as PNG, in few tones, which is a third of the size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # `savefig` would draw it twice
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(TONES, dither=Image.Dither.NONE)
    written = io.BytesIO()
    image.save(written, format="png", optimize=True)
    return written.getvalue()


def wrapped(name: str, width: int = 18) -> str:
    """A long name in several lines."""
    return "\n".join(textwrap.wrap(name, width, break_long_words=True)) or name


def legend(figure: Any, entries: Mapping[str, Any], most: int = 3) -> None:
    """Below the axes, in as many columns as the longest name leaves room for."""
    longest = max(map(len, entries))
    columns = max(1, min(most, len(entries), 62 // (longest + 8)))
    # a name that begins with an underscore would be left out
    names = [f" {name}" if name.startswith("_") else wrapped(name, 60) for name in entries]
    figure.legend(list(entries.values()), names, loc="outside lower left", ncols=columns, handlelength=3.4)


def log_scale(axis: Any) -> None:
    """A logarithmic axis with few labels, as 10⁴ or 0.03: matplotlib's own ones are mathematics."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    narrow = high / low < 80
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=6))
    axis.set_minor_locator(NullLocator() if narrow else LogLocator(subs="auto", numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    axis.set_minor_formatter(NullFormatter())


def power(value: float) -> str:
    """0.02, 300, or as a power of ten."""
    if 1e-3 < value < 1e5:
        return f"{value:,g}"
    digits, exponent = f"{value:.0e}".split("e")
    if digits != "1" and 1 < value < 1e6:
        return f"{value:,g}"
    raised = f"10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return raised if digits == "1" else f"{digits}·{raised}"


def small_multiples(
    names: Sequence[str], height: float, *, square: bool = False, sharey: bool = True
) -> tuple[Any, list[Any]]:
    """A figure of small axes side by side with shared scales, a name over each, and none that is left over.

    height: of a row in inches; square: of one as wide as the figure, narrower ones are lower.
    """
    columns = len(names) if len(names) < 4 else 2 if len(names) == 4 else 3
    rows = -(-len(names) // columns)
    titles = [wrapped(name, 52 // columns) for name in names]
    if square:
        height = height / max(columns, 2) + 0.22 * max(title.count("\n") for title in titles) + 0.18
    figure = new_figure(height * rows + 0.4)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=sharey).ravel()
    for i, ax in enumerate(axes):
        ax.set_visible(i < len(names))
        ax.tick_params(labelbottom=i + columns >= len(names))
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title)
    return figure, list(axes[: len(names)])
