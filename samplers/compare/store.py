"""The results of a comparison in a folder, each cell written when it is done, so that a grid that stopped goes on.

cells/TARGET/SAMPLER/SEED.json    the row, and what the cell was asked for
cells/TARGET/SAMPLER/SEED.nc      its draws, which `Draws.load` and ArviZ read
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch

from samplers.compare.apart import Outcome
from samplers.compare.cell import DRAWS, Cell
from targets import Target

Key = tuple[str, str, int]
PROBES = 4


class Store:
    """A folder of results."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.cells = self.folder / "cells"

    def path(self, key: Key) -> Path:
        """Where a cell's row is; its draws are beside it, as .nc."""
        target, sampler, seed = key
        return self.cells / quote(target, safe=" ()+=,") / quote(sampler, safe=" ()+=,") / f"{seed}.json"

    def draws_path(self, key: Key) -> Path:
        """Where a cell's draws are, if it has any."""
        return self.path(key).with_suffix(".nc")

    def row(self, cell: Cell) -> dict[str, Any] | None:
        """The row of a cell that was done before; ValueError where it was asked for something else."""
        path = self.path(cell.key)
        if not path.exists():
            return None
        saved = json.loads(path.read_text())
        different = _differences(saved["asked"], request(cell))
        if different:
            raise ValueError(
                f"folder: {self.folder} holds another run of {cell.sampler_name} on {cell.target_name} with seed "
                f"{cell.seed}: {'; '.join(different)}. Take another folder, or delete {path}"
            )
        return dict(saved["row"])

    def keep(self, cell: Cell, outcome: Outcome) -> dict[str, Any]:
        """Write what a cell gave, the row last; returns the row."""
        path = self.path(cell.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        target, sampler, seed = cell.key
        row = {"target": target, "sampler": sampler, "seed": seed} | outcome.row
        if DRAWS in outcome.files:
            _write(self.draws_path(cell.key), outcome.files[DRAWS])
        _write(path, (json.dumps({"asked": request(cell), "row": row}, indent=1) + "\n").encode())
        return row

    def drop(self, cell: Cell) -> None:
        """Forget a cell."""
        self.path(cell.key).unlink(missing_ok=True)
        self.draws_path(cell.key).unlink(missing_ok=True)

    def saved_row(self, key: Key) -> dict[str, Any]:
        """The row of a cell that is done."""
        return dict(json.loads(self.path(key).read_text())["row"])


def temporary() -> Path:
    """A new folder for results that are not to stay."""
    return Path(tempfile.mkdtemp(prefix="unnorm-compare-"))


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def request(cell: Cell) -> dict[str, Any]:
    """What a cell is asked for, by which it is known again: words, and the density at a few fixed points."""
    return {
        "sampler": _plain(cell.sampler),
        "density": _density(cell.target),
        **{name: _plain(value) for name, value in cell.options.items()},
        "budget": str(cell.budget),
    }


def _differences(asked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for name in {**asked, **now}:
        a, b = asked.get(name), now.get(name)
        alike = _close(asked[name], now[name]) if name == "density" else a == b
        if not alike:
            found.append(f"{name} was {a}, here {b}")
    return found


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=1e-4, atol=1e-4, equal_nan=True))


def _plain(value: Any) -> str:
    """repr without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _density(target: Target) -> list[float]:
    """The dimension, and the log-density at a few fixed points: another target of the same name is noticed."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(PROBES, target.dim, generator=generator, dtype=torch.float64).to(target.device, target.dtype)
    if target.discrete:
        x = target.values[(x > 0).long()]  # type: ignore[attr-defined]
    try:
        with torch.no_grad():
            return [float(target.dim), *target.log_prob(x).double().tolist()]
    except Exception:  # it will fail in its cell, and say why
        return [float(target.dim)]
