"""Checkpoint files: written whole or not at all, and checked before they are believed."""

from __future__ import annotations

import contextlib
import pickle
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from samplers.draws.places import whole
from samplers.identity import POINTS, Known, known
from samplers.runs.header import agree, of_target
from samplers.runs.job import Job
from targets import Target

# what torch.load and a look at what it gives raise of files that are damaged, or of another kind
UNREADABLE = (AttributeError, EOFError, IndexError, KeyError, RuntimeError, TypeError, ValueError, OSError,
              pickle.UnpicklingError)  # fmt: skip
INTERVAL = 60.0  # seconds from one save to the next
FORMAT = 3


class Checkpoint:
    """The file of a job: written once a minute, at its end and in a crash, always after a whole step.

    ValueError where there is one already that is damaged, or of a job with another header. Without a path nothing is
    kept.
    """

    def __init__(self, path: Path | None, job: Job) -> None:
        self._path, self._job = path, job
        self._saved = None
        if path is not None and path.exists():
            self._saved = _read(path)
            header = job.header()
            agree(path, self._saved["header"], header, self._saved["header"].keys() | header.keys())
        self._next = time.monotonic() + INTERVAL
        self._known: dict[str, dict[str, Any]] | None = None
        self._mark: dict[str, Any] = {}

    def begin(self) -> None:
        """Begin the job, or bring it to where the file left it; ValueError where one of its densities is another."""
        job, saved = self._job, self._saved
        if saved is None:
            x = job.begin()
            if self._path is not None:
                self._known = {role: known(one, x[:POINTS]).state_dict() for role, one in job.densities().items()}
            self.save()
            return
        for role, density in job.densities().items():
            other = Known.from_state(saved["known"][role]).other(density)
            if other is not None:
                raise ValueError(
                    f"checkpoint: {self._path} belongs to another {role}: {other}. Name another file, or remove "
                    "this one for a new run"
                )
        self._known = saved["known"]
        job.done = saved["done"]
        job.load_state_dict(saved)
        job.generator.set_state(saved["generator"].cpu())
        job.tally.restore(saved["tally"])
        job.said[:] = saved.get("said", [])
        job.earlier += saved["seconds"]
        self._saved = None

    def mark(self) -> None:
        """Remember what to go back to where the step that begins fails halfway."""
        if self._path is not None:
            self._mark = {**self._job.before_step(), **self._drawn()}

    def save_when_due(self) -> None:
        """Save if the last time was a minute ago."""
        if self._path is not None and time.monotonic() > self._next:
            self.save()
            self._next = time.monotonic() + INTERVAL

    def save_quietly(self) -> None:
        """Save on the way out of an error, which stays the one seen: a full disk or a lost device add none."""
        with contextlib.suppress(OSError, RuntimeError):
            self.save()

    def save(self) -> None:
        """Write the job as it is after its last whole step; nothing where the densities have not been seen yet."""
        if self._path is None or self._known is None:
            return
        content = {**self._job.state_dict(), **self._drawn()}
        if self._mark.get("done") == self._job.done:  # the step after the mark did not end
            content |= self._mark
        about = {"format": FORMAT, "header": self._job.header(), "known": self._known, "seconds": self._job.seconds}
        write(self._path, about | content)

    def _drawn(self) -> dict[str, Any]:
        job = self._job
        return {
            "done": job.done,
            "generator": job.generator.get_state(),
            "tally": asdict(job.tally),
            "said": list(job.said),
        }


def write(path: Path, content: dict[str, Any]) -> None:
    """The content as a file that torch reads."""
    with whole(path) as partial:
        torch.save(content, partial)


def check_begun(path: Path | None, name: str, settings: dict[str, Any], target: Target) -> None:
    """ValueError where a checkpoint of another run is there, as far as these tell: before a pilot is run for it."""
    if path is not None and path.exists():
        header = {"sampler": name, **settings, **of_target(target)}
        agree(path, _read(path)["header"], header, header.keys())


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        of_this = content.get("format", 1) == FORMAT
        for part in ("header", "known"):
            content[part]
    except UNREADABLE as error:
        raise ValueError(
            f"checkpoint: {path} is truncated or not a checkpoint ({type(error).__name__}). "
            "Remove it to start the run from the beginning"
        ) from error
    if not of_this:
        raise ValueError(
            f"checkpoint: {path} was written by another version of this package, expected its format {FORMAT}. Remove "
            "it to start the run from the beginning"
        )
    return content
