"""What a report must know of a target, written down beside the results, so that it can be made again without it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator

from samplers.compare.truth import Truth
from samplers.draws import Draws
from samplers.draws.names import scalars
from samplers.draws.places import as_file
from targets import Target

EXACT, GRID, SCALARS, SEED = 2000, 140, 64, 12_345
MARGIN = 0.08  # of the range, around the plane's picture


@dataclass(frozen=True)
class Facts:
    """name, dim, discrete; log_z or NaN; modes: weights; moments: {scalar: (mean, sd)} and where they come from.

    exact: draws of each scalar, {scalar: (n,)}, and their log-densities; plane: the log-density of a target in two
    dimensions on a grid, with its ranges. Empty where not known.
    """

    name: str
    dim: int
    discrete: bool
    log_z: float = math.nan
    mode_weights: list[float] = field(default_factory=list)
    moments: dict[str, tuple[float, float]] = field(default_factory=dict)
    source: str = ""
    notes: list[str] = field(default_factory=list)
    exact: dict[str, np.ndarray] = field(default_factory=dict)
    exact_lp: np.ndarray | None = None
    plane: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @classmethod
    def gather(cls, name: str, target: Target, truth: Truth | None, notes: list[str], draws: Iterable[Draws]) -> Facts:
        """All of it; `draws` are those that the plane's picture must hold."""
        known: dict[str, Any] = {"notes": list(notes)}
        if "log_z" in target.known:
            known["log_z"] = float(target.log_z)
        if "mode_weights" in target.known:
            known["mode_weights"] = target.mode_weights.tolist()
        if truth is not None:
            moments = {name: torch.stack([one.mean, one.sd]) for name, one in truth.moments.items()}
            known["moments"] = {name: tuple(value.tolist()) for name, value in scalars(moments, 1)}
            known["source"] = truth.source
        if "sample" in target.known:
            x = target.sample(EXACT, generator=Generator(target.device).manual_seed(SEED))
            drawn = Draws(x[None], target=target).constrained
            known["exact"] = {name: value[0] for name, value in islice(scalars(drawn), SCALARS)}
            known["exact_lp"] = target.log_prob(x).double().cpu().numpy()
        if target.dim == 2 and not target.discrete:
            try:
                known["plane"] = _plane(target, draws)
            except Exception as error:  # it refuses points outside its support, say
                known["notes"].append(f"there is no picture of the density: {type(error).__name__}: {error}")
        return cls(name, target.dim, target.discrete, **known)

    def save(self, folder: Path) -> None:
        """Write them to two files in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {key: value for key, value in vars(self).items() if key not in ("exact", "exact_lp", "plane")}
        arrays: dict[str, Any] = {f"exact:{key}": value.astype(np.float32) for key, value in self.exact.items()}
        if self.exact_lp is not None:
            arrays["lp"] = self.exact_lp
        if self.plane is not None:
            arrays |= dict(zip(("plane_x", "plane_y", "plane"), self.plane, strict=True))
        stem = as_file(self.name)
        np.savez_compressed(folder / f"{stem}.npz", **arrays)
        (folder / f"{stem}.json").write_text(json.dumps(plain, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path, name: str) -> Facts:
        """Read what `save` wrote."""
        stem = as_file(name)
        plain = json.loads((folder / f"{stem}.json").read_text())
        plain["moments"] = {key: tuple(value) for key, value in plain["moments"].items()}
        with np.load(folder / f"{stem}.npz") as arrays:
            exact = {key.removeprefix("exact:"): arrays[key] for key in arrays if key.startswith("exact:")}
            lp = arrays.get("lp")
            plane = (arrays["plane_x"], arrays["plane_y"], arrays["plane"]) if "plane" in arrays else None
        return cls(**plain, exact=exact, exact_lp=lp, plane=plane)


def _plane(target: Target, draws: Iterable[Draws]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    ranges = [np.quantile(one.x.reshape(-1, 2).double().cpu().numpy(), (0.001, 0.999), axis=0) for one in draws]
    if not ranges:
        return None
    a, b = np.min(ranges, 0)[0], np.max(ranges, 0)[1]
    a, b = a - MARGIN * (b - a), b + MARGIN * (b - a)
    x, y = np.linspace(a[0], b[0], GRID), np.linspace(a[1], b[1], GRID)
    points = torch.as_tensor(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
    with torch.no_grad():
        value = target.log_prob(points.to(target.device, target.dtype)).double().cpu().numpy().reshape(GRID, GRID)
    return x, y, value - value.max()
