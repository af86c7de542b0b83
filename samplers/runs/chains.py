"""The driver: warmup, sampling, thinning, progress, interruption, checkpoint and resume, streaming.

A run is a sequence of steps t = 0 .. warmup + draws * thin - 1. Everything it depends on besides its arguments (the
chains' state, the generator, what warmup has learned, the counters) is in the fields of `Run`, which a checkpoint
keeps (`samplers.runs.chain_checkpoint`), so that a run that stops after any step continues to the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from samplers.draws import Cost, Draws
from samplers.draws.places import file_place, folder_place
from samplers.draws.slow import widened
from samplers.runs.chain_checkpoint import ChainCheckpoint
from samplers.runs.checkpoint import check_begun, of_target, plain
from samplers.runs.complaints import remarks
from samplers.runs.interrupt import deferred_interrupt
from samplers.runs.plan import Plan
from samplers.runs.precision import lost_digits
from samplers.runs.progress import Progress
from samplers.runs.recorder import Recorder
from samplers.runs.starts import START_ATTEMPTS, Init, check_starts, finite_starts
from samplers.runs.state import Info, State
from samplers.runs.transition import Transition
from samplers.version import versions
from targets import Target
from targets.arguments import brief
from targets.counting import Counted, Tally
from targets.sampling_warning import warn


def run(
    kernel: Transition,
    target: Target,
    plan: Plan,
    *,
    init: Init,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    progress: bool | None,
    checkpoint: str | Path | None,
    stream: str | Path | None,
) -> Draws:
    """Run the kernel on the target as planned; the arguments are those of `Kernel.sample`."""
    kernel.check_target(target)
    path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
    folder = None if stream is None else folder_place(stream, "stream")
    target = target.to(device, dtype)
    check_begun(path, {"sampler": type(kernel).__name__, **asdict(plan), **of_target(target)})
    kernel, spent = kernel.prepare(target, plan.seed)
    with torch.no_grad():
        return Run(kernel, target, plan, init, path, folder, spent).finish(progress)


class Run:
    """A run and all that it depends on; `spent` is what finding its kernel took."""

    def __init__(
        self,
        kernel: Transition,
        target: Target,
        plan: Plan,
        init: Init,
        checkpoint: Path | None,
        stream: Path | None,
        spent: Cost,
    ) -> None:
        self.given, self.plan = kernel.placed(target), plan
        self.target = Counted(target, Tally(spent.log_prob, spent.score))
        self.stream = stream
        self.generator = Generator(target.device).manual_seed(plan.seed)
        self.t = 0
        self.seconds = spent.seconds
        self.checkpoint = ChainCheckpoint(self, checkpoint)
        self.warmup = self.given.make_warmup(plan.warmup, target)
        self.kernel = self.warmup.kernel if plan.warmup else self.given
        self.remarks: tuple[str, ...] = ()
        self.divergences = torch.zeros(plan.chains, dtype=torch.int64, device=target.device)
        self.recorder = Recorder(plan, target, self.stream, self.checkpoint.found)
        if self.checkpoint.found:
            self.checkpoint.restore()
        else:
            watched = self.checkpoint.watched(self.target)
            self.state = self._first_state(init, watched)
            self.checkpoint.remember(watched, self.state.x)
            if not plan.warmup:
                self._look()
        self.checkpoint.mark()

    # Starting

    def _first_state(self, init: Init, target: Counted) -> State:
        n, inner = self.plan.chains, target.inner
        x = self.given.starts(init, n, inner, self.generator)
        state = self.kernel.init(target, x, self.generator)
        for _ in range(START_ATTEMPTS if init is None else 0):
            bad = ~finite_starts(state)
            if not bool(bad.any()):
                break
            # starts chosen here are drawn again until the density is finite; those that a user gives are not
            x = torch.where(bad[:, None], self.given.starts(None, n, inner, self.generator), x)
            state = self.kernel.init(target, x, self.generator)
        better = self.warmup.uphill(self.target, state, self.generator) if init is None else None
        if better is not None:
            self.kernel = self.warmup.kernel
            state = self.kernel.init(target, better, self.generator)
        check_starts(state, "chain", self.target)
        return state

    # Running

    def finish(self, progress: bool | None) -> Draws:
        """Go through the steps that are left; returns the draws, also those of an interrupted run."""
        label = f"{type(self.given).__name__} on {self.target.name}"
        bar = Progress(self.plan.steps, self.t, progress, label)
        began, interrupted = time.perf_counter() - self.seconds, False
        try:
            with deferred_interrupt() as pressed:
                while self.t < self.plan.steps and not interrupted:
                    info = self._step()
                    self.seconds = time.perf_counter() - began
                    phase = "warmup" if self.t <= self.plan.warmup else "sampling"
                    bar.step(phase, info.acceptance_rate, self.divergences, self.target.scores or self.target.log_probs)
                    interrupted = pressed.is_set()
                    self.checkpoint.save_when_due()
        except KeyboardInterrupt:
            interrupted = True
        except BaseException:
            self.checkpoint.save_quietly()
            self.recorder.keep_quietly()
            raise
        finally:
            bar.close()
        self.checkpoint.save()
        draws = self._result()
        if interrupted:
            done = max(0, self.t - self.plan.warmup) // self.plan.thin
            if done == 0:
                raise KeyboardInterrupt(f"interrupted at step {self.t}, before the first draw")
            warn(f"interrupted: {done} of {self.plan.draws} draws are here")
        for message in self._complaints(draws):
            warn(message)
        if draws.log_z is not None and "pilot" in draws.attrs and self.stream is None and self.kernel.needs_score:
            for message in draws.certified():
                warn(message)
        return draws

    def _step(self) -> Info:
        plan, t = self.plan, self.t
        self.checkpoint.mark()
        if t == plan.warmup and plan.warmup:
            self._freeze()
        before = self.state
        self.state, info = self.kernel.step(self.target, before, self.generator)
        if t < plan.warmup:
            self.warmup.update(t, self.state, before, info, self.target)
            self.kernel = self.warmup.kernel
        else:
            self.divergences += info.diverging
            if (t - plan.warmup + 1) % plan.thin == 0:
                self.recorder.write(self.state, info)
        self.t = t + 1
        return info

    def _freeze(self) -> None:
        """Leave warmup: the kernel that was asked for, with what was found."""
        self.kernel = self.given.tuned(self.warmup.kernel)
        if type(self.kernel) is not type(self.warmup.kernel):
            self.state = self.kernel.init(self.target, self.state.x, self.generator)
        self._look()
        self.state = self.kernel.begin_sampling(self.state)

    def _look(self) -> None:
        """Before the first draw: what the density and its score look like from here."""
        given = self.kernel.needs_score and self.target.inner.score_is_given
        self.remarks = tuple(remarks(self.kernel, self.target, self.state.x, given, self.warmup.jumps))

    # Results

    def header(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        target = self.target.inner
        return {
            "sampler": type(self.given).__name__,
            "hyperparameters": plain(self.given.hyperparameters()),
            **asdict(self.plan),
            **of_target(target),
            "storage": "memory" if self.stream is None else "folder",
        }

    def _result(self) -> Draws:
        kernel = self.kernel if self.t > self.plan.warmup or not self.plan.warmup else self.given
        self.findings = kernel.findings(self.target.inner, self.state)
        attrs = {
            **self.header(),
            "tuned": plain(kernel.hyperparameters()),
            "versions": versions(),
            **self.findings.attrs,
        }
        cost = Cost(self.target.log_probs, self.target.scores, self.seconds)
        draws = self.recorder.result(self.state.x, attrs, cost)
        draws.kernel, draws.divergences = kernel, self.divergences
        if self.findings.log_z is not None:
            draws.log_z = widened(self.findings.log_z, draws)
        return draws

    def _complaints(self, draws: Draws) -> Iterator[str]:
        yield from self.findings.warnings
        yield from self.remarks
        lost = lost_digits(self.target.inner, self.state.x, self.state.log_prob)
        if lost is not None:
            yield lost
        steps = self.t - self.plan.warmup
        if bool((self.divergences == steps).all()):
            yield (
                f"every one of the {steps} steps diverged in all {self.plan.chains} chains, which never moved: the "
                "density is not finite around them, or the step size is far too large"
            )
            return
        if self.recorder.moved is not None and not bool(self.recorder.moved.all()):
            stuck = (~self.recorder.moved).nonzero()[:, 0].tolist()
            yield (
                f"{len(stuck)} of {self.plan.chains} chains never moved in {steps} steps (chains {brief(stuck)}): "
                "every proposal was rejected. The step size is too large there, or they started outside the support"
            )
        count = int(self.divergences.sum())
        if count > self.kernel.usual_divergences * steps * self.plan.chains:
            yield (
                f"{count} of {steps * self.plan.chains} steps diverged (chains: {int((self.divergences > 0).sum())} of "
                f"{self.plan.chains}): proposals had a non-finite density or a large energy error and were rejected"
            )
