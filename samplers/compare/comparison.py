"""The outcome of a comparison: a table, the draws behind it, what agrees, and the verdict in words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplers.compare.agreements import Together, together
from samplers.compare.cell import Cell
from samplers.compare.facts import Facts
from samplers.compare.limits import number
from samplers.compare.published import Beside, beside, from_records
from samplers.compare.store import Key, Store
from samplers.compare.table import WIDTH, format_table
from samplers.compare.truth import Truth
from samplers.compare.verdict import Verdict, verdicts
from samplers.compare.witnesses import Examined, examine
from samplers.draws import Draws
from samplers.version import versions
from targets import Target

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

GRID, FACTS = "grid.json", "targets"


class Comparison:
    """What `compare` returns, and `Comparison.load(folder)` reads again.

    rows: one for each cell; table: the same as a data frame. draws: by (target, sampler, seed), read from disk when
    asked for. facts: what is known of each target. agreements, examined, verdicts: by target. beside: published figures
    and ours. Printed, it is the table, the verdicts and what is beside.

    store: the folder with what each cell gave. grid: what was compared, plain values. targets: by name, for draws that
    are to have their meaning back; None without.

        >>> from tempfile import TemporaryDirectory
        >>> plane = targets.Gaussian([0.0, 0.0])
        >>> with TemporaryDirectory() as folder:
        ...     result = samplers.compare({"plane": plane}, {"svgd": samplers.SVGD()}, draws=20, folder=folder)
        >>> result.rows[0]["sampler"], list(result.draws)
        ('svgd', [('plane', 'svgd', 0)])
    """

    def __init__(self, store: Store, grid: Mapping[str, Any], targets: Mapping[str, Target] | None = None) -> None:
        import pandas as pd

        self.store, self.grid = store, grid
        keys = [tuple(key) for key in grid["cells"]]
        self.rows = [store.saved_row(key) for key in keys]
        self.table: pd.DataFrame = pd.DataFrame(self.rows)
        self.draws: Mapping[Key, Draws] = _Stored(store, keys, targets or {})
        self.facts = {name: Facts.load(store.folder / FACTS, name) for name in grid["targets"]}

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
        keys = [cell.key for cell in cells]
        draws = _Stored(store, keys, targets)
        for name, target in targets.items():
            own = (draws[key] for key in draws if key[0] == name)
            Facts.gather(name, target, truths[name], notes[name], own).save(store.folder / FACTS)
        grid = {
            "targets": list(targets),
            "cells": keys,
            "budget": str(cells[0].budget),
            "versions": versions(),
            **about,
        }
        if witnesses:
            grid["witnesses"] = {
                name: examine(
                    points, targets[name], ((key[1:], draws[key]) for key in draws if key[0] == name)
                ).record()
                for name, points in witnesses.items()
            }
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

    @cached_property
    def _together(self) -> dict[str, Together]:
        return together(self.draws)

    @property
    def agreements(self) -> dict[str, Together]:
        """Of every target that several samplers were run on: `agree`, and who disagrees on what; by the limit that the
        verdict goes by, with R-hat between them beside it.
        """
        return self._together

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Of every target: which samplers to believe, and what is wrong with the others."""
        shaped = {row["target"] for row in self.rows if not math.isnan(number(row, "shape_error_se"))}
        # only where no shape is known do the samplers judge one another
        between = together(self.draws, [name for name in self.grid["targets"] if name not in shaped])
        return verdicts(self.rows, self.facts, between, self.examined)

    @cached_property
    def examined(self) -> dict[str, Examined]:
        """Of every target that witnesses were given for: which runs lack the mass around them."""
        return {name: Examined.from_record(one) for name, one in self.grid.get("witnesses", {}).items()}

    @property
    def beside(self) -> list[Beside]:
        """Published figures, where a suite has brought some, beside our best."""
        published = from_records(self.grid.get("published", ()))
        return beside(self.rows, published, peers=self.grid.get("peers", ()))

    def report(self, folder: str | Path) -> Path:
        """Write `index.html`, one page that opens offline, with its figures (PNG), the table (CSV) and the draws
        (netCDF) beside it; returns the folder.
        """
        from samplers.compare.report import write_report

        return write_report(self, Path(folder))

    def text(self, *, width: int | None = WIDTH) -> str:
        """The table, the verdicts and what is beside; width: of the table, None for all its columns."""
        parts = [format_table(self.table, width=width), *(f"{name}: {one}" for name, one in self.verdicts.items())]
        if self.beside:
            parts.append("\n".join(["Beside published figures:", *(f"  {one}" for one in self.beside)]))
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.text()


class _Stored(Mapping[Key, Draws]):
    """Draws on disk by cell, read when they are asked for."""

    def __init__(self, store: Store, keys: Sequence[Any], targets: Mapping[str, Target]) -> None:
        self._store = store  # whose temporary folder lives as long as this does
        self._paths = {tuple(key): path for key in keys if (path := store.draws_path(tuple(key))).exists()}
        self._targets = targets

    def __getitem__(self, key: Key) -> Draws:
        return Draws.load(self._paths[key], self._targets.get(key[0]))

    def __contains__(self, key: object) -> bool:
        return key in self._paths  # without reading it

    def __iter__(self) -> Iterator[Key]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
