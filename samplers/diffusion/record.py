"""Checkpoints of training: a run that stopped continues after its last saved iteration, to the same bits."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from samplers.diffusion import distributed
from samplers.diffusion.space import Space
from samplers.diffusion.training import Run
from samplers.identity import known
from samplers.path_measures.evaluation import Evaluation
from samplers.runs import checkpoint as checkpoints
from targets import GaussianMixture, Target
from targets.counting import Tally
from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct

if TYPE_CHECKING:
    from samplers.diffusion.method import LearnedSampler

PROBES = 4


class Record:
    """Writes what a run is to a file once a minute and at the end, between two iterations; nothing without a path."""

    def __init__(self, method: LearnedSampler, target: Target, seed: int, iterations: int, path: Path | None) -> None:
        self._path, self._target, self.seconds = path, target, 0.0
        self._prior = method.prior.to(target.device, target.dtype) if isinstance(method.prior, Target) else None
        if path is not None and distributed.rank():
            self._path = path.with_name(f"{path.name}.{distributed.rank()}")
        self._header = method.describe() | {
            **checkpoints.of_target(target),
            "seed": seed,
            "iterations": iterations,
        }
        self._next = time.monotonic() + checkpoints.INTERVAL
        self._known: dict[str, Any] | None = None
        self._before: dict[str, Any] = {}

    def load(self) -> dict[str, Any] | None:
        """What is in the file, or None where there is none; ValueError where it belongs to another run or target."""
        if self._path is None or not self._path.exists():
            return None
        saved = checkpoints.load(self._path, self._header)
        self._known = saved["known"]
        for role, density in self._densities().items():
            checkpoints.check_density(self._path, density, saved["known"][role], role)
        self.seconds = saved["seconds"]
        return saved

    def _densities(self) -> dict[str, Target]:
        """What must be the same for a checkpoint to be continued, by role."""
        return {"target": self._target} | ({} if self._prior is None else {"prior": self._prior})

    def begin(self, space: Space, tally: Tally, seconds: float) -> None:
        """Write what the pilot has found, and what to know the densities again by."""
        if self._path is None:
            return
        x = probes(space, self._target)
        self._known = {role: known(density, x).state_dict() for role, density in self._densities().items()}
        found = {"space": pack_space(space), "measure": None, "tally": asdict(tally), "seconds": seconds}
        checkpoints.save(self._path, {"header": self._header, "known": self._known, **found})

    def space(self, saved: dict[str, Any]) -> Space:
        """The coordinates that the pilot had found."""
        return unpack_space(saved["space"], self._target)

    def restore(self, saved: dict[str, Any], run: Run, tally: Tally) -> None:
        """Put a new run where the saved one was."""
        device = self._target.device
        run.measure.load_state_dict(saved["measure"])
        run.optimiser.load_state_dict(saved["optimiser"])
        run.average = [value.to(device) for value in saved["average"]]
        run.log_z.data.copy_(saved["log_z"])
        run.generator.set_state(saved["generator"])
        run.iteration, run.lost, run.skipped = saved["counts"]
        run.history.update(saved["history"])
        run.untrained = None if saved["untrained"] is None else Evaluation(**saved["untrained"])
        if run.buffer is not None:
            run.buffer.load_state_dict(saved["buffer"])
        if run.witnesses is not None:
            run.witnesses.load_state_dict(saved["witnesses"])
        if run.move_steps is not None:
            run.move_steps.copy_(saved["move_steps"])
        tally.__dict__.update(saved["tally"])

    def mark(self, run: Run, tally: Tally) -> None:
        """Remember what to go back to when the iteration that begins fails halfway: what it changes before its end."""
        if self._path is not None:
            self._before = {"iteration": run.iteration, "tally": asdict(tally)} | _drawn(run, copied=True)

    def stepped(self, run: Run, space: Space, tally: Tally, seconds: float) -> None:
        """After an iteration: save where a minute has gone by."""
        if self._path is not None and time.monotonic() > self._next:
            self.save(run, space, tally, seconds)
            self._next = time.monotonic() + checkpoints.INTERVAL

    def save(self, run: Run, space: Space, tally: Tally, seconds: float) -> None:
        """Write the run as it is after its last whole iteration."""
        if self._path is None:
            return
        drawn = _drawn(run) | {"tally": asdict(tally)}
        if self._before.get("iteration") == run.iteration:  # the iteration after the mark did not end
            drawn = {name: self._before[name] for name in drawn}
        content = {
            "header": self._header,
            "space": pack_space(space),
            "measure": run.measure.state_dict(),
            "optimiser": run.optimiser.state_dict(),
            "average": run.average,
            "log_z": run.log_z.detach(),
            "counts": [run.iteration, run.lost, run.skipped],
            "history": run.history,
            "untrained": None if run.untrained is None else asdict(run.untrained),
            "seconds": seconds,
            "known": self._known,
            **drawn,
        }
        checkpoints.save(self._path, content)


def _drawn(run: Run, copied: bool = False) -> dict[str, Any]:
    """What an iteration changes before it learns: the generator and the points that it moves."""

    def state(holder: Any) -> dict[str, Any] | None:
        values = None if holder is None else holder.state_dict()
        if values is None or not copied:
            return values
        return {name: value.clone() if isinstance(value, Tensor) else value for name, value in values.items()}

    moved = run.move_steps.clone() if copied and run.move_steps is not None else run.move_steps
    return {
        "generator": run.generator.get_state(),
        "buffer": state(run.buffer),
        "witnesses": state(run.witnesses),
        "move_steps": moved,
    }


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
        exact = space.mixture._exact
        mixture = {name: exact[name] for name in ("means", "weights", "scales", "factors") if name in exact}
    return {
        "shift": space.shift,
        "factor": space.factor,
        "source": space.source,
        "mixture": mixture,
        "witnesses": space.witnesses,
        "log_z": space.log_z,
    }


def unpack_space(packed: dict[str, Any], target: Target) -> Space:
    """The coordinates that `pack_space` was given."""
    mixture: GaussianMixture | MixtureProduct | None = None
    parts = packed["mixture"]
    if parts is not None and "blocks" in parts:
        groups = [Blocks(**group) for group in parts["blocks"]]
        mixture = MixtureProduct(groups, dtype=target.dtype).to(target.device)
    elif parts is not None:
        spread = (
            {"scales": parts["scales"]}
            if "scales" in parts
            else {"covariances": parts["factors"] @ parts["factors"].mT}
        )
        mixture = GaussianMixture(parts["means"], **spread, weights=parts["weights"]).to(target.device, target.dtype)
    device = target.device
    witnesses = None if packed["witnesses"] is None else packed["witnesses"].to(device)
    shift, factor = packed["shift"].to(device), packed["factor"].to(device)
    return Space(shift, factor, mixture, packed["source"], witnesses, packed["log_z"])
