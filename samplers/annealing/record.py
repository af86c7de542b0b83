"""Checkpoints of a walk along a path: it stops after any temperature and continues to the same bits."""

from __future__ import annotations

import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from samplers.annealing.annealer import Run
from samplers.identity import POINTS, known
from samplers.identity.contents import of_array
from samplers.kernels import Kernel
from samplers.runs import checkpoint as checkpoints
from targets import Target

LISTS = ("betas", "ess", "acceptance")
NUMBERS = ("divergences", "worst_ess", "undefined")
TUNED = ("step_size", "inverse_mass_matrix", "trajectory_length", "max_steps")


class Record:
    """Keeps what a run is after its last whole step, and writes it to a file once a minute, at the end, and in a crash.

    A file that is there already is read into the run; ValueError where it belongs to another run or target. Without a
    path nothing is kept.
    """

    def __init__(self, run: Run, plan: dict[str, Any], path: Path | None) -> None:
        self._run, self._plan, self._path = run, plan, path
        self.seconds = 0.0
        if path is None:
            return
        self._header = self._describe()
        if path.exists():
            self._restore(path, checkpoints.load(path, self._header))
        else:
            x = run.cloud.state.x
            self._known = {role: known(one, x[:POINTS]).state_dict() for role, one in self._densities().items()}
        self._content = self._present(self.seconds)
        self._next = time.monotonic() + checkpoints.INTERVAL

    def stepped(self, seconds: float) -> None:
        """Take note of a whole step."""
        if self._path is None:
            return
        self._content = self._present(seconds)
        if time.monotonic() > self._next:
            self.save()
            self._next = time.monotonic() + checkpoints.INTERVAL

    def save(self) -> None:
        """Write the last whole step."""
        if self._path is not None:
            checkpoints.save(self._path, self._content)

    def save_quietly(self) -> None:
        """Save on the way out of a crash, whose own error must stay the one that is seen."""
        checkpoints.save_quietly(self.save)

    def _densities(self) -> dict[str, Target]:
        """What must be the same for a checkpoint to be continued, by role."""
        return {"target": self._run.target, "base": self._run.path.base}

    def _describe(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        run = self._run
        sampler, target = run.sampler, run.target
        names = [f.name for f in fields(sampler) if f.name not in ("kernel", "base", "path", "betas")]
        kernels = sampler.kernel if isinstance(sampler.kernel, tuple) else (run.given,)
        return {
            "sampler": type(sampler).__name__,
            **{name: getattr(sampler, name) for name in names},
            "kernel": [_parameters(kernel) for kernel in kernels],
            "base": run.path.base.name,
            "temperatures": "adaptive" if sampler.betas is None else list(sampler.betas),  # type: ignore[arg-type]
            **self._plan,
            **checkpoints.of_target(target),
        }

    def _present(self, seconds: float) -> dict[str, Any]:
        run, cloud = self._run, self._run.cloud
        return {
            "header": self._header,
            "known": self._known,
            "state": {f.name: getattr(cloud.state, f.name) for f in fields(cloud.state)},
            "cloud": cloud.kept(),
            "worst_weights": run.worst_weights,
            "kernels": [{name: getattr(k, name) for name in TUNED if hasattr(k, name)} for k in run.kernels],
            "tuner": run.tuner.state_dict(),
            "lists": {name: list(getattr(run, name)) for name in LISTS},
            "numbers": {name: getattr(run, name) for name in NUMBERS},
            "generator": run.generator.get_state(),
            "tally": asdict(run.path.tally),
            "seconds": seconds,
        }

    def _restore(self, path: Path, saved: dict[str, Any]) -> None:
        run, cloud, device = self._run, self._run.cloud, self._run.target.device
        self._known = saved["known"]
        for role, density in self._densities().items():
            checkpoints.check_density(path, density, self._known[role], role)
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
        run.generator.set_state(saved["generator"].cpu())
        run.path.tally.__dict__.update(saved["tally"])
        self.seconds = saved["seconds"]


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
