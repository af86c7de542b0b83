"""Learned samplers in files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from samplers import checkpoint as checkpoints
from samplers.diffusion.fitted import Fitted
from samplers.diffusion.networks.flow import FlowNetwork
from samplers.diffusion.record import pack_space, unpack_space
from samplers.draws import Cost
from targets import Target


def save(fitted: Fitted, path: Path) -> Path:
    """Write everything but the target."""
    raise NotImplementedError


def load(path: str | Path, target: Target) -> Fitted:
    """The sampler that `Fitted.save` wrote, for its target."""
    raise NotImplementedError
