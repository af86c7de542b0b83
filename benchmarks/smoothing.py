"""Sampling by smoothing beside published figures, between far modes, joint against sequential, and what it costs.

Every metric stands beside its floor, its value for as many exact draws. "Energy only": the target is wrapped in a class
that knows nothing but log_prob and score. Each table is a result of its own: smoothing-rings and so on.

    python benchmarks/smoothing.py                              all tables
    python benchmarks/smoothing.py --tables rings funnel
    python benchmarks/smoothing.py --tables modes-high --rows "d = 128" --limit 480

published: rings, funnel, regressions, gmm40.   modes: modes (exact score), modes-energy, modes-high.
joint (with a figure).   throughput.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from _machine import parser, write
from _smoothing_run import LIMIT, Options

import samplers

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def tables() -> dict[str, tuple[str, Any, tuple[str, ...]]]:
    """Title, rows with their notes, and the notes of the whole, by name."""
    import _smoothing_joint
    import _smoothing_modes
    import _smoothing_published as published
    import _smoothing_throughput

    modes = _smoothing_modes.NOTES
    return {
        "rings": ("Smoothing: four rings, energy only", published.rings, published.NOTES["rings"]),
        "funnel": ("Smoothing: funnel, energy only", published.funnel, published.NOTES["funnel"]),
        "regressions": (
            "Smoothing: logistic regressions",
            published.regressions,
            published.NOTES["regressions"],
        ),
        "gmm40": ("Smoothing: forty Gaussians by diffusive Gibbs", published.gmm40, published.NOTES["gmm40"]),
        "modes": ("Smoothing: from one mode to both, exact score", _smoothing_modes.closed_form, modes),
        "modes-energy": ("Smoothing: from one mode to both, energy only", _smoothing_modes.energy, modes),
        "modes-high": (
            "Smoothing: from one mode to both, energy only, many dimensions",
            _smoothing_modes.energy_high,
            modes,
        ),
        "joint": ("Smoothing: joint against sequential measurements", _smoothing_joint.joint, _smoothing_joint.NOTES),
        "throughput": ("Smoothing: cost", _smoothing_throughput.throughput, _smoothing_throughput.NOTES),
    }


def main() -> None:
    known = tables()
    arguments = parser(__doc__)
    arguments.add_argument("--tables", nargs="*", choices=list(known), default=list(known))
    arguments.add_argument("--rows", nargs="*", help="words; only rows whose label contains one of them are run")
    arguments.add_argument("--limit", type=float, default=LIMIT, help="seconds a row may take")
    given = arguments.parse_args()
    if DATA.is_dir():
        os.environ.setdefault("UNNORM_DATA", str(DATA))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", samplers.SamplingWarning)
    options = Options(given.quick, None if given.rows is None else tuple(given.rows), given.limit)
    for table in given.tables:
        title, make, standing = known[table]
        rows, notes = [], list(standing)
        for row, more in make(options):
            rows.append(row)
            notes += more
            write(
                f"smoothing-{table}",
                title,
                {"Results": rows},
                settings={"torch threads": 1},
                notes=list(dict.fromkeys(notes)),
                quick=given.quick,
            )


if __name__ == "__main__":
    main()
