"""Draws on disk: blocks written to a Zarr folder while the run goes on, and read back without loading them all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplers.draws import Cost, Draws, records
from samplers.draws.places import whole
from targets import Target

BLOCK_BYTES = 64 * 2**20
ZARR = "draws.zarr"  # beside complete.json and run.json, which are not Zarr's


class Stream:
    """Writes draws in blocks of about 64 MB. A block counts once it is whole: `complete.json` holds the number."""

    def __init__(self, path: Path, draws: int) -> None:
        self.path, self._draws = path, draws
        self._group: Any = None
        self.complete = 0

    def begin(self) -> None:
        """FileExistsError where the folder is not empty."""
        if self.path.exists() and any(self.path.iterdir()):
            raise FileExistsError(
                f"stream: {self.path} is not empty; name a new folder, or continue its run with its checkpoint="
            )

    def go_back(self, complete: int) -> None:
        """Continue after the first `complete` draws; ValueError where the folder does not hold them."""
        marker = self.path / "complete.json"
        found = int(json.loads(marker.read_text())) if marker.exists() else 0
        if found < complete:
            raise ValueError(
                f"stream: {self.path} holds {found} draws, but the checkpoint was written when it held {complete}; "
                "name the folder of that run"
            )
        self.complete = complete

    @staticmethod
    def block(chains: int, dim: int, itemsize: int, draws: int) -> int:
        """Draws a block."""
        return max(1, min(draws, BLOCK_BYTES // (chains * dim * itemsize)))

    def write(self, x: Tensor, stats: dict[str, Tensor], block: int) -> None:
        """Append x (n, chains, dim) and stats (n, chains). OSError names how many draws are safe."""
        import zarr

        try:
            if self._group is None:
                self._group = zarr.open_group(self.path / ZARR, mode="a")
            for name, value in {"x": x, **stats}.items():
                array, kept = records.held_as(value)
                if name not in self._group:
                    shape = (self._draws, *array.shape[1:])
                    chunks = (block, *array.shape[1:])
                    self._group.create_array(name, shape=shape, chunks=chunks, dtype=array.dtype, compressors=None)
                    self._group[name].attrs.update(kept)
                self._group[name][self.complete : self.complete + len(value)] = array
            self._put("complete.json", self.complete + len(x))
        except OSError as error:
            raise OSError(
                error.errno,
                f"stream: writing to {self.path} failed after {self.complete} draws ({error.strerror or error}); those "
                "stay readable with Draws.load, and the same call continues the run if it has a checkpoint=",
            ) from error
        self.complete += len(x)

    def finish(self, record: dict[str, Any]) -> None:
        """Write the attributes of the run."""
        self._put("run.json", record)

    def _put(self, name: str, content: Any) -> None:
        with whole(self.path / name) as partial:
            partial.write_text(json.dumps(content))


class StreamedDraws(Draws):
    """Draws in a folder. `x` and `stats` read all of it into memory; `blocks()` reads a block at a time."""

    def __init__(self, path: Path, target: Target | None, **kwargs: Any) -> None:
        import zarr

        self.path = path
        self.complete = int(json.loads((path / "complete.json").read_text()))
        self._group = zarr.open_group(path / ZARR, mode="r")
        super().__init__(x=torch.empty(0), target=target, **kwargs)

    def _read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        array = self._group[name]
        rows = array[start : self.complete if stop is None else stop]
        return records.tensor(rows, array.attrs).transpose(0, 1)

    @property
    def x(self) -> Tensor:
        """All draws, (chains, draws, dim), read from disk."""
        return self._read("x")

    @x.setter
    def x(self, value: Tensor) -> None:
        del value

    @property
    def stats(self) -> dict[str, Tensor]:
        """All statistics, (chains, draws), read from disk."""
        return {name: self._read(name) for name in sorted(self._group.array_keys()) if name != "x"}

    @stats.setter
    def stats(self, value: dict[str, Tensor]) -> None:
        del value

    @property
    def steps(self) -> int:  # noqa: D102 - as of `PointSet`
        return self.complete

    def part(self, which: slice) -> Tensor:  # noqa: D102 - as of `PointSet`
        array = self._group["x"]
        start, stop, step = which.indices(self.complete)
        return records.tensor(array[start:stop:step], array.attrs).transpose(0, 1)

    def blocks(self) -> Iterator[Tensor]:
        """x by blocks, each (chains, block, dim)."""
        size = self._group["x"].chunks[0]
        for start in range(0, self.complete, size):
            yield self._read("x", start, min(start + size, self.complete))


def open_stream(path: Path, target: Target | None) -> StreamedDraws:
    """The draws that are whole in the folder of a streamed run, finished or not."""
    if not (path / "complete.json").exists():
        raise ValueError(f"path: {path} holds no complete block of a streamed run")
    record = path / "run.json"
    attrs = json.loads(record.read_text()) if record.exists() else {}
    cost = Cost(**attrs.pop("cost")) if "cost" in attrs else Cost()
    return StreamedDraws(path, target, attrs=attrs, cost=cost)
