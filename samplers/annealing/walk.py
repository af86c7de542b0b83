"""The walk of a cloud along a path as a run: it stops after any temperature and continues to the same bits."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch

from samplers.adaptation.metrics import LowRank, from_kept, kept
from samplers.annealing.annealer import Run
from samplers.identity.words import of_array
from samplers.kernels import Kernel
from samplers.runs.state import put_back, values
from targets import Target

LISTS = ("betas", "ess", "acceptance")
NUMBERS = ("divergences", "worst_ess", "undefined")
TUNED = ("step_size", "inverse_mass_matrix", "metric", "trajectory_length", "max_steps")


class Walk(Run):
    """A run of which all is saved that its next step depends on. seed: that of its generator."""

    seed: int = 0

    def densities(self) -> dict[str, Target]:
        return {"target": self.target, "base": self.path.base}

    def settings(self) -> dict[str, Any]:
        sampler = self.sampler
        names = [f.name for f in fields(sampler) if f.name not in ("kernel", "base", "path", "betas")]
        kernels = sampler.kernel if isinstance(sampler.kernel, tuple) else (self.given,)
        return {
            **{name: getattr(sampler, name) for name in names},
            "kernel": [_parameters(kernel) for kernel in kernels],
            "base": self.path.base.name,
            "temperatures": "adaptive" if sampler.betas is None else list(sampler.betas),  # type: ignore[arg-type]
            "draws": self.n,
            "seed": self.seed,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "state": values(self.cloud.state),
            "cloud": self.cloud.kept(),
            "worst_weights": self.worst_weights,
            "kernels": [{name: kept(getattr(k, name)) for name in TUNED if hasattr(k, name)} for k in self.kernels],
            "tuner": self.tuner.state_dict(),
            "lists": {name: list(getattr(self, name)) for name in LISTS},
            "numbers": {name: getattr(self, name) for name in NUMBERS},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.cloud.state = put_back(self.cloud.state, saved["state"])
        self.cloud.take_back(saved["cloud"])
        self.worst_weights = saved["worst_weights"].to(self.target.device)
        self.kernels = [
            self.fixed[k] if self.fixed else _with(self.given, tuned).placed(self.target)
            for k, tuned in enumerate(saved["kernels"])
        ]
        self.tuner.load_state_dict(saved["tuner"])
        for name, value in (saved["lists"] | saved["numbers"]).items():
            setattr(self, name, value)


def _with(kernel: Kernel, tuned: dict[str, Any]) -> Kernel:
    """The kernel with fields as they were saved."""
    return replace(kernel, **{name: from_kept(value) for name, value in tuned.items()})


def _parameters(kernel: Kernel) -> dict[str, Any]:
    """The name of a kernel and its fields, as far as they are numbers and words; of a matrix a digest."""
    found: dict[str, Any] = {"name": type(kernel).__name__}
    for field in fields(kernel):
        value = getattr(kernel, field.name)
        if isinstance(value, torch.Tensor):
            found[field.name] = of_array(value)
        elif isinstance(value, LowRank):
            found[field.name] = {name: of_array(one) for name, one in value.tensors().items()}
        elif value is None or isinstance(value, (bool, int, float, str)):
            found[field.name] = value
    return found
