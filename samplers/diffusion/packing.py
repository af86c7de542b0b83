"""Samplers and coordinates as tensors and plain values, for checkpoints and files."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from samplers.diffusion.space import Space
from samplers.path_measures.prior import mixture_of_factors
from targets import GaussianMixture, Target
from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct

FORMAT = "unnorm learned sampler 4"
PROBES = 4


def probes(space: Space, density: Target) -> Tensor:
    """A few points around the middle, (PROBES, dim), at which a density is known again."""
    x = space.shift.to(density.dtype).expand(PROBES, -1)
    return x + torch.linspace(-1, 1, PROBES, dtype=x.dtype, device=x.device)[:, None] * space.spread.to(x)


def pack_space(space: Space) -> dict[str, Any]:
    """Coordinates as tensors and plain values."""
    mixture: dict[str, Any] | None = None
    if isinstance(space.mixture, MixtureProduct):
        mixture = {"blocks": [group.state() for group in space.mixture.blocks]}
    elif space.mixture is not None:
        mixture = dict(space.mixture._exact)
    return {**vars(space), "mixture": mixture}


def unpack_space(packed: dict[str, Any], target: Target) -> Space:
    """The coordinates that `pack_space` was given."""
    mixture: GaussianMixture | MixtureProduct | None = None
    parts = packed["mixture"]
    if parts is not None and "blocks" in parts:
        groups = [Blocks(**group) for group in parts["blocks"]]
        mixture = MixtureProduct(groups, dtype=target.dtype).to(target.device)
    elif parts is not None:
        factors = parts["scales"] if "scales" in parts else parts["factors"]
        mixture = mixture_of_factors(parts["means"], factors, parts["weights"]).to(target.device, target.dtype)
    moved = {name: value.to(target.device) for name, value in packed.items() if isinstance(value, Tensor)}
    return Space(**{**packed, **moved, "mixture": mixture})
