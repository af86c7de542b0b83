"""What a checkpoint says of its run, and what must agree for it to be continued."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from samplers.draws.brief import in_full
from targets import Target


def of_target(target: Target) -> dict[str, Any]:
    """What a header says of the target."""
    return {
        "target": target.name,
        "dim": target.dim,
        "dtype": str(target.dtype),
        "device": target.device.type,
    }


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON and a checkpoint can hold."""
    return {
        key: value if isinstance(value, (str, int, float, list, type(None))) else in_full(value)
        for key, value in values.items()
    }


MORE = (
    ". A checkpoint continues a run to its planned end only; for more draws, start a run at the last ones of that run, "
    "with its tuned kernel and another seed: draws.kernel.sample(target, init=draws.x[:, -1], warmup=0, seed=...)"
)


def agree(path: Path, found: dict[str, Any], header: dict[str, Any], names: Iterable[str]) -> None:
    """ValueError with the differences where a checkpoint's header has other values of these names."""
    different = [
        f"{key} is {found.get(key)!r} there and {header.get(key)!r} here"
        for key in sorted(names)
        if found.get(key) != header.get(key)
    ]
    if different:
        more = MORE if [one.split(" ", 1)[0] for one in different] == ["draws"] else ""
        raise ValueError(f"checkpoint: {path} belongs to another run: {'; '.join(different)}{more}")
