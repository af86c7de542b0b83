"""The run of a chain of measurements: level by level, with checkpoints between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from torch import Generator, Tensor

from samplers.annealing.pilot import PILOT
from samplers.denoisers import Denoiser, as_denoiser
from samplers.denoisers.base import Estimate
from samplers.draws import INDEPENDENT, Draws
from samplers.kernels import PreconditionedKernel
from samplers.runs.header import plain
from samplers.runs.job import Job
from samplers.runs.loop import carry_out
from samplers.runs.starts import Init
from samplers.runs.state import State
from samplers.smoothing.jump import jumped
from samplers.smoothing.measurement_chain import MeasurementChain, cost_of, starts
from samplers.smoothing.measurements import Measured, Noisy
from samplers.smoothing.walk import walker
from samplers.version import versions
from targets import Noise, Target

FIRST = 8  # times as many steps at the first level, where the law is widest


class ChainRun(Job):
    """All that a run depends on: the level, the running means, the denoiser's memory, the generator, the counters."""

    unit = "levels"

    def __init__(
        self,
        sampler: MeasurementChain,
        target: Target,
        n: int,
        init: Init,
        seed: int,
    ) -> None:
        super().__init__(type(sampler).__name__, target, Generator(target.device).manual_seed(seed), None)
        self.given, self.n, self.seed = sampler, n, seed
        self.sampler, self.plan = sampler.prepared(target, seed, init)
        spent = cost_of(self.plan)
        self.tally.log_probs, self.tally.scores = spent.log_prob, spent.score
        self.noise = self.sampler.noise_for(target)
        self.noises = self.sampler.levels(self.noise)
        self.denoiser = self._chosen().fresh()
        self.denoiser.prepare(self.counted, self.noises[0])  # now, so that a run that is continued counts it once
        self.kernel = walker(self.sampler.kernel, self.noise, target.dim, 1, self.denoiser)
        if isinstance(self.kernel, PreconditionedKernel):
            self.kernel = self.kernel.placed(target)
        self.init = init
        self.total = len(self.noises)
        self.points = self.fallbacks = self.divergences = 0
        self.acceptance: list[float] = []
        self.start: Tensor | None = None
        self.mean: Tensor | None = None
        self.memory: Tensor | None = None

    def _chosen(self) -> Denoiser:
        """The denoiser that is given, or the one that fits."""
        return as_denoiser(self.sampler.denoiser, self.counted, self.noises[0])

    # The levels

    def measured(self, noise: Noise) -> Noisy:
        """The law of one measurement with that noise."""
        return Noisy(self.counted, noise, denoiser=self.denoiser, generator=self.generator, memory=self.memory)

    def take(self, law: Measured) -> None:
        """Keep a law's memory, and count what it has denoised."""
        self.memory = law.memory
        self.points += law.points
        self.fallbacks += law.fallbacks

    def denoised(self) -> Estimate:
        """What the denoiser says of the present means."""
        assert self.mean is not None
        law = self.measured(self.noises[self.done - 1])
        found = law.denoise(self.mean, law.noise)
        self.take(law)
        return found

    def walk(self, law: Measured, y: Tensor, steps: int, kernel: Any = None) -> Tensor:
        """Where the walk on that law leads from y, (n, dim)."""
        kernel = self.kernel if kernel is None else kernel
        state: State = kernel.init(law, y, self.generator)
        rates = []
        for _ in range(steps):
            state, info = kernel.step(law, state, self.generator)
            rates.append(float(info.acceptance_rate.mean()))
            self.divergences += int(info.diverging.sum())
        if rates:
            self.acceptance.append(sum(rates) / len(rates))
        self.take(law)
        return state.x

    def begin(self) -> Tensor:
        self.start = starts(self.init, self.n, self.target, self.plan, self.generator)
        return self.start

    def _first(self) -> Tensor:
        sampler, target, x = self.sampler, self.target, self.start
        assert x is not None
        y = x + self.noises[0].sample_like(x, self.generator)
        steps = FIRST * sampler.steps if sampler.first_steps is None else sampler.first_steps
        kernel = walker(sampler.kernel, self.noises[0], target.dim, 1, self.denoiser).placed(target)
        return self.walk(self.measured(self.noises[0]), y, steps, kernel)

    def next_level(self) -> Tensor:
        """The running means with one measurement more, (n, dim)."""
        return self.sampler.advance(self)

    def jump(self) -> Tensor:
        """The draws, (n, dim), from the last running means."""
        assert self.mean is not None
        law = self.measured(self.noises[-1])
        x = jumped(self.sampler.jump, law, self.mean, law.noise, self.generator)
        self.take(law)
        return x

    def finish(self, checkpoint: FilePath | None, progress: bool | None) -> Draws:
        """All levels that are left, and the jump."""
        carry_out(self, checkpoint, progress)
        return self._result()

    def step(self) -> None:
        self.mean = self._first() if self.done == 0 else self.next_level()
        self.start = None

    def figures(self) -> str:
        return f"level {self.done}, denoised {self.points:.3g}, fallbacks {self.fallbacks}"

    def _result(self) -> Draws:
        x = self.jump()
        log_prob = self.counted.log_prob(x)
        attrs = {
            **self.header(),
            "kind": INDEPENDENT,
            "kernel": plain(self.kernel.hyperparameters()),
            "acceptance": self.acceptance,
            "divergences": self.divergences,
            "plan": None if self.plan is None else str(self.plan),
            "smoothing": {
                "noise": repr(self.noise),
                "measurements": len(self.noises),
                "denoiser": self.denoiser.describe(),
                "points": self.points,
                "fallbacks": self.fallbacks,
            },
            "versions": versions(),
            **self._pilot(),
        }
        return Draws(x[None], stats={"lp": log_prob[None]}, cost=self.cost, target=self.target, attrs=attrs)

    def _pilot(self) -> dict[str, str]:
        """Whether the starts, the base or the denoiser come from an annealing pilot."""
        planned = self.plan is not None and self.plan.spread.draws is not None
        if planned and self.given.starts_planned(self.target, self.init):
            return {"pilot": PILOT}
        return {"pilot": self.denoiser.pilot} if self.denoiser.pilot else {}

    def complaints(self) -> Iterator[str]:
        """What a reader must know."""
        if self.divergences:
            yield (
                f"{self.divergences} steps of the walk led to a point without finite density or score and were not "
                "taken: the step size is too large, or the denoiser failed there"
            )

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        return {"hyperparameters": self.sampler.hyperparameters(), "draws": self.n, "seed": self.seed}

    def state_dict(self) -> dict[str, Any]:
        return {
            "start": self.start if self.mean is None else None,
            "mean": self.mean,
            "memory": self.memory,
            "counters": [self.points, self.fallbacks, self.divergences],
            "acceptance": list(self.acceptance),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        device = self.target.device
        if saved["mean"] is None:
            self.start = saved["start"].to(device)
            return
        self.mean = saved["mean"].to(device)
        self.memory = None if saved["memory"] is None else saved["memory"].to(device)
        self.points, self.fallbacks, self.divergences = saved["counters"]
        self.acceptance = saved["acceptance"]
