"""Files of what was learned: tensors and plain values under the name of a format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from samplers.runs.checkpoint import UNREADABLE


def read(path: str | Path, expected: str | None, writers: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The content of a file of the expected format, or of any where that is None.

    FileNotFoundError, and ValueError for another file, which names the writers of such files.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path: {path} does not exist")
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        found = content["format"]
    except UNREADABLE as error:
        raise ValueError(f"path: {path} is not a file written by {writers}, or damaged ({error})") from error
    if expected is not None and found != expected:
        raise ValueError(f"path: {path} has the format {found!r}, expected {expected!r}")
    return content
