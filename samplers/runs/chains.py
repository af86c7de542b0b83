"""The run of chains: warmup, sampling, thinning, streaming.

A run is a sequence of steps t = 0 .. warmup + draws * thin - 1. Everything it depends on besides its arguments (the
chains' state, the generator, what warmup has learned, the counters) is in the fields of `Chains`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.draws import Cost, Draws
from samplers.draws.places import file_place, folder_place
from samplers.draws.slow import widened
from samplers.runs.checkpoint import check_begun
from samplers.runs.complaints import remarks
from samplers.runs.header import plain
from samplers.runs.job import Job
from samplers.runs.loop import carry_out
from samplers.runs.plan import Plan
from samplers.runs.precision import lost_digits
from samplers.runs.recorder import Recorder
from samplers.runs.starts import START_ATTEMPTS, Init, check_starts, finite_starts
from samplers.runs.state import Info, State
from samplers.runs.transition import Transition
from samplers.version import versions
from targets import Target
from targets.arguments import brief
from targets.counting import Tally
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
    check_begun(path, type(kernel).__name__, asdict(plan), target)
    kernel, spent = kernel.prepare(target, plan.seed)
    with torch.no_grad():
        chains = Chains(kernel, target, plan, init, folder, spent)
        try:
            carry_out(chains, path, progress)
        except BaseException:
            chains.recorder.keep_quietly()
            raise
        return chains.result()


class Chains(Job):
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
        n, target = self.plan.chains, self.counted
        x = self.given.starts(init, n, self.target, self.generator)
        state = self.kernel.init(target, x, self.generator)
        for _ in range(START_ATTEMPTS if init is None else 0):
            bad = ~finite_starts(state)
            if not bool(bad.any()):
                break
            # starts chosen here are drawn again until the density is finite; those that a user gives are not
            x = torch.where(bad[:, None], self.given.starts(None, n, self.target, self.generator), x)
            state = self.kernel.init(target, x, self.generator)
        better = self.warmup.uphill(target, state, self.generator) if init is None else None
        if better is not None:
            self.kernel = self.warmup.kernel
            state = self.kernel.init(target, better, self.generator)
        check_starts(state, "chain", target)
        return state

    # Running

    @property
    def drawn(self) -> int:
        """Draws so far."""
        return max(0, self.done - self.plan.warmup) // self.plan.thin

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
        self.state, self.info = self.kernel.step(self.counted, before, self.generator)
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
        state = {field.name: getattr(self.state, field.name) for field in fields(self.state)}
        return {"state": state, "divergences": self.divergences}

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
        self.kernel = self.warmup.kernel if self.done <= self.plan.warmup and self.plan.warmup else self.given
        if self.done > self.plan.warmup > 0:
            self.kernel = self.given.tuned(self.warmup.kernel)
        device = self.target.device
        values: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in saved["state"].items()}
        self.state = type(self.kernel.init(self.target, values["x"], self.generator))(**values)
        self.divergences = saved["divergences"].to(device)
        self.recorder.load_state_dict(saved["recorder"])
        self.useful = self.drawn > 0

    # Results

    def result(self) -> Draws:
        """The draws so far, after what must be said of them."""
        kernel = self.kernel if self.done > self.plan.warmup or not self.plan.warmup else self.given
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
        for message in self._complaints():
            warn(message)
        if draws.log_z is not None and "pilot" in draws.attrs and self.stream is None and kernel.needs_score:
            for message in draws.certified():
                warn(message)
        return draws

    def _complaints(self) -> Iterator[str]:
        yield from self.found.warnings
        yield from self.remarks
        if self.target.has_density:
            lost = lost_digits(self.target, self.state.x, self.state.log_prob)
            if lost is not None:
                yield lost
        steps = self.done - self.plan.warmup
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
