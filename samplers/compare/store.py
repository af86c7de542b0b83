"""The results of a comparison in a folder, each cell written when it is done, so that a grid that stopped goes on.

cells/TARGET/SAMPLER/SEED.json    the row, and what the cell was asked for
cells/TARGET/SAMPLER/SEED.nc      its draws, which `Draws.load` and ArviZ read
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import torch

from samplers.compare import identity
from samplers.compare.apart import Outcome
from samplers.compare.cell import DRAWS, Cell
from samplers.draws.places import as_file, folder_place, whole

Key = tuple[str, str, int]


class Store:
    """A folder of results; without one, a temporary one that goes when nothing refers to the store any more."""

    def __init__(self, folder: str | Path | None) -> None:
        if folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="unnorm-compare-"))
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        else:
            self.folder = folder_place(folder, "folder")
        self.cells = self.folder / "cells"
        self._densities: dict[int, dict[str, Any]] = {}

    def path(self, key: Key) -> Path:
        """Where a cell's row is; its draws are beside it, as .nc."""
        target, sampler, seed = key
        return self.cells / as_file(target) / as_file(sampler) / f"{seed}.json"

    def draws_path(self, key: Key) -> Path:
        """Where a cell's draws are, if it has any."""
        return self.path(key).with_suffix(".nc")

    def row(self, cell: Cell, *, fresh: bool = False, retry: bool = False) -> dict[str, Any] | None:
        """The row of a cell that was done before, and measured as now; ValueError where it was another run.

        fresh: forget it where it was another run; retry: where it failed.
        """
        path = self.path(cell.key)
        try:
            saved = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):  # not there, or not all of it was written
            return None
        asked, now = saved["asked"], self._request(cell)
        if "where drawn" in asked:
            points = torch.tensor(asked["where drawn"]["points"], dtype=torch.float64)
            now["where drawn"] = identity.at_points(cell.target, points)
        different = identity.differences(asked, now)
        if different and not fresh:
            raise ValueError(
                f"folder: {self.folder} holds another run of {cell.sampler_name} on {cell.target_name} with seed "
                f"{cell.seed}: {'; '.join(different)}. Take another folder, or fresh=True to run anew "
                "what differs"
            )
        if different or (saved["row"]["error"] and retry):
            self.drop(cell)
            return None
        if any(asked.get(name) != now[name] for name in identity.MEASURED):
            return None
        return dict(saved["row"])

    def keep(self, cell: Cell, outcome: Outcome) -> dict[str, Any]:
        """Write what a cell gave, the row last; returns the row."""
        path = self.path(cell.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        target, sampler, seed = cell.key
        row = {"target": target, "sampler": sampler, "seed": seed} | outcome.row
        if DRAWS in outcome.files:
            _write(self.draws_path(cell.key), outcome.files[DRAWS])
        asked = self._request(cell)
        if DRAWS in outcome.files and identity.unseen(asked):
            asked["where drawn"] = identity.where_drawn(cell.target, self.draws_path(cell.key))
        _write(path, (json.dumps({"asked": asked, "row": row}, indent=1) + "\n").encode())
        return row

    def _request(self, cell: Cell) -> dict[str, Any]:
        if id(cell.target) not in self._densities:
            self._densities[id(cell.target)] = identity.made(cell.target)
        return identity.request(cell, self._densities[id(cell.target)])

    def drop(self, cell: Cell) -> None:
        """Forget a cell."""
        self.path(cell.key).unlink(missing_ok=True)
        self.draws_path(cell.key).unlink(missing_ok=True)

    def saved_row(self, key: Key) -> dict[str, Any]:
        """The row of a cell that is done."""
        return dict(json.loads(self.path(key).read_text())["row"])


def _write(path: Path, content: bytes) -> None:
    with whole(path) as partial, open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
