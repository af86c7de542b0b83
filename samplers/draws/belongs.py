"""Whether draws of a file are draws of the target that they are read with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from targets import Target
from targets.parametrised import Parametrised

NEAR = 1e-4  # relative: files of float32 runs, and constraints computed by other versions


def check_belongs(x: Tensor, stored: Mapping[str, Tensor], target: Target) -> None:
    """ValueError where the first draw of a file, named values `stored` at x, is not what the target makes of it."""
    if x.shape[-1] != target.dim:
        raise ValueError(f"target: got {target.dim} dimensions, expected {x.shape[-1]}, those of the draws in the file")
    if missing := [name for name in getattr(target, "parameters", {}) if name not in stored]:
        raise ValueError(f"target: has the parameters {missing}, expected those of the file, {list(stored)}")
    if not x.numel() or not isinstance(target, Parametrised):
        return
    with torch.no_grad():
        made = target.constrain(x[:1, :1].to(device=target.device, dtype=target.dtype))
    for name in target.parameters:
        ours, theirs = made[name].cpu().double(), stored[name][:1, :1].double()
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=NEAR, atol=NEAR, equal_nan=True):
            raise ValueError(
                f"target: makes another {name!r} of the first draw than the file holds; expected the target of the "
                "run, with its parameters in the same order"
            )
