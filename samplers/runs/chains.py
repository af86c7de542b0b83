"""The run of chains: warmup, sampling, thinning, streaming.

A run is a sequence of steps t = 0 .. warmup + draws * thin - 1, or of fewer where it ends at a wanted precision.
Everything it depends on besides its arguments (the chains' state, the generator, what warmup has learned, the counters)
is in the fields of `Chains`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws import Cost, Draws
from samplers.draws.slow import widened
from samplers.runs import ending
from samplers.runs.checked import checked_init, checked_step
from samplers.runs.complaints import about_moves, remarks
from samplers.runs.divergence_log import DivergenceLog
from samplers.runs.header import plain
from samplers.runs.plan import Plan
from samplers.runs.precision import lost_digits
from samplers.runs.recorder import Recorder
from samplers.runs.sampling import Sampling
from samplers.runs.starts import Init, check_starts, first_state
from samplers.runs.state import Info, State, put_back, values
from samplers.runs.threads import Threads
from samplers.runs.transition import Transition, one_step
from samplers.runs.until import Until
from samplers.runs.watch import Watch
from samplers.version import versions
from targets import Target
from targets.counting import Tally

UNSEEN = object()  # in place of the mass matrix of a kernel whose threads have not been chosen


class Chains(Sampling):
    """Warmup and sampling, and all that they depend on; `spent` is what finding the kernel took."""

    unit = "steps"
    state: State
    info: Info

    def __init__(
        self,
        kernel: Transition,
        target: Target,
        plan: Plan,
        init: Init,
        stream: Path | None,
        spent: Cost,
        until: Until | None = None,
        threads: Threads | None = None,
    ) -> None:
        tally = Tally(spent.log_prob, spent.score)
        generator = Generator(target.device).manual_seed(plan.seed)
        super().__init__(type(kernel).__name__, target, generator, plan.steps if until is None else None, tally)
        self.earlier = spent.seconds
        self.given, self.plan, self.init, self.stream = kernel.placed(target), plan, init, stream
        self.warmup = self.given.make_warmup(plan.warmup, target)
        self.kernel = self.warmup.kernel if plan.warmup else self.given
        self.remarks: tuple[str, ...] = ()
        self.threads = Threads(None) if threads is None else threads
        self._metric: object = UNSEEN
        self.divergences = torch.zeros(plan.chains, dtype=torch.int64, device=target.device)
        self.diverged = DivergenceLog(plan, target)
        self.watch = None if until is None else Watch(until, plan, target)
        self.recorder = Recorder(plan, target, stream, None if self.watch is None else self.watch.next)
        self.ending = ending.taken()
        if self.ending is not None:
            self.ending.starts(self.cost)

    # Starting

    def begin(self) -> Tensor:
        self.recorder.begin()
        if self.target.device.type == "cpu":
            self.threads.start()
        self.state = self._first_state(self.init)
        if not self.plan.warmup:
            self._look()
        self._choose_threads()
        if self.ending is not None:
            self.ending.begins(self.cost)
        return self.state.x

    def _first_state(self, init: Init) -> State:
        target, generator = self.counted, self.generator
        state = first_state(
            lambda init: self.given.starts(init, self.plan.chains, self.target, generator),
            lambda x: checked_init(self.kernel, target, x, generator),
            init,
        )
        better = self.warmup.uphill(target, state, generator) if init is None else None
        if better is not None:
            self.kernel = self.warmup.kernel
            state = self.kernel.init(target, better, generator)
        check_starts(state, "chain", target, init)
        return state

    # Running

    @property
    def drawn(self) -> int:
        """Draws so far."""
        return max(0, self.done - self.plan.warmup) // self.plan.thin

    @property
    def finished(self) -> bool:
        return self.done in (self.total, self.plan.steps) or (self.watch is not None and self.watch.over)

    @property
    def seconds_left(self) -> float:
        return math.inf if self.watch is None else self.watch.until.limit - self.seconds

    @property
    def settled(self) -> bool:
        """After a quarter of the warmup: until then step sizes and trajectories change most."""
        return self.done >= self.plan.warmup // 4

    def so_far(self) -> str:
        of = f" of {self.plan.draws}" if self.watch is None else ""
        return f"after {self.drawn}{of} draws, at step {self.done}"

    def figures(self) -> str:
        phase = "warmup" if self.done <= self.plan.warmup else "sampling"
        return (
            f"{phase}, acceptance {float(self.info.acceptance_rate.mean()):.2f}, divergences "
            f"{int(self.divergences.sum())}, evaluations {self.tally.scores or self.tally.log_probs:.3g}"
            f"{'' if self.watch is None else self.watch.figures()}"
        )

    def step(self) -> None:
        plan, t = self.plan, self.done
        if t == plan.warmup and plan.warmup:
            self._freeze()
        before, tally = self.state, self.tally
        if self.threads.timing and getattr(self.kernel, "inverse_mass_matrix", None) is not self._metric:
            self._choose_threads()
        # the first step of warmup, and of sampling, is looked at: the kernel may be a user's own
        take = checked_step if t in (0, plan.warmup) else one_step
        self.state, self.info = self.threads(
            lambda: take(self.kernel, self.counted, before, self.generator), lambda: tally.scores or tally.log_probs
        )
        if t < plan.warmup:
            self.warmup.update(t, self.state, before, self.info, self.counted)
            self.kernel = self.warmup.kernel
        else:
            self.divergences = self.divergences + self.info.diverging
            self.diverged.add(t, before.x, self.info)  # before the draw is written, which nothing takes back
            if (t - plan.warmup + 1) % plan.thin == 0:
                self.recorder.write(self.state, self.info)
                self.useful = True

    def _choose_threads(self) -> None:
        """By a step that is made beside the run, of which neither generator nor counts know."""
        self._metric = getattr(self.kernel, "inverse_mass_matrix", None)
        if self.target.device.type != "cpu":
            return

        takes = chain([checked_step], repeat(one_step))

        def step() -> list[Tensor | None]:
            generator = Generator(self.target.device)
            generator.set_state(self.generator.get_state())
            state, info = next(takes)(self.kernel, self.target, self.state, generator)
            return [*values(state).values(), info.acceptance_rate, info.diverging]

        self.threads.look(step)

    def stepped(self, pressed: bool) -> bool:
        self._watch()
        warm = self.done > self.plan.warmup
        if self.ending is not None and self.ending.over(self.cost, warm=warm, useful=self.useful):
            self.total = self.done  # this is the whole run
        return super().stepped(pressed)

    def _watch(self) -> None:
        """After a draw of every chain, whether the run may end."""
        if self.watch is None or not self.drawn or (self.done - self.plan.warmup) % self.plan.thin:
            return
        self.watch.look(self.drawn, self.seconds, self.recorder.every)
        if not self.watch.over:
            self.recorder.reserve(self.watch.next)

    def _freeze(self) -> None:
        """Leave warmup: the kernel that was asked for, with what was found."""
        self.kernel = self.given.tuned(self.warmup.kernel)
        if type(self.kernel) is not type(self.warmup.kernel):
            self.state = self.kernel.init(self.counted, self.state.x, self.generator)
        self._look()
        self._metric = UNSEEN
        self.state = self.kernel.begin_sampling(self.state)

    def _look(self) -> None:
        """Before the first draw: what the density and its score look like from here."""
        given = self.kernel.needs_score and self.target.score_is_given
        self.remarks = tuple(remarks(self.kernel, self.counted, self.state.x, given, self.warmup.jumps))

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        storage = "memory" if self.stream is None else "folder"
        lengths = self.plan.lengths(open_ended=self.watch is not None)
        return {"hyperparameters": plain(self.given.hyperparameters()), **lengths, "storage": storage}

    def before_step(self) -> dict[str, Any]:
        return {"state": values(self.state), "divergences": self.divergences}

    def state_dict(self) -> dict[str, Any]:
        return {
            **self.before_step(),
            "warmup": self.warmup.state_dict(),
            "remarks": self.remarks,
            "recorder": self.recorder.state_dict(),
            "diverged": self.diverged.state_dict(),
            "watch": None if self.watch is None else self.watch.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        if self.target.device.type == "cpu":
            self.threads.start()
        self.warmup.load_state_dict(saved["warmup"])
        self.remarks = saved["remarks"]
        if self.plan.warmup:
            warm = self.warmup.kernel
            self.kernel = warm if self.done <= self.plan.warmup else self.given.tuned(warm)
        x = saved["state"]["x"].to(self.target.device)
        self.state = put_back(self.kernel.init(self.target, x, self.generator), saved["state"])
        self.divergences = saved["divergences"].to(x.device)
        self.recorder.load_state_dict(saved["recorder"])
        self.diverged.load_state_dict(saved["diverged"], self.done)
        self.useful = self.drawn > 0
        if self.watch is not None:
            self.watch.load_state_dict(saved["watch"])
            self._watch()
        if not self.finished:
            self._choose_threads()

    # Results

    def result(self) -> Draws:
        """The draws so far."""
        kernel = self.kernel
        self.found = kernel.findings(self.target, self.state)
        attrs = {
            **self.header(),
            **({"draws": self.drawn} if self.finished else {}),  # fewer than planned where an end was set to it
            "tuned": plain(kernel.hyperparameters()),
            "versions": versions(),
            **({"usual_divergences": usual} if (usual := kernel.usual_divergences) else {}),
            **self.found.attrs,
            "threads": self.threads.count,
            **({} if self.watch is None else {"draws": self.drawn, **self.watch.record()}),
        }
        draws = self.recorder.result(self.state.x, attrs, self.cost)
        draws.kernel, draws.divergences = kernel, self.divergences
        draws.divergent_steps = self.diverged.result(self.divergences)
        if self.found.log_z is not None:
            draws.log_z = widened(self.found.log_z, draws)
        return draws

    def complaints(self, draws: Draws) -> Iterator[str]:
        """What the run has met, and where a pilot found starts or base what a certificate says."""
        yield from self._met(draws)
        if self.watch is not None and self.finished:
            yield from self.watch.complaints(self.drawn)
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
        yield from about_moves(
            self.kernel, self.target, self.state.x, draws, self.divergences, self.recorder.moved, steps
        )
