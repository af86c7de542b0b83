"""The run of `fit`: pilot, training with progress, log and checkpoint, and a last look at what was learned."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Generator, Tensor

from samplers.diffusion.fitted import Fitted
from samplers.diffusion.method import LearnedMethod
from samplers.diffusion.space import Space, check_width, find_space
from samplers.diffusion.training import Progressed, Run
from samplers.diffusion.witnesses import Witnesses
from samplers.learning import distributed
from samplers.learning.job import Learning
from samplers.path_measures.evaluation import Evaluation
from targets import LogDensity, Target
from targets.sampling_warning import warn

WATCHED = 50  # iterations over which lost paths are counted before training stops
MOST_LOST = 0.5
EXAMINED = 2000  # paths of the last look
PILOT, NETWORK, PATHS, LAST = 5_000_011, 6_000_013, 7_000_003, 8_000_009  # offsets of the seeds


class Fitting(Learning):
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
        method, generator = self.method, self._generator(PILOT)
        space = find_space(
            self.counted, method.prior, method.network.coordinates, mixture=method.takes_mixture, generator=generator
        )
        if self.prior is not None:
            check_width(space, self.counted, generator)
        self.space = distributed.share(space)
        return self.space.probes(self.target)

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

    def _run(self) -> Run:
        space, method = self.space, self.method
        target, generator = space.seen(self.counted), self._generator(NETWORK)
        objective = method.objective_for(space)
        measure = method.measure(space, target, generator, flow=objective.learns_flow)
        witnesses = None
        if space.witnesses is not None:
            witnesses = Witnesses(target.to_u(space.witnesses.to(device=target.device, dtype=target.dtype)))
        elif objective.from_witnesses:
            raise ValueError("objective: ForwardKL learns from the particles of a pilot; expected a prior it finds")
        return Run(
            method.training, measure, target, self.generator, self.total, objective, method.resampling, witnesses
        )

    # Iterations

    def step(self) -> None:
        self.last = self.learner().step()

    def noted(self) -> dict[str, float]:
        run, done = self.learner(), self.last
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

    def check(self) -> None:
        self.recent = [*self.recent[1 - WATCHED :], self.last.lost]
        share = sum(self.recent) / (WATCHED * self.method.training.batch)
        if len(self.recent) == WATCHED and share > MOST_LOST:
            raise RuntimeError(
                f"{share:.0%} of the paths of the last {WATCHED} iterations ended where the log-density of "
                f"{self.target.name} is not finite. Look at log_prob far from the mass (overflow, logarithms of "
                "negative numbers), take more or smaller steps, a narrower prior=, or a lower Training(learning_rate=)"
            )

    def figures(self) -> str:
        done = self.last
        if done.warm:
            return f"from witnesses, EUBO {done.elbo:.4g}"
        return f"ELBO {done.elbo:.4g}, log Z {done.log_z:.4g}, ESS {done.ess:.1%}"

    # Checkpoints

    def settings(self) -> dict[str, Any]:
        return {**self.method.describe(), "seed": self.seed, "iterations": self.total}

    def densities(self) -> dict[str, Target]:
        return {"target": self.target} | ({} if self.prior is None else {"prior": self.prior})

    def state_dict(self) -> dict[str, Any]:
        run, space = self.run, self.space.state()
        if run is None:
            return {"space": space, "measure": None}
        return {
            "space": space,
            "measure": run.measure.state_dict(),
            "descent": run.descent.state_dict(),
            "log_z": run.log_z.detach(),
            "counts": [run.lost, run.skipped],
            "history": run.history,
            "untrained": None if run.untrained is None else asdict(run.untrained),
            **run.moved(),
        }

    def before_step(self) -> dict[str, Any]:
        return {} if self.run is None else copy.deepcopy(self.run.moved())

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.space = Space.of_state(saved["space"], self.target)
        if saved["measure"] is None:
            return
        self.run = run = self._run()
        run.measure.load_state_dict(saved["measure"])
        run.descent.load_state_dict(saved["descent"])
        run.log_z.data.copy_(saved["log_z"])
        run.lost, run.skipped = saved["counts"]
        run.history.update(saved["history"])
        run.untrained = None if saved["untrained"] is None else Evaluation(**saved["untrained"])
        if run.buffer is not None:
            run.buffer.load_state_dict(saved["buffer"])
        if run.witnesses is not None:
            run.witnesses.load_state_dict(saved["witnesses"])
        if run.move_steps is not None:
            run.move_steps.copy_(saved["move_steps"])

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
