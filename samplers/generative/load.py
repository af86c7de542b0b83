"""Diffusion models from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Generator

from samplers.draws import Cost
from samplers.generative.bridges.fitted import FORMAT as BRIDGE, FittedBridge
from samplers.generative.columns import Column
from samplers.generative.conditional import ConditionalDiffusion
from samplers.generative.conditions import Conditions
from samplers.generative.fitted import FittedDiffusion
from samplers.generative.parametrisation import Parametrisation
from samplers.generative.regression import Regression
from samplers.generative.score_model import ScoreModel
from samplers.generative.score_spec import ScoreSpec
from samplers.generative.trained import FORMAT
from samplers.generative.transformations import Transformation
from samplers.learning.files import read
from samplers.learning.packing import members, unpacked
from samplers.processes.base import Process
from targets import CorrelatedNoise, Gaussian, IsotropicNoise, MRFNoise, Noise

FAMILIES = (Process, Parametrisation, Transformation, Column, ScoreSpec, Conditions)
NOISE: dict[str, Callable[..., Noise]] = {
    "CorrelatedNoise": CorrelatedNoise,
    "IsotropicNoise": IsotropicNoise,
    "MRFNoise": MRFNoise.of_state,
}


def load(path: str | Path, device: torch.device | str = "cpu") -> FittedDiffusion | ConditionalDiffusion | FittedBridge:
    """The model that `save` of `FittedDiffusion`, `ConditionalDiffusion` or `FittedBridge` wrote, on a device.

    FileNotFoundError, and ValueError for another file and for a process, parametrisation or bridge that this package
    lacks.
    """
    content = read(path, None, "FittedDiffusion.save", device)
    if content["format"] == BRIDGE:
        return FittedBridge.of_content(content)
    if content["format"] != FORMAT:
        raise ValueError(f"path: {path} has the format {content['format']!r}, expected {FORMAT!r} or {BRIDGE!r}")
    kinds = members(*FAMILIES) | NOISE
    spec, process, meaning, transformation, conditions = (
        unpacked(content[name], kinds, "samplers.generative")
        for name in ("spec", "process", "parametrisation", "transformation", "conditions")
    )
    start = Gaussian(content["start"]["mean"], covariance=content["start"]["covariance"], name="samples")
    generator = Generator(start.device).manual_seed(0)
    regression = None if conditions is None else Regression.none(conditions.size + 1, start.dim)
    network = spec.make(process, meaning, start.mean, start.covariance, generator, regression)
    network.load_state_dict(content["network"])
    fields = {
        "settings": content["settings"],
        "spec": spec,
        "model": ScoreModel(network, process, meaning).requires_grad_(False).eval(),
        "transformation": transformation,
        "start": start,
        **content["numbers"],
        "history": content["history"],
        "notes": content["notes"],
        "cost": Cost(**content["cost"]),
    }
    return FittedDiffusion(**fields) if conditions is None else ConditionalDiffusion(**fields, conditions=conditions)
