"""Where files go: made and tried before a run, so that none is done for nothing; and how they are written whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


def file_place(path: str | Path, argument: str) -> Path:
    """The path of a file that will be written, its folder made; ValueError or OSError where it cannot be."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{argument}: {path} is a folder, expected the path of a file, such as {path / 'run.pt'}")
    folder_place(path.parent, argument)
    if path.exists() and not os.access(path, os.R_OK):
        raise PermissionError(f"{argument}: {path} cannot be read; expected a file that this user may read")
    return path


def folder_place(path: str | Path, argument: str) -> Path:
    """A folder that will be written into, made where it is missing; ValueError or OSError where it cannot be."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{argument}: {path} is a file, expected a folder")
    trial = path / f".trial-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise type(error)(
            error.errno, f"{argument}: nothing can be written in {path} ({error.strerror}); expected another place"
        ) from error
    return path


def as_file(name: str) -> str:
    """A name as that of a file: nothing that leaves its folder or is hidden."""
    quoted = quote(name, safe=" ()+=,")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside the path to write into, which takes its place at the end: a crash leaves the last whole file."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
