"""Draws on disk: blocks written to a Zarr folder while the run goes on, and read back without loading them all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from samplers.draws import Draws, kept, records
from samplers.draws.belongs import check_density
from samplers.draws.certificate import Certificate
from samplers.draws.divergent_steps import GROUP, DivergentSteps
from samplers.draws.places import whole
from targets import Target

BLOCK_BYTES = 64 * 2**20
ZARR = "draws.zarr"  # beside the others, which are not Zarr's
DIVERGENT = "divergent_steps.nc"
RECORD = "run.json"  # with all that `kept.record` says, once the run has ended


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

    def _longer(self, array: Any) -> None:
        """An array of a run that goes on to a larger number of draws than it began with."""
        if array.shape[0] < self._draws:
            array.resize((self._draws, *array.shape[1:]))

    def every(self, thin: int) -> Tensor:
        """Every thin-th draw on disk, from the first on, (some, chains, dim)."""
        array = self._open()["x"]
        return records.tensor(array[: self.complete : thin], array.attrs)

    def _open(self) -> Any:
        import zarr

        if self._group is None:
            self._group = zarr.open_group(self.path / ZARR, mode="a")
        return self._group

    def write(self, x: Tensor, stats: dict[str, Tensor], block: int) -> None:
        """Append x (n, chains, dim) and stats (n, chains). OSError names how many draws are safe."""
        try:
            group = self._open()
            for name, value in {"x": x, **stats}.items():
                array, kept = records.held_as(value)
                if name in group:
                    self._longer(group[name])
                else:
                    shape = (self._draws, *array.shape[1:])
                    chunks = (block, *array.shape[1:])
                    group.create_array(name, shape=shape, chunks=chunks, dtype=array.dtype, compressors=None)
                    group[name].attrs.update(kept)
                group[name][self.complete : self.complete + len(value)] = array
            put(self.path / "complete.json", self.complete + len(x))
        except OSError as error:
            raise OSError(
                error.errno,
                f"stream: writing to {self.path} failed after {self.complete} draws ({error.strerror or error}); those "
                "stay readable with Draws.load, and the same call continues the run if it has a checkpoint=",
            ) from error
        self.complete += len(x)


def put(path: Path, content: Any) -> None:
    """The content as JSON in a file."""
    with whole(path) as partial:
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
    def names(self) -> list[str]:
        """Of the statistics."""
        return sorted(name for name in self._group.array_keys() if name != "x")

    @property
    def stats(self) -> dict[str, Tensor]:
        """All statistics, (chains, draws), read from disk."""
        return {name: self._read(name) for name in self.names}

    @stats.setter
    def stats(self, value: dict[str, Tensor]) -> None:
        del value

    def part(self, which: slice) -> Tensor:  # noqa: D102 - as of `PointSet`
        array = self._group["x"]
        start, stop, step = which.indices(self.complete)
        return records.tensor(array[start:stop:step], array.attrs).transpose(0, 1)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Chains, draws of each, and dimensions."""
        _, chains, dim = self._group["x"].shape
        return chains, self.complete, dim

    def remember(self, said: Iterable[str]) -> Self:
        """Keep what was said of these draws, in the folder too, with all that the run has left beside its draws."""
        super().remember(said)
        content = kept.record(self)
        if self.moments is not None:
            content["moments"] = kept.listed(self.moments)
        if self.divergent_steps is not None:
            records.write(self.path / DIVERGENT, {GROUP: self.divergent_steps.dataset()})
        put(self.path / RECORD, content)
        return self

    @cached_property
    def certificate(self) -> Certificate:
        """As of `Draws`; the folder of a run that has ended keeps it, where it can be written."""
        made = super().certificate
        self.__dict__["certificate"] = made
        if self.target is not None and (self.path / RECORD).exists():
            with contextlib.suppress(OSError):
                self.remember(())
        return made

    def blocks(self) -> Iterator[Tensor]:
        """x by blocks, each (chains, block, dim)."""
        size = self._group["x"].chunks[0]
        for start in range(0, self.complete, size):
            yield self._read("x", start, min(start + size, self.complete))


def open_stream(path: Path, target: Target | None) -> StreamedDraws:
    """The draws that are whole in the folder of a streamed run, finished or not."""
    if not (path / "complete.json").exists():
        raise ValueError(f"path: {path} holds no complete block of a streamed run")
    record = path / RECORD
    content = json.loads(record.read_text()) if record.exists() else {}
    moments = content.pop("moments", None)
    diverged = records.groups(path / DIVERGENT).get(GROUP) if record.exists() and (path / DIVERGENT).exists() else None
    draws = StreamedDraws(
        path,
        target,
        moments=None if moments is None else kept.moments(moments),
        divergent_steps=None if diverged is None else DivergentSteps.from_dataset(diverged),
        **kept.fields(content),
    )
    if target is not None and draws.complete:
        check_density(draws._read("x", stop=1), draws._read("lp", stop=1) if "lp" in draws.names else None, target)
    return kept.certified(draws, content)
