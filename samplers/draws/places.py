"""Where files go: made and tried before a run, so that none is done for nothing."""

from __future__ import annotations

import os
from pathlib import Path


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
