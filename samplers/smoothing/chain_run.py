"""The run of a chain of measurements: level by level, with checkpoints between them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path as FilePath
from typing import Any

from torch import Generator, Tensor

from samplers.annealing.pilot import PILOT
from samplers.denoisers import Denoiser, as_denoiser
from samplers.denoisers.base import Estimate
from samplers.draws import INDEPENDENT, Cost, Draws
from samplers.identity import POINTS, known
from samplers.kernels import PreconditionedKernel
from samplers.runs import checkpoint as checkpoints
from samplers.runs.interrupt import deferred_interrupt
from samplers.runs.progress import Progress
from samplers.runs.starts import Init
from samplers.runs.state import State
from samplers.smoothing.jump import jumped
from samplers.smoothing.measurement_chain import MeasurementChain, cost_of, starts
from samplers.smoothing.measurements import Measured, Noisy
from samplers.smoothing.walk import walker
from samplers.version import versions
from targets import Noise, Target
from targets.counting import Counted, Tally

FIRST = 8  # times as many steps at the first level, where the law is widest


class ChainRun:
    """All that a run depends on: the level, the running means, the denoiser's memory, the generator, the counters."""

    def __init__(
        self,
        sampler: MeasurementChain,
        target: Target,
        n: int,
        init: Init,
        seed: int,
        checkpoint: FilePath | None,
    ) -> None:
        self.given, self.n, self.seed, self.checkpoint = sampler, n, seed, checkpoint
        self.began = time.perf_counter()
        self.sampler, self.plan = sampler.prepared(target, seed, init)
        spent = cost_of(self.plan)
        self.target = Counted(target, Tally(spent.log_prob, spent.score))
        self.noise = self.sampler.noise_for(target)
        self.noises = self.sampler.levels(self.noise)
        self.denoiser = self._chosen().fresh()
        self.denoiser.prepare(self.target, self.noises[0])  # now, so that a run that is continued counts it once
        self.kernel = walker(self.sampler.kernel, self.noise, target.dim, 1, self.denoiser)
        if isinstance(self.kernel, PreconditionedKernel):
            self.kernel = self.kernel.placed(target)
        self.generator = Generator(target.device).manual_seed(seed)
        self.init = init
        self.level = self.points = self.fallbacks = self.divergences = 0
        self.acceptance: list[float] = []
        self.mean: Tensor | None = None
        self.memory: Tensor | None = None
        self.seconds = 0.0
        self.known: dict[str, Any] | None = None

    def _chosen(self) -> Denoiser:
        """The denoiser that is given, or the one that fits."""
        return as_denoiser(self.sampler.denoiser, self.target, self.noises[0])

    # The levels

    def measured(self, noise: Noise) -> Noisy:
        """The law of one measurement with that noise."""
        return Noisy(self.target, noise, denoiser=self.denoiser, generator=self.generator, memory=self.memory)

    def take(self, law: Measured) -> None:
        """Keep a law's memory, and count what it has denoised."""
        self.memory = law.memory
        self.points += law.points
        self.fallbacks += law.fallbacks

    def denoised(self) -> Estimate:
        """What the denoiser says of the present means."""
        assert self.mean is not None
        law = self.measured(self.noises[self.level - 1])
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

    def _first(self) -> Tensor:
        sampler, target = self.sampler, self.target.inner
        x = starts(self.init, self.n, target, self.plan, self.generator)
        self.remember(x)
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

    def finish(self, progress: bool | None) -> Draws:
        """All levels that are left, and the jump."""
        began, label = self.began, f"{type(self.given).__name__} on {self.target.name}"
        self._restore()
        self._mark()
        earlier = self.seconds
        bar = Progress(len(self.noises), self.level, progress, label)
        try:
            with deferred_interrupt() as pressed:
                while self.level < len(self.noises):
                    if pressed.is_set():
                        raise KeyboardInterrupt(f"interrupted after level {self.level} of {len(self.noises)}")
                    self.mean = self._first() if self.level == 0 else self.next_level()
                    self.level += 1
                    self.seconds = earlier + time.perf_counter() - began
                    self._mark()
                    self._save()
                    bar.advance(lambda: f"level {self.level}, denoised {self.points:.3g}, fallbacks {self.fallbacks}")
        except BaseException:
            checkpoints.save_quietly(self._save)
            raise
        finally:
            bar.close()
        return self._result(earlier)

    def _result(self, earlier: float) -> Draws:
        x = self.jump()
        log_prob = self.target.log_prob(x)
        seconds = earlier + time.perf_counter() - self.began
        cost = Cost(self.target.log_probs, self.target.scores, seconds)
        attrs = {
            **self._header(),
            "kind": INDEPENDENT,
            "kernel": checkpoints.plain(self.kernel.hyperparameters()),
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
        return Draws(x[None], stats={"lp": log_prob[None]}, cost=cost, target=self.target.inner, attrs=attrs)

    def _pilot(self) -> dict[str, str]:
        """Whether the starts, the base or the denoiser come from an annealing pilot."""
        planned = self.plan is not None and self.plan.spread.draws is not None
        if planned and self.given.starts_planned(self.target.inner, self.init):
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

    def _header(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        target = self.target.inner
        return {
            "sampler": type(self.given).__name__,
            "hyperparameters": self.sampler.hyperparameters(),
            "draws": self.n,
            "seed": self.seed,
            **checkpoints.of_target(target),
        }

    def remember(self, x: Tensor) -> None:
        """What to know the target again by, at the first of the points x (n, dim)."""
        if self.checkpoint is not None:
            self.known = self.content["known"] = known(self.target, x[:POINTS]).state_dict()

    def _mark(self) -> None:
        """Remember what to go back to when the level that begins fails halfway."""
        if self.checkpoint is not None:
            self.content = self._content()

    def _save(self) -> None:
        """Write the run as it is after its last whole level."""
        if self.checkpoint is not None and self.known is not None:
            checkpoints.save(self.checkpoint, self.content)

    def _content(self) -> dict[str, Any]:
        return {
            "header": self._header(),
            "mean": self.mean,
            "known": self.known,
            "memory": self.memory,
            "counters": [self.level, self.points, self.fallbacks, self.divergences],
            "acceptance": self.acceptance,
            "seconds": self.seconds,
            "generator": self.generator.get_state(),
            "tally": asdict(self.target.tally),
        }

    def _restore(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        saved = checkpoints.load(self.checkpoint, self._header())
        self.known = saved["known"]
        checkpoints.check_density(self.checkpoint, self.target.inner, self.known)
        if saved["mean"] is not None:
            self._read(saved)

    def _read(self, saved: dict[str, Any]) -> None:
        device = self.target.device
        self.mean = saved["mean"].to(device)
        self.memory = None if saved["memory"] is None else saved["memory"].to(device)
        self.level, self.points, self.fallbacks, self.divergences = saved["counters"]
        self.acceptance, self.seconds = saved["acceptance"], saved["seconds"]
        self.generator.set_state(saved["generator"].cpu())
        self.target.tally.__dict__.update(saved["tally"])
