"""The walk of a cloud along a path as a run: it stops after any temperature and continues to the same bits."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from samplers.annealing.annealer import Run
from samplers.identity.words import of_array
from samplers.kernels import Kernel
from samplers.runs.job import Job
from targets import Target

LISTS = ("betas", "ess", "acceptance")
NUMBERS = ("divergences", "worst_ess", "undefined")
TUNED = ("step_size", "inverse_mass_matrix", "trajectory_length", "max_steps")


class Walk(Job):
    """A cloud on its way; a step is a temperature. `seconds` is what was spent before it set out."""

    unit, whole = "temperatures", False

    def __init__(self, run: Run, seed: int, seconds: float) -> None:
        betas = run.sampler.betas
        total = len(betas) - 1 if isinstance(betas, tuple) else None
        super().__init__(type(run.sampler).__name__, run.target, run.generator, total, run.path.tally)
        self.run, self.seed, self.earlier = run, seed, seconds

    def begin(self) -> Tensor:
        return self.run.cloud.state.x

    @property
    def finished(self) -> bool:
        return self.run.done

    def step(self) -> None:
        self.run.step()

    def figures(self) -> str:
        run = self.run
        return (
            f"b {run.betas[-1]:.3g}, ESS {run.ess[-1]:.2f}, acceptance {run.acceptance[-1]:.2f}, "
            f"log Z {float(run.cloud.log_z.mean()):.4g}"
        )

    def so_far(self) -> str:
        return f"at b = {self.run.betas[-1]:.3g}, before the target at b = 1"

    def densities(self) -> dict[str, Target]:
        return {"target": self.target, "base": self.run.path.base}

    def settings(self) -> dict[str, Any]:
        run = self.run
        sampler = run.sampler
        names = [f.name for f in fields(sampler) if f.name not in ("kernel", "base", "path", "betas")]
        kernels = sampler.kernel if isinstance(sampler.kernel, tuple) else (run.given,)
        return {
            **{name: getattr(sampler, name) for name in names},
            "kernel": [_parameters(kernel) for kernel in kernels],
            "base": run.path.base.name,
            "temperatures": "adaptive" if sampler.betas is None else list(sampler.betas),  # type: ignore[arg-type]
            "draws": run.n,
            "seed": self.seed,
        }

    def state_dict(self) -> dict[str, Any]:
        run, cloud = self.run, self.run.cloud
        return {
            "state": {f.name: getattr(cloud.state, f.name) for f in fields(cloud.state)},
            "cloud": cloud.kept(),
            "worst_weights": run.worst_weights,
            "kernels": [{name: getattr(k, name) for name in TUNED if hasattr(k, name)} for k in run.kernels],
            "tuner": run.tuner.state_dict(),
            "lists": {name: list(getattr(run, name)) for name in LISTS},
            "numbers": {name: getattr(run, name) for name in NUMBERS},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        run, cloud, device = self.run, self.run.cloud, self.target.device
        values: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in saved["state"].items()}
        cloud.state = replace(cloud.state, **values)
        cloud.take_back(saved["cloud"])
        run.worst_weights = saved["worst_weights"].to(device)
        given = run.sampler.kernel
        run.kernels = [
            given[k].placed(run.target) if isinstance(given, tuple) else replace(run.given, **tuned).placed(run.target)
            for k, tuned in enumerate(saved["kernels"])
        ]
        run.tuner.load_state_dict(saved["tuner"])
        for name, value in (saved["lists"] | saved["numbers"]).items():
            setattr(run, name, value)


def _parameters(kernel: Kernel) -> dict[str, Any]:
    """The name of a kernel and its fields, as far as they are numbers and words; of a matrix a digest."""
    found: dict[str, Any] = {"name": type(kernel).__name__}
    for field in fields(kernel):
        value = getattr(kernel, field.name)
        if isinstance(value, torch.Tensor):
            found[field.name] = of_array(value)
        elif value is None or isinstance(value, (bool, int, float, str)):
            found[field.name] = value
    return found
