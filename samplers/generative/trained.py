"""What a training gives, whether x is learned by itself or given conditions: the model, and how it came about."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from samplers.draws import Cost
from samplers.draws.places import file_place
from samplers.generative.score import noise_of
from samplers.generative.score_model import ScoreModel
from samplers.generative.score_spec import ScoreSpec
from samplers.generative.transformations import Transformation
from samplers.learning.packing import packed
from samplers.processes.base import Process
from samplers.runs.checkpoint import write
from targets import Gaussian, Target

FORMAT = "unnorm diffusion model 3"  # 1 had another network under the same name, 2 no conditions
NUMBERS = ("seed", "iterations", "validation", "untrained")


@dataclass(eq=False, repr=False)
class Trained:
    """The fields of `FittedDiffusion` and `ConditionalDiffusion`, as the former says."""

    settings: dict[str, Any]
    spec: ScoreSpec | None
    model: ScoreModel
    transformation: Transformation
    start: Gaussian
    seed: int
    iterations: int
    history: dict[str, list[float]] = field(default_factory=dict)
    validation: float = float("nan")
    untrained: float = float("nan")
    notes: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {self.dim} coordinates, {self.iterations:,} iterations\n{self}"

    def __str__(self) -> str:
        return f"held-out loss {self.validation:.5g}; {self.untrained:.5g} that of the Gaussian of the samples' moments"

    @property
    def process(self) -> Process:
        """The noising process."""
        return self.model.process

    @property
    def dim(self) -> int:
        """That of the coordinates u."""
        return self.start.dim

    @cached_property
    def prior(self) -> Target:
        """The law from which the reverse process starts: that of u at the horizon, were the data Gaussian. Of a model
        given a condition its mean is moved (`samplers.generative.horizon`)."""
        return at_time(self.start, self.process, self.process.horizon)

    def written(self, path: str | Path, conditions: Any = None) -> Path:
        """Write to a file for `samplers.generative.load`; ValueError for a network of one's own."""
        if self.spec is None:
            raise ValueError("path: a network of one's own cannot be written; save fitted.model.state_dict() instead")
        path = file_place(path, "path")
        content = {
            "format": FORMAT,
            "settings": self.settings,
            "spec": packed(self.spec),
            "process": packed(self.process),
            "parametrisation": packed(self.model.parametrisation),
            "transformation": packed(self.transformation),
            "conditions": packed(conditions),
            "start": {"mean": self.start.mean, "covariance": self.start.covariance},
            "network": self.model.network.state_dict(),
            "numbers": {name: getattr(self, name) for name in NUMBERS},
            "history": self.history,
            "notes": self.notes,
            "cost": asdict(self.cost),
        }
        write(path, content)
        return path


def at_time(start: Gaussian, process: Process, t: float) -> Gaussian:
    """The law of x_t for x_0 of a Gaussian law."""
    scale, variance = (float(value) for value in process.transition(0.0, t))
    unit = noise_of(process).covariance(start.dim)
    covariance = scale**2 * start.covariance.double() + variance * unit.to(start.device)
    mean: Tensor = scale * start.mean.double()
    return Gaussian(mean.to(start.dtype), covariance=covariance.to(start.dtype))
