"""Targets x samplers x seeds, run one by one, with a row for each."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplers.compare import measures
from samplers.compare.agreements import agreements, in_words
from samplers.diagnostics import Agreement
from samplers.draws import Draws, Sampler, SamplingWarning
from samplers.kernels import HMC
from targets import Target

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Comparison:
    """The outcome of `compare`: `table`, one row a cell, and the `draws` by (target, sampler, seed).

    Printed, it is the table, and for each target whether the samplers agree.
    """

    table: pd.DataFrame
    draws: dict[tuple[str, str, int], Draws] = field(default_factory=dict)

    def report(self, folder: str | Path) -> Path:
        """Write the table (CSV), one figure and each cell's draws (netCDF) to a folder; returns its path."""
        from samplers.compare.figure import draw

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(folder / "table.csv", index=False)
        for (target, sampler, seed), draws in self.draws.items():
            draws.save(folder / f"{target}-{sampler}-{seed}.nc")
        draw(self, folder / "figure.png")
        return folder

    @cached_property
    def agreements(self) -> dict[str, Agreement]:
        """Of every target that several samplers were run on: R-hat between them, and who disagrees on what."""
        return agreements(self.draws)

    def __str__(self) -> str:
        return "\n".join([format_table(self.table), *in_words(self.agreements)])


def compare(
    targets: Mapping[str, Target],
    samplers: Mapping[str, Sampler],
    *,
    seeds: int | Iterable[int] = 1,
    init: Mapping[str, Any] | None = None,
    reference: bool = False,
    **options: Any,
) -> Comparison:
    """Run every sampler on every target with every seed; a cell that fails is a row that holds the error's text.

    seeds: how many (0, 1, ...), or which. init: starting points by target name, as `Kernel.sample` takes them.
    reference: where a target states no moments, take those of an HMC run four times as long with another seed; the
    column `truth` says which. `options` (chains, draws, warmup ...) go to every `sample`, except that one which another
    sampler takes is not given to those that do not (particles have no chains and no warmup).
    """
    import pandas as pd

    seeds = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    rows, kept = [], {}
    for target_name, target in targets.items():
        start = {"init": init[target_name]} if init and target_name in init else {}
        truth = measures.known_truth(target)
        if truth is None and reference:
            truth = _reference(target, _taken(HMC(), options) | start)
        for sampler_name, kernel in samplers.items():
            others = {name for other in samplers.values() for name in _taken(other, options)}
            own = {name: options[name] for name in options if name not in others or name in _taken(kernel, options)}
            for seed in seeds:
                row: dict[str, Any] = {"target": target_name, "sampler": sampler_name, "seed": seed}
                try:
                    draws = _quietly(kernel, target, own | _taken(kernel, start) | {"seed": seed})
                    kept[target_name, sampler_name, seed] = draws
                    row |= measures.evidence(draws)
                    draws = draws.unweighted()
                    row |= measures.mixing(draws) | measures.errors(draws, truth) | measures.between_modes(draws)
                    row |= {"truth": truth.source if truth else "", "error": ""}
                except Exception as error:  # a cell's failure is its result
                    row["error"] = f"{type(error).__name__}: {error}"
                rows.append(row)
    return Comparison(pd.DataFrame(rows), kept)


def _taken(sampler: Sampler, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that this sampler's `sample` knows."""
    known = inspect.signature(sampler.sample).parameters
    return {name: value for name, value in options.items() if name in known}


def _quietly(kernel: Sampler, target: Target, options: Mapping[str, Any]) -> Draws:
    """A run whose warnings go unsaid: what they say stands in the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return kernel.sample(target, **options)


def _reference(target: Target, options: Mapping[str, Any]) -> measures.Truth:
    draws = 4 * int(options.get("draws", 1000))
    return measures.truth_from(_quietly(HMC(), target, {**options, "draws": draws, "seed": 2**31}), "long HMC run")


COLUMNS = {
    "target": ("target", "{}"),
    "sampler": ("sampler", "{}"),
    "seed": ("seed", "{}"),
    "r_hat": ("R-hat", "{:.3f}"),
    "ess_bulk": ("ESS", "{:.0f}"),
    "mode_r_hat": ("R-hat of modes", "{:.3f}"),
    "mode_ess": ("ESS of modes", "{:.0f}"),
    "ess_per_1000_evaluations": ("ESS / 1000 ev.", "{:.2f}"),
    "ess_per_second": ("ESS / s", "{:.0f}"),
    "mean_error_se": ("mean off by (s.e.)", "{:.1f}"),
    "sd_error": ("sd off by", "{:.1%}"),
    "truth": ("against", "{}"),
    "worst_mode": ("worst mode", "{:.3f}"),
    "worst_mode_true": ("its truth", "{:.3f}"),
    "log_z": ("log Z", "{:.3f}"),
    "log_z_se": ("s.e.", "{:.3f}"),
    "log_z_true": ("its truth", "{:.3f}"),
    "divergences": ("div.", "{:.0f}"),
    "seconds": ("s", "{:.1f}"),
    "error": ("error", "{}"),
}


def format_table(table: pd.DataFrame) -> str:
    """The table as text, aligned, with a dash for what is not known and without columns that say nothing."""
    cells = []
    for name, (title, form) in COLUMNS.items():
        if name in table and not table[name].isna().all() and not (table[name] == "").all():
            shown = ["-" if value != value or value == "" else form.format(value) for value in table[name]]
            cells.append([title, *shown])
    widths = [max(map(len, column)) for column in cells]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in zip(*cells, strict=True)]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
