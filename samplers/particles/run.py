"""The run of a particle method: starting, iterating, progress, interruption, checkpoint and resume."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws import PARTICLES, Cost, Draws
from samplers.draws.places import file_place
from samplers.identity import POINTS, known
from samplers.particles.arrival import complaint
from samplers.particles.base import ParticleMethod, Swarm
from samplers.runs import checkpoint as checkpoints
from samplers.runs.interrupt import deferred_interrupt
from samplers.runs.progress import Progress
from samplers.runs.starts import START_ATTEMPTS, Init, check_starts, finite_starts, positions
from samplers.version import versions
from targets import Target
from targets.arguments import check_integer
from targets.counting import Counted, Tally
from targets.sampling_warning import warn


@dataclass(frozen=True)
class Plan:
    """How many particles, for how long."""

    draws: int
    iterations: int
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("iterations", 0), ("seed", 0)):
            check_integer(getattr(self, name), name, least)


@dataclass(frozen=True, eq=False)
class Progressed:
    """All that a run depends on after t iterations; `stayed` counts the moves not made, (n,)."""

    t: int
    state: Swarm
    stayed: Tensor
    tally: Tally


def run(
    method: ParticleMethod,
    target: Target,
    plan: Plan,
    *,
    init: Init,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    progress: bool | None,
    checkpoint: str | Path | None,
) -> Draws:
    """Run the method on the target as planned; the arguments are those of `ParticleMethod.sample`."""
    method.check_target(target)
    path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
    target = target.to(device, dtype)
    with torch.no_grad():
        return _Run(method, target, plan, init, path).finish(progress)


class _Run:
    def __init__(self, method: ParticleMethod, target: Target, plan: Plan, init: Init, checkpoint: Path | None) -> None:
        self.method, self.plan, self.target = method, plan, Counted(target)
        self.checkpoint = checkpoint
        self.seconds = 0.0
        if self.checkpoint is not None and self.checkpoint.exists():
            self._restore(self.checkpoint, checkpoints.load(self.checkpoint, self._header()))
        else:
            state = self._first_state(init)
            if self.checkpoint is not None:
                self.known = known(self.target, state.x[:POINTS]).state_dict()
            self.now = self._progressed(0, state, torch.zeros(plan.draws, dtype=torch.int64, device=target.device))

    def _progressed(self, t: int, state: Swarm, stayed: Tensor) -> Progressed:
        return Progressed(t, state, stayed, replace(self.target.tally))

    def _first_state(self, init: Init) -> Swarm:
        n, inner = self.plan.draws, self.target.inner
        generator = Generator(inner.device).manual_seed(self.plan.seed)
        state = self.method.init(self.target, positions(init, n, inner, generator))
        for _ in range(START_ATTEMPTS if init is None else 0):
            good = finite_starts(state)
            if bool(good.all()):
                break
            # starts chosen here are drawn again until the density is finite; those that a user gives are not
            x = torch.where(good[:, None], state.x, positions(None, n, inner, generator))
            state = self.method.init(self.target, x)
        check_starts(state, "particle", self.target)
        if not bool(self.method.squared_bandwidth(state.x) > 0):
            raise ValueError(
                "init: at least half of the pairs of particles coincide, so that their median distance is 0; "
                "expected different starts, since particles that coincide never part"
            )
        return state

    def finish(self, progress: bool | None) -> Draws:
        """Go through the iterations that are left; returns the particles, also those of an interrupted run."""
        label = f"{type(self.method).__name__} on {self.target.name}"
        bar = Progress(self.plan.iterations, self.now.t, progress, label)
        began, interrupted = time.perf_counter() - self.seconds, False
        next_save = time.monotonic() + checkpoints.INTERVAL
        try:
            with deferred_interrupt() as pressed:
                while self.now.t < self.plan.iterations and not interrupted:
                    state, stayed = self.method.step(self.target, self.now.state, self.now.t)
                    self.now = self._progressed(self.now.t + 1, state, self.now.stayed + stayed)
                    self.seconds = time.perf_counter() - began
                    bar.advance(self._figures)
                    interrupted = pressed.is_set()
                    if time.monotonic() > next_save:
                        self._save()
                        next_save = time.monotonic() + checkpoints.INTERVAL
        except KeyboardInterrupt:
            interrupted = True
        except BaseException:
            checkpoints.save_quietly(self._save)
            raise
        finally:
            bar.close()
        self._save()
        if interrupted:
            warn(f"interrupted: {self.now.t} of {self.plan.iterations} iterations are done")
        moves = int(self.now.stayed.sum())
        if moves:
            warn(
                f"{moves} of {self.now.t * self.plan.draws} moves were not made (particles: "
                f"{int((self.now.stayed > 0).sum())} of {self.plan.draws}): they led to where the log-density or score "
                "is not finite. The step size is too large there, or the target's support ends"
            )
        assert self.now.state.score is not None
        message = complaint(self.now.state.x, self.now.state.score)
        if message is not None:
            warn(message)
        return self._result()

    def _figures(self) -> str:
        lp, stayed = float(self.now.state.log_prob.mean()), int(self.now.stayed.sum())
        return f"mean lp {lp:.4g}, moves not made {stayed}, evaluations {self.now.tally.scores:.3g}"

    def _result(self) -> Draws:
        now = self.now
        bandwidth = float(self.method.squared_bandwidth(now.state.x).sqrt())
        found = {"kind": PARTICLES, "done": now.t, "final_bandwidth": bandwidth, "versions": versions()}
        return Draws(
            now.state.x[None],
            stats={"lp": now.state.log_prob[None]},
            cost=Cost(now.tally.log_probs, now.tally.scores, self.seconds),
            target=self.target.inner,
            kernel=self.method,
            attrs=self._header() | found,
            divergences=now.stayed.sum()[None],
        )

    # Checkpoints

    def _header(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        target = self.target.inner
        return {
            "sampler": type(self.method).__name__,
            "hyperparameters": self.method.hyperparameters(),
            **asdict(self.plan),
            **checkpoints.of_target(target),
        }

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        now = self.now
        checkpoints.save(
            self.checkpoint,
            {
                "header": self._header(),
                "t": now.t,
                "state": {field.name: getattr(now.state, field.name) for field in fields(now.state)},
                "stayed": now.stayed,
                "tally": asdict(now.tally),
                "seconds": self.seconds,
                "known": self.known,
            },
        )

    def _restore(self, path: Path, saved: dict[str, Any]) -> None:
        device = self.target.device
        self.known = saved["known"]
        checkpoints.check_density(path, self.target.inner, self.known)
        self.target.tally = Tally(**saved["tally"])
        state = Swarm(**{name: value.to(device) for name, value in saved["state"].items()})
        self.now = self._progressed(saved["t"], state, saved["stayed"].to(device))
        self.seconds = saved["seconds"]
