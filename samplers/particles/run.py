"""The run of a particle method."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws import PARTICLES, Draws
from samplers.draws.places import file_place
from samplers.particles.arrival import complaint
from samplers.particles.base import ParticleFlow, Swarm
from samplers.runs.job import Job
from samplers.runs.loop import carry_out
from samplers.runs.starts import START_ATTEMPTS, Init, check_starts, finite_starts, positions
from samplers.version import versions
from targets import Target
from targets.arguments import check_integer
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


def run(
    method: ParticleFlow,
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
        particles = _Particles(method, target, plan, init)
        carry_out(particles, path, progress)
        return particles.result()


class _Particles(Job):
    unit = "iterations"
    useful = True
    state: Swarm

    def __init__(self, method: ParticleFlow, target: Target, plan: Plan, init: Init) -> None:
        super().__init__(
            type(method).__name__, target, Generator(target.device).manual_seed(plan.seed), plan.iterations
        )
        self.method, self.plan, self.init = method, plan, init
        self.stayed = torch.zeros(plan.draws, dtype=torch.int64, device=target.device)  # moves not made

    def begin(self) -> Tensor:
        self.state = self._first_state(self.init)
        return self.state.x

    def _first_state(self, init: Init) -> Swarm:
        n, target, generator = self.plan.draws, self.target, self.generator
        state = self.method.init(self.counted, positions(init, n, target, generator))
        for _ in range(START_ATTEMPTS if init is None else 0):
            good = finite_starts(state)
            if bool(good.all()):
                break
            # starts chosen here are drawn again until the density is finite; those that a user gives are not
            x = torch.where(good[:, None], state.x, positions(None, n, target, generator))
            state = self.method.init(self.counted, x)
        check_starts(state, "particle", self.counted)
        if not bool(self.method.squared_bandwidth(state.x) > 0):
            raise ValueError(
                "init: at least half of the pairs of particles coincide, so that their median distance is 0; "
                "expected different starts, since particles that coincide never part"
            )
        return state

    def step(self) -> None:
        self.state, stayed = self.method.step(self.counted, self.state, self.done)
        self.stayed = self.stayed + stayed

    def figures(self) -> str:
        lp, stayed = float(self.state.log_prob.mean()), int(self.stayed.sum())
        return f"mean lp {lp:.4g}, moves not made {stayed}, evaluations {self.tally.scores:.3g}"

    def settings(self) -> dict[str, Any]:
        return {"hyperparameters": self.method.hyperparameters(), **asdict(self.plan)}

    def state_dict(self) -> dict[str, Any]:
        state = {field.name: getattr(self.state, field.name) for field in fields(self.state)}
        return {"state": state, "stayed": self.stayed}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        device = self.target.device
        self.stayed = saved["stayed"].to(device)
        self.state = Swarm(**{name: value.to(device) for name, value in saved["state"].items()})

    def result(self) -> Draws:
        """The particles as they are, after what must be said of them."""
        state, moves = self.state, int(self.stayed.sum())
        if moves:
            warn(
                f"{moves} of {self.done * self.plan.draws} moves were not made (particles: "
                f"{int((self.stayed > 0).sum())} of {self.plan.draws}): they led to where the log-density or score "
                "is not finite. The step size is too large there, or the target's support ends"
            )
        assert state.score is not None
        message = complaint(state.x, state.score)
        if message is not None:
            warn(message)
        bandwidth = float(self.method.squared_bandwidth(state.x).sqrt())
        found = {"kind": PARTICLES, "done": self.done, "final_bandwidth": bandwidth, "versions": versions()}
        return Draws(
            state.x[None],
            stats={"lp": state.log_prob[None]},
            cost=self.cost,
            target=self.target,
            kernel=self.method,
            attrs=self.header() | found,
            divergences=self.stayed.sum()[None],
        )
