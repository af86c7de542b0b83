"""Checkpoint files: written whole or not at all, and checked before they are believed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch


def save(path: Path, content: dict[str, Any]) -> None:
    """Write beside the path, then move there, so that a crash leaves the last whole checkpoint."""
    partial = path.with_name(path.name + ".partial")
    try:
        torch.save(content, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    """The content, after checking that its header is this run's.

    Raises ValueError for a damaged file, and for a checkpoint of another run with the differences named.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        found = content["header"]
    except (EOFError, KeyError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError, OSError) as error:
        raise ValueError(
            f"checkpoint: {path} is truncated or not a checkpoint ({type(error).__name__}). "
            "Remove it to start the run from the beginning"
        ) from error
    different = [
        f"{key} is {found.get(key)!r} there and {header.get(key)!r} here"
        for key in sorted(found.keys() | header.keys())
        if found.get(key) != header.get(key)
    ]
    if different:
        raise ValueError(f"checkpoint: {path} belongs to another run: {'; '.join(different)}")
    return content
