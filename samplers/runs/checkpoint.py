"""Checkpoint files: written whole or not at all, and checked before they are believed."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from samplers.identity import Known
from targets import Target

INTERVAL = 60.0  # seconds from one save to the next


def save(path: Path, content: dict[str, Any]) -> None:
    """Write beside the path, then move there, so that a crash leaves the last whole checkpoint."""
    partial = path.with_name(path.name + ".partial")
    try:
        torch.save(content, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_quietly(save: Callable[[], None]) -> None:
    """Save on the way out of an error, which must stay the one that is seen: a full disk or a lost device add none."""
    with contextlib.suppress(OSError, RuntimeError):
        save()


def load(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    """The content, after checking that its header is this run's.

    Raises ValueError for a damaged file, and for a checkpoint of another run with the differences named.
    """
    content = _read(path)
    _compare(path, content["header"], header, content["header"].keys() | header.keys())
    return content


def check_begun(path: Path | None, header: dict[str, Any]) -> None:
    """ValueError where a checkpoint is there whose header has another value of these: before a pilot is run for it."""
    if path is not None and path.exists():
        _compare(path, _read(path)["header"], header, header.keys())


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        for part in ("header", "known"):
            content[part]
    except (EOFError, KeyError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError, OSError) as error:
        raise ValueError(
            f"checkpoint: {path} is truncated or not a checkpoint ({type(error).__name__}). "
            "Remove it to start the run from the beginning"
        ) from error
    return content


def _compare(path: Path, found: dict[str, Any], header: dict[str, Any], names: Iterable[str]) -> None:
    different = [
        f"{key} is {found.get(key)!r} there and {header.get(key)!r} here"
        for key in sorted(names)
        if found.get(key) != header.get(key)
    ]
    if different:
        raise ValueError(f"checkpoint: {path} belongs to another run: {'; '.join(different)}")


def of_target(target: Target) -> dict[str, Any]:
    """What a header says of the target."""
    return {
        "target": target.name,
        "dim": target.dim,
        "dtype": str(target.dtype),
        "device": target.device.type,
    }


def check_density(path: Path, density: Target, known: dict[str, Any], role: str = "target") -> None:
    """ValueError where a density is not the one of which the checkpoint remembers `known`, a `Known.state_dict()`."""
    other = Known.from_state(known).other(density)
    if other is not None:
        raise ValueError(
            f"checkpoint: {path} belongs to another {role}: {other}. Name another file, or remove "
            "this one for a new run"
        )


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON and a checkpoint can hold."""
    return {
        key: value if isinstance(value, (str, int, float, list, type(None))) else repr(value)
        for key, value in values.items()
    }
