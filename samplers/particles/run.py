"""The run of a particle method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws import PARTICLES, Draws
from samplers.particles.arrival import complaint
from samplers.particles.base import ParticleFlow, Swarm
from samplers.runs.sampling import Sampling
from samplers.runs.starts import Init, check_starts, first_state, positions
from samplers.runs.state import values
from samplers.version import versions
from targets import Target


class Particles(Sampling):
    """n particles on their way, for so many iterations."""

    unit = "iterations"
    useful = True
    state: Swarm

    def __init__(self, method: ParticleFlow, target: Target, n: int, iterations: int, seed: int, init: Init) -> None:
        generator = Generator(target.device).manual_seed(seed)
        super().__init__(type(method).__name__, target, generator, iterations)
        self.method, self.n, self.seed, self.init = method, n, seed, init
        self.stayed = torch.zeros(n, dtype=torch.int64, device=target.device)  # moves not made

    def begin(self) -> Tensor:
        self.state = first_state(
            lambda init: positions(init, self.n, self.target, self.generator),
            lambda x: self.method.init(self.counted, x),
            self.init,
        )
        check_starts(self.state, "particle", self.counted, self.init)
        if not bool(self.method.squared_bandwidth(self.state.x) > 0):
            raise ValueError(
                "init: at least half of the pairs of particles coincide, so that their median distance is 0; "
                "expected different starts, since particles that coincide never part"
            )
        return self.state.x

    def step(self) -> None:
        self.state, stayed = self.method.step(self.counted, self.state, self.done)
        self.stayed = self.stayed + stayed

    def figures(self) -> str:
        lp, stayed = float(self.state.log_prob.mean()), int(self.stayed.sum())
        return f"mean lp {lp:.4g}, moves not made {stayed}, evaluations {self.tally.scores:.3g}"

    def settings(self) -> dict[str, Any]:
        sizes = {"draws": self.n, "iterations": self.total, "seed": self.seed}
        return {"hyperparameters": self.method.hyperparameters(), **sizes}

    def state_dict(self) -> dict[str, Any]:
        return {"state": values(self.state), "stayed": self.stayed}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        device = self.target.device
        self.stayed = saved["stayed"].to(device)
        self.state = Swarm(**{name: value.to(device) for name, value in saved["state"].items()})

    def result(self) -> Draws:
        """The particles as they are."""
        state = self.state
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

    def complaints(self, draws: Draws) -> Iterator[str]:
        """Moves that were not made, and particles that have not arrived."""
        moves, score = int(self.stayed.sum()), self.state.score
        if moves:
            yield (
                f"{moves} of {self.done * self.n} moves were not made (particles: "
                f"{int((self.stayed > 0).sum())} of {self.n}): they led to where the log-density or score "
                "is not finite. The step size is too large there, or the target's support ends"
            )
        assert score is not None
        message = complaint(self.state.x, score)
        if message is not None:
            yield message
