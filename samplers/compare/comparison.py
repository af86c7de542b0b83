"""The outcome of a comparison: written, read again, printed, and as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplers.compare.cell import Cell
from samplers.compare.facts import Facts
from samplers.compare.results import FACTS, Results, StoredDraws
from samplers.compare.rows import counted
from samplers.compare.store import Store
from samplers.compare.table import as_html, format_table
from samplers.compare.truth import Truth
from samplers.compare.witnesses import examine
from samplers.draws import html
from samplers.draws.wording import WIDTH, terminal_width, wrapped
from samplers.version import versions

if TYPE_CHECKING:
    from torch import Tensor

GRID = "grid.json"


class Comparison(Results):
    """What `compare` returns, and `Comparison.load(folder)` reads again.

    rows: one for each cell; table: the same as a data frame. draws: by (target, sampler, seed), read from disk when
    asked for. facts: what is known of each target. agreements, examined, verdicts: by target. beside: published figures
    and ours. Printed, it is the table, the verdicts and what is beside, in lines that the terminal has room for.

    store: the folder with what each cell gave. grid: what was compared, plain values. targets: by name, for draws that
    are to have their meaning back; None without.

        >>> from tempfile import TemporaryDirectory
        >>> plane = targets.Gaussian([0.0, 0.0])
        >>> with TemporaryDirectory() as folder:
        ...     result = samplers.compare({"plane": plane}, {"svgd": samplers.SVGD()}, draws=20, folder=folder)
        >>> result.rows[0]["sampler"], list(result.draws)
        ('svgd', [('plane', 'svgd', 0)])
    """

    @classmethod
    def write(
        cls,
        store: Store,
        cells: Sequence[Cell],
        truths: Mapping[str, Truth | None],
        notes: Mapping[str, list[str]],
        *,
        witnesses: Mapping[str, Tensor],
        about: Mapping[str, Any],
    ) -> Comparison:
        """Put what is known of the targets, what witnesses tell and the list of cells beside the cells' results."""
        targets = {cell.target_name: cell.target for cell in cells}
        draws = StoredDraws(store, [cell.key for cell in cells], targets)
        for name, target in targets.items():
            own = (draws[key] for key in draws if key[0] == name)
            Facts.gather(name, target, truths[name], notes[name], own).save(store.folder / FACTS)
        grid = {
            "targets": list(targets),
            "cells": [cell.key for cell in cells],
            "budget": str(cells[0].budget),
            "versions": versions(),
            **about,
        }
        if witnesses:
            grid["witnesses"] = {}
            for name, points in witnesses.items():
                runs = ((key[1:], draws[key]) for key in draws if key[0] == name)
                grid["witnesses"][name] = examine(points, targets[name], runs).record()
        (store.folder / GRID).write_text(json.dumps(grid, indent=1) + "\n")
        return cls(store, grid, targets)

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """The comparison whose results are in a folder; FileNotFoundError where there is none."""
        path = Path(folder) / GRID
        if not path.exists():
            raise FileNotFoundError(
                f"folder: {folder} holds no finished comparison ({GRID} is missing); expected one that `compare` wrote"
            )
        return cls(Store(folder), json.loads(path.read_text()))

    def report(self, folder: str | Path) -> Path:
        """Write `index.html`, one page that opens offline, with its figures (PNG), the table (CSV) and the draws
        (netCDF) beside it; returns the folder.
        """
        from samplers.compare.report import write_report

        return write_report(self, Path(folder))

    def text(self, *, width: int | None = WIDTH) -> str:
        """The table, the verdicts and what is beside; width: of a line, None for all columns in lines as long as that
        takes.
        """
        said = [f"{name}: {one}" for name, one in self.verdicts.items()]
        if self.beside:
            said.append("\n".join(["Beside published figures:", *(f"  {one}" for one in self.beside)]))
        if width is not None:
            said = [wrapped(text, width) for text in said]
        return "\n\n".join([format_table(self.table, width=width), *said])

    def __str__(self) -> str:
        return self.text(width=terminal_width())

    def __repr__(self) -> str:
        failed = sum(bool(row["error"]) for row in self.rows)
        targets, samplers = ({row[name] for row in self.rows} for name in ("target", "sampler"))
        runs = f"{counted(len(self.rows), 'run')} of {counted(len(samplers), 'sampler')}"
        return f"Comparison({runs} on {counted(len(targets), 'target')}, {failed or 'none'} failed)"

    def _repr_html_(self) -> str:
        beside = html.listed(map(str, self.beside), "Beside published figures:")
        verdicts = [one.html(name) for name, one in self.verdicts.items()]
        return html.block("", as_html(self.table), *verdicts, beside)
