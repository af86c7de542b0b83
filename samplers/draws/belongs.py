"""Whether draws of a file or a folder belong to the target that they are read with: the first of them is looked at."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from targets import Target
from targets.parametrised import Parametrised
from targets.with_truth import without_truth

NEAR = 1e-4  # relative: runs in float32, and maps computed by other versions


def check_names(x: Tensor, stored: Mapping[str, Tensor], target: Target) -> None:
    """ValueError where the target does not make the named values `stored` of points x, (chains, draws, dim)."""
    check_dim(x.shape[-1], target)
    model = without_truth(target)
    if not isinstance(model, Parametrised):
        return
    if missing := [name for name in model.parameters if name not in stored]:
        raise ValueError(f"target: has the parameters {missing}, expected those of the file, {list(stored)}")
    if not x.numel():
        return
    made = model.constrain(_first(x, model))
    for name in model.parameters:
        if not _same(made[name], stored[name][:1, :1]):
            raise ValueError(
                f"target: makes another {name!r} of the first draw than the file holds; expected the target of the "
                "run, with its parameters in the same order"
            )


def check_density(x: Tensor, lp: Tensor | None, target: Target) -> None:
    """ValueError where the density at points x is not lp (chains, draws); for draws that are kept without names."""
    check_dim(x.shape[-1], target)
    if lp is None or not x.numel():
        return
    with torch.no_grad():
        found = target.log_prob(_first(x, target))
    if not _same(found, lp[:1, :1]):
        raise ValueError(
            f"target: has the log-density {found.item():.6g} at the first draw and the run {lp[0, 0].item():.6g}, "
            "expected the target of the run, with its parameters in the same order"
        )


def check_dim(dim: int, target: Target) -> None:
    """ValueError for a target of another dimension."""
    if dim != target.dim:
        raise ValueError(f"target: got {target.dim} dimensions, expected {dim}, those of the draws")


def _first(x: Tensor, target: Target) -> Tensor:
    return x[:1, :1].to(device=target.device, dtype=target.dtype)


def _same(found: Tensor, kept: Tensor) -> bool:
    found, kept = found.detach().cpu().double(), kept.double()
    return found.shape == kept.shape and torch.allclose(found, kept, rtol=NEAR, atol=NEAR, equal_nan=True)
