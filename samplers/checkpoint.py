"""Checkpoint files: written whole or not at all, and checked before they are believed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplers.starts import brief
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


def check_density(path: Path, density: Target, x: Tensor, expected: Tensor, role: str = "target") -> None:
    """ValueError where the log-density at x (n, dim) is not the `expected` one (n,) that the checkpoint remembers."""
    expected, found = expected.to(x.device), density.log_prob(x)
    if not torch.allclose(expected, found, rtol=1e-4, atol=1e-4, equal_nan=True):
        raise ValueError(
            f"checkpoint: {path} belongs to another {role}: at the first points of that run the log-density was "
            f"{brief(expected)}, here it is {brief(found)}"
        )


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON and a checkpoint can hold."""
    return {
        key: value if isinstance(value, (str, int, float, list, type(None))) else repr(value)
        for key, value in values.items()
    }
