"""The run of chains: warmup, sampling, thinning, streaming.

A run is a sequence of steps t = 0 .. warmup + draws * thin - 1. Everything it depends on besides its arguments (the
chains' state, the generator, what warmup has learned, the counters) is in the fields of `Chains`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws import Cost, Draws
from samplers.draws.divergences import divergence_advice
from samplers.draws.slow import widened
from samplers.runs.complaints import remarks
from samplers.runs.header import plain
from samplers.runs.plan import Plan
from samplers.runs.precision import lost_digits
from samplers.runs.recorder import Recorder
from samplers.runs.sampling import Sampling
from samplers.runs.starts import Init, check_starts, first_state
from samplers.runs.state import Info, State, put_back, values
from samplers.runs.stuck import why_stuck
from samplers.runs.transition import Transition, one_step
from samplers.version import versions
from targets import Target
from targets.arguments import brief
from targets.counting import Tally


class Chains(Sampling):
    """Warmup and sampling, and all that they depend on; `spent` is what finding the kernel took."""

    unit = "steps"
    state: State
    info: Info

    def __init__(
        self, kernel: Transition, target: Target, plan: Plan, init: Init, stream: Path | None, spent: Cost
    ) -> None:
        tally = Tally(spent.log_prob, spent.score)
        generator = Generator(target.device).manual_seed(plan.seed)
        super().__init__(type(kernel).__name__, target, generator, plan.steps, tally)
        self.earlier = spent.seconds
        self.given, self.plan, self.init, self.stream = kernel.placed(target), plan, init, stream
        self.warmup = self.given.make_warmup(plan.warmup, target)
        self.kernel = self.warmup.kernel if plan.warmup else self.given
        self.remarks: tuple[str, ...] = ()
        self.divergences = torch.zeros(plan.chains, dtype=torch.int64, device=target.device)
        self.recorder = Recorder(plan, target, stream)

    # Starting

    def begin(self) -> Tensor:
        self.recorder.begin()
        self.state = self._first_state(self.init)
        if not self.plan.warmup:
            self._look()
        return self.state.x

    def _first_state(self, init: Init) -> State:
        target, generator = self.counted, self.generator
        state = first_state(
            lambda init: self.given.starts(init, self.plan.chains, self.target, generator),
            lambda x: self.kernel.init(target, x, generator),
            init,
        )
        better = self.warmup.uphill(target, state, generator) if init is None else None
        if better is not None:
            self.kernel = self.warmup.kernel
            state = self.kernel.init(target, better, generator)
        check_starts(state, "chain", target)
        return state

    # Running

    @property
    def drawn(self) -> int:
        """Draws so far."""
        return max(0, self.done - self.plan.warmup) // self.plan.thin

    @property
    def settled(self) -> bool:
        """After a quarter of the warmup: until then step sizes and trajectories change most."""
        return self.done >= self.plan.warmup // 4

    def so_far(self) -> str:
        return f"after {self.drawn} of {self.plan.draws} draws, at step {self.done}"

    def figures(self) -> str:
        phase = "warmup" if self.done <= self.plan.warmup else "sampling"
        return (
            f"{phase}, acceptance {float(self.info.acceptance_rate.mean()):.2f}, divergences "
            f"{int(self.divergences.sum())}, evaluations {self.tally.scores or self.tally.log_probs:.3g}"
        )

    def step(self) -> None:
        plan, t = self.plan, self.done
        if t == plan.warmup and plan.warmup:
            self._freeze()
        before = self.state
        self.state, self.info = one_step(self.kernel, self.counted, before, self.generator)
        if t < plan.warmup:
            self.warmup.update(t, self.state, before, self.info, self.counted)
            self.kernel = self.warmup.kernel
        else:
            self.divergences = self.divergences + self.info.diverging
            if (t - plan.warmup + 1) % plan.thin == 0:
                self.recorder.write(self.state, self.info)
                self.useful = True

    def _freeze(self) -> None:
        """Leave warmup: the kernel that was asked for, with what was found."""
        self.kernel = self.given.tuned(self.warmup.kernel)
        if type(self.kernel) is not type(self.warmup.kernel):
            self.state = self.kernel.init(self.counted, self.state.x, self.generator)
        self._look()
        self.state = self.kernel.begin_sampling(self.state)

    def _look(self) -> None:
        """Before the first draw: what the density and its score look like from here."""
        given = self.kernel.needs_score and self.target.score_is_given
        self.remarks = tuple(remarks(self.kernel, self.counted, self.state.x, given, self.warmup.jumps))

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        storage = "memory" if self.stream is None else "folder"
        return {"hyperparameters": plain(self.given.hyperparameters()), **asdict(self.plan), "storage": storage}

    def before_step(self) -> dict[str, Any]:
        return {"state": values(self.state), "divergences": self.divergences}

    def state_dict(self) -> dict[str, Any]:
        return {
            **self.before_step(),
            "warmup": self.warmup.state_dict(),
            "remarks": self.remarks,
            "recorder": self.recorder.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.warmup.load_state_dict(saved["warmup"])
        self.remarks = saved["remarks"]
        if self.plan.warmup:
            warm = self.warmup.kernel
            self.kernel = warm if self.done <= self.plan.warmup else self.given.tuned(warm)
        x = saved["state"]["x"].to(self.target.device)
        self.state = put_back(self.kernel.init(self.target, x, self.generator), saved["state"])
        self.divergences = saved["divergences"].to(x.device)
        self.recorder.load_state_dict(saved["recorder"])
        self.useful = self.drawn > 0

    # Results

    def result(self) -> Draws:
        """The draws so far."""
        kernel = self.kernel
        self.found = kernel.findings(self.target, self.state)
        attrs = {
            **self.header(),
            "tuned": plain(kernel.hyperparameters()),
            "versions": versions(),
            **self.found.attrs,
        }
        draws = self.recorder.result(self.state.x, attrs, self.cost)
        draws.kernel, draws.divergences = kernel, self.divergences
        if self.found.log_z is not None:
            draws.log_z = widened(self.found.log_z, draws)
        return draws

    def complaints(self, draws: Draws) -> Iterator[str]:
        """What the run has met, and where a pilot found starts or base what a certificate says."""
        yield from self._met(draws)
        if draws.log_z is not None and "pilot" in draws.attrs and self.stream is None and self.kernel.needs_score:
            yield from draws.certified()

    def broken_off(self) -> None:
        self.recorder.keep_quietly()

    def _met(self, draws: Draws) -> Iterator[str]:
        yield from self.found.warnings
        yield from self.remarks
        if self.target.has_density:
            lost = lost_digits(self.target, self.state.x, self.state.log_prob)
            if lost is not None:
                yield lost
        steps = self.done - self.plan.warmup
        if bool((self.divergences == steps).all()):
            yield (
                f"every one of the {steps} steps diverged in all {self.plan.chains} chains, which never moved: "
                f"{self._why(draws, slice(None), steps)}"
            )
            return
        if self.recorder.moved is not None and not bool(self.recorder.moved.all()):
            stuck = (~self.recorder.moved).nonzero()[:, 0]
            yield (
                f"{len(stuck)} of {self.plan.chains} chains never moved in {steps} steps (chains {brief(stuck)}): "
                f"{self._why(draws, stuck, steps)}"
            )
        count = int(self.divergences.sum())
        if count > self.kernel.usual_divergences * steps * self.plan.chains:
            yield (
                f"{count} of {steps * self.plan.chains} steps diverged (chains: {int((self.divergences > 0).sum())} of "
                f"{self.plan.chains}): proposals had a non-finite density or a large energy error and were rejected. "
                f"{divergence_advice(draws)}"
            )

    def _why(self, draws: Draws, which: Any, steps: int) -> str:
        """Why some chains stand still."""
        rates = draws.stats.get("acceptance_rate")
        rate = None if rates is None else float(rates[which].double().mean())
        return why_stuck(self.target, self.state.x[which], rate, steps, getattr(self.kernel, "step_size", None))
