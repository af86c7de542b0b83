"""The verb `fit`: pilot, training with progress, log and checkpoint, and a last look at what was learned."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.diffusion.fitted import Fitted
from samplers.diffusion.method import LearnedMethod
from samplers.diffusion.packing import pack_space, probes, unpack_space
from samplers.diffusion.record import moved_by, put_back, state_of
from samplers.diffusion.space import Space, check_width, find_space
from samplers.diffusion.training import Progressed, Run
from samplers.diffusion.witnesses import Witnesses
from samplers.learning import distributed
from samplers.learning.job import Learning
from samplers.networks.flow import FlowNetwork
from samplers.runs.checks import check_continuous
from targets import LogDensity, Target
from targets.arguments import check_integer, positive
from targets.sampling_warning import warn

WATCHED = 50  # iterations over which lost paths are counted before training stops
MOST_LOST = 0.5
EXAMINED = 2000  # paths of the last look
PILOT, NETWORK, PATHS, LAST = 5_000_011, 6_000_013, 7_000_003, 8_000_009  # offsets of the seeds


def fit(
    method: LearnedMethod,
    target: Target,
    *,
    seed: int,
    iterations: int,
    max_minutes: float | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    progress: bool | None,
    checkpoint: str | Path | None,
    log_dir: str | Path | None,
) -> Fitted:
    """See `LearnedSampler.fit`."""
    check_integer(seed, "seed", 0)
    check_integer(iterations, "iterations", 0)
    if max_minutes is not None:
        positive(max_minutes, "max_minutes")
    check_continuous(target, method, expected="a density, such as its relaxed()")
    learning = _Learning(method, target.to(device, dtype), seed, iterations, max_minutes, log_dir)
    learning.carry_out(checkpoint, progress)
    return learning.examined()


class _Learning(Learning):
    """A pilot, which finds `space`, and the training, `run`; None while nothing is learned."""

    space: Space
    run: Run | None = None
    last: Progressed

    def __init__(
        self,
        method: LearnedMethod,
        target: Target,
        seed: int,
        iterations: int,
        max_minutes: float | None,
        log_dir: str | Path | None,
    ) -> None:
        generator = Generator(target.device).manual_seed(seed + PATHS + distributed.rank())
        super().__init__(type(method).__name__, target, generator, iterations, max_minutes, log_dir)
        self.method, self.seed = method, seed
        self.prior = method.prior.to(target.device, target.dtype) if isinstance(method.prior, Target) else None
        self.recent: list[int] = []  # paths lost in the last iterations
        differentiated = type(target).log_prob_and_score is Target.log_prob_and_score
        if differentiated or (isinstance(target, LogDensity) and target._score is None):
            self.notes.append(f"the score of {target.name} comes from automatic differentiation of its log_prob")

    def begin(self) -> Tensor:
        """The pilot."""
        self.space = self._pilot()
        return probes(self.space, self.target)

    def learner(self) -> Run:
        """The training, ready for its next iteration."""
        if self.run is None:
            run = self._run()
            self.method.tune(run.measure, run.target, self._generator(NETWORK + 1))
            run.descent.begin_average()
            if self.total:
                look = self._fitted(run)
                run.untrained = look.examine(self.counted, EXAMINED, self._generator(LAST + 1), None)
            self.run = run
        return self.run

    def _generator(self, offset: int) -> Generator:
        return Generator(self.target.device).manual_seed(self.seed + offset)

    def _pilot(self) -> Space:
        method = self.method
        generator = self._generator(PILOT)
        space = find_space(
            self.counted, method.prior, method.network.coordinates, mixture=method.takes_mixture, generator=generator
        )
        if self.prior is not None:
            check_width(space, self.counted, generator)
        return distributed.share(space)

    def _run(self) -> Run:
        space, method = self.space, self.method
        target, generator = space.seen(self.counted), self._generator(NETWORK)
        measure = method.build(space, target, generator)
        objective = method.objective_for(space)
        if objective.learns_flow:
            measure.flow = FlowNetwork(target.dim, generator)
        measure.to(device=target.device, dtype=target.dtype)
        measure.speed_up(method.training.mixed_precision, method.training.compile)
        witnesses = None
        if space.witnesses is not None:
            witnesses = Witnesses(target.to_u(space.witnesses.to(device=target.device, dtype=target.dtype)))
        elif objective.from_witnesses:
            raise ValueError("objective: ForwardKL learns from the particles of a pilot; expected a prior it finds")
        return Run(
            method.training,
            measure,
            target,
            self.generator,
            self.total,
            objective,
            method.resampling,
            witnesses,
        )

    # Iterations

    def step(self) -> None:
        self.last = self.learner().step()

    def noted(self) -> dict[str, float]:
        return _note(self.learner(), self.last)

    def check(self) -> None:
        self.recent = [*self.recent[1 - WATCHED :], self.last.lost]
        lost, batch = sum(self.recent), self.method.training.batch
        if len(self.recent) == WATCHED and lost > MOST_LOST * WATCHED * batch:
            raise RuntimeError(self._advice(lost / (WATCHED * batch)))

    def figures(self) -> str:
        return _said(self.last)

    def _advice(self, share: float) -> str:
        return (
            f"{share:.0%} of the paths of the last {WATCHED} iterations ended where the log-density of "
            f"{self.target.name} is not finite. Look at log_prob far from the mass (overflow, logarithms of negative "
            "numbers), take more or smaller steps, a narrower prior=, or a lower Training(learning_rate=)"
        )

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        return {**self.method.describe(), "seed": self.seed, "iterations": self.total}

    def densities(self) -> dict[str, Target]:
        return {"target": self.target} | ({} if self.prior is None else {"prior": self.prior})

    def state_dict(self) -> dict[str, Any]:
        return {"space": pack_space(self.space), **({"measure": None} if self.run is None else state_of(self.run))}

    def before_step(self) -> dict[str, Any]:
        return {} if self.run is None else moved_by(self.run)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.space = unpack_space(saved["space"], self.target)
        if saved["measure"] is not None:
            self.run = self._run()
            put_back(self.run, saved, self.target.device)

    # What was learned

    def _fitted(self, run: Run) -> Fitted:
        return Fitted(
            method=self.method,
            target=self.target,
            space=self.space,
            measure=run.averaged(),
            seed=self.seed,
            iterations=run.iteration,
            history=run.history,
            move_steps=run.move_steps,
            notes=self.notes,
            log_z=float(run.log_z.detach()),
            untrained=run.untrained,
        )

    def examined(self) -> Fitted:
        """The sampler, after a last look at it."""
        run = self.learner()
        if run.lost or run.skipped:
            self.notes.append(
                f"{run.lost} paths ended at energies that are not finite and were left out; {run.skipped} of "
                f"{run.iteration} iterations were skipped"
            )
        fitted = self._fitted(run)
        if self.total:
            fitted.evaluation = fitted.examine(self.counted, EXAMINED, self._generator(LAST), self.space.witnesses)
            for text in fitted.evaluation.complaints(run.untrained):
                self.notes.append(text)
                warn(text)
        fitted.cost = self.cost
        return fitted


def _said(done: Progressed) -> str:
    if done.warm:
        return f"from witnesses, EUBO {done.elbo:.4g}"
    return f"ELBO {done.elbo:.4g}, log Z {done.log_z:.4g}, ESS {done.ess:.1%}"


def _note(run: Run, done: Progressed) -> dict[str, float]:
    entry = {
        "iteration": float(run.iteration),
        "loss": done.loss,
        "elbo": math.nan if done.warm else done.elbo,
        "eubo": done.elbo if done.warm else math.nan,
        "log_z": done.log_z,
        "ess": done.ess,
        "gradient": done.gradient,
        "learning_rate": run.descent.rate,
        "lost": float(run.lost),
        "skipped": float(run.skipped),
    }
    for name, value in entry.items():
        run.history.setdefault(name, []).append(value)
    return entry
