"""The verb `fit`: pilot, training with progress, log and checkpoint, and a last look at what was learned."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator

from samplers.diffusion import distributed
from samplers.diffusion.fitted import Fitted
from samplers.diffusion.objectives import ForwardKL, SubTrajectoryBalance
from samplers.diffusion.record import Record
from samplers.diffusion.space import Space, check_width, find_space
from samplers.diffusion.training import Progressed, Run
from samplers.diffusion.witnesses import Witnesses
from samplers.draws import Cost
from samplers.draws.places import file_place
from samplers.networks.flow import FlowNetwork
from samplers.runs.checkpoint import save_quietly
from samplers.runs.checks import check_continuous
from samplers.runs.interrupt import deferred_interrupt
from samplers.runs.progress import Progress
from targets import LogDensity, Target
from targets.arguments import check_integer, positive
from targets.counting import Counted
from targets.sampling_warning import warn

if TYPE_CHECKING:
    from samplers.diffusion.method import LearnedSampler

WATCHED = 50  # iterations over which lost paths are counted before training stops
MOST_LOST = 0.5
EVERY = 10  # iterations from one entry of the history to the next
EXAMINED = 2000  # paths of the last look
PILOT, NETWORK, PATHS, LAST = 5_000_011, 6_000_013, 7_000_003, 8_000_009  # offsets of the seeds


def fit(
    method: LearnedSampler,
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
    path = None if checkpoint is None else file_place(checkpoint, "checkpoint")
    return _Job(method, target.to(device, dtype), seed, iterations, max_minutes, progress, log_dir).run(path)


class _Job:
    def __init__(
        self,
        method: LearnedSampler,
        target: Target,
        seed: int,
        iterations: int,
        max_minutes: float | None,
        progress: bool | None,
        log_dir: str | Path | None,
    ) -> None:
        self.method, self.target, self.seed, self.iterations = method, target, seed, iterations
        self.max_minutes, self.progress = max_minutes, progress if distributed.rank() == 0 else False
        self.log_dir = log_dir if distributed.rank() == 0 else None
        self.counted = Counted(target)
        self.began = time.perf_counter()
        self.notes: list[str] = []
        differentiated = type(target).log_prob_and_score is Target.log_prob_and_score
        if differentiated or (isinstance(target, LogDensity) and target._score is None):
            self.notes.append(f"the score of {target.name} comes from automatic differentiation of its log_prob")

    def run(self, path: Path | None) -> Fitted:
        """Pilot and training, from a checkpoint where there is one."""
        record = Record(self.method, self.target, self.seed, self.iterations, path)
        saved = record.load()
        space = self._space() if saved is None else record.space(saved)
        if saved is None:
            record.begin(space, self.counted.tally, self.seconds(record))
        else:
            self.counted.tally.__dict__.update(saved["tally"])
        run = self._run(space)
        if saved is None or saved["measure"] is None:  # nothing was learned yet
            self.method.tune(run.measure, run.target, self._generator(NETWORK + 1))
            run.average = [p.detach().clone() for p in run.parameters]
            if self.iterations:
                look = self._fitted(run, space)
                run.untrained = look.examine(self.counted, EXAMINED, self._generator(LAST + 1), None)
        else:
            record.restore(saved, run, self.counted.tally)
        self._train(run, space, record)
        return self._examined(run, space, record)

    def _generator(self, offset: int) -> Generator:
        return Generator(self.target.device).manual_seed(self.seed + offset)

    def _space(self) -> Space:
        method = self.method
        generator = self._generator(PILOT)
        space = find_space(
            self.counted, method.prior, method.network.coordinates, mixture=method.takes_mixture, generator=generator
        )
        if isinstance(method.prior, Target):
            check_width(space, self.counted, generator)
        return distributed.share(space)

    def _run(self, space: Space) -> Run:
        target, generator = space.seen(self.counted), self._generator(NETWORK)
        measure = self.method.build(space, target, generator)
        objective = self.method.objective_for(space)
        if isinstance(objective, SubTrajectoryBalance):
            measure.flow = FlowNetwork(target.dim, generator)
        measure.to(device=target.device, dtype=target.dtype)
        measure.control.speed_up(self.method.training.mixed_precision, self.method.training.compile)
        witnesses = None
        if space.witnesses is not None:
            witnesses = Witnesses(target.to_u(space.witnesses.to(device=target.device, dtype=target.dtype)))
        elif isinstance(objective, ForwardKL):
            raise ValueError("objective: ForwardKL learns from the particles of a pilot; expected a prior it finds")
        generator = self._generator(PATHS + distributed.rank())
        return Run(self.method, measure, target, generator, self.iterations, objective, witnesses)

    def _train(self, run: Run, space: Space, record: Record) -> None:
        log = _Log(self.log_dir)
        bar = Progress(
            self.iterations, run.iteration, self.progress, f"{type(self.method).__name__}: {self.target.name}"
        )
        recent: list[int] = []
        try:
            with deferred_interrupt() as pressed:
                while run.iteration < self.iterations and not self._late():
                    if distributed.anywhere(pressed.is_set()):
                        self._warn(f"interrupted after {run.iteration} of {self.iterations} iterations")
                        break
                    record.mark(run, self.counted.tally)
                    done = run.step()
                    if run.iteration % EVERY == 0 or run.iteration == self.iterations:
                        _note(run, done, log)
                    bar.advance(lambda: _said(done))  # noqa: B023
                    recent = [*recent[1 - WATCHED :], done.lost]
                    if len(recent) == WATCHED and sum(recent) > MOST_LOST * WATCHED * self.method.training.batch:
                        raise RuntimeError(self._advice(sum(recent) / (WATCHED * self.method.training.batch)))
                    record.stepped(run, space, self.counted.tally, self.seconds(record))
        except BaseException:
            save_quietly(lambda: record.save(run, space, self.counted.tally, self.seconds(record)))
            raise
        finally:
            bar.close()
            log.close()
        record.save(run, space, self.counted.tally, self.seconds(record))
        if run.lost or run.skipped:
            self.notes.append(
                f"{run.lost} paths ended at energies that are not finite and were left out; {run.skipped} of "
                f"{run.iteration} iterations were skipped"
            )

    def seconds(self, record: Record) -> float:
        """Wall time of this call and of those before it."""
        return record.seconds + time.perf_counter() - self.began

    def _late(self) -> bool:
        late = self.max_minutes is not None and time.perf_counter() - self.began > 60 * self.max_minutes
        return distributed.anywhere(late)

    def _advice(self, share: float) -> str:
        return (
            f"{share:.0%} of the paths of the last {WATCHED} iterations ended where the log-density of "
            f"{self.target.name} is not finite. Look at log_prob far from the mass (overflow, logarithms of negative "
            "numbers), take more or smaller steps, a narrower prior=, or a lower Training(learning_rate=)"
        )

    def _fitted(self, run: Run, space: Space) -> Fitted:
        """What has been learned so far."""
        return Fitted(
            method=self.method,
            target=self.target,
            space=space,
            measure=run.averaged(),
            seed=self.seed,
            iterations=run.iteration,
            history=run.history,
            move_steps=run.move_steps,
            notes=self.notes,
            log_z=float(run.log_z.detach()),
            untrained=run.untrained,
        )

    def _examined(self, run: Run, space: Space, record: Record) -> Fitted:
        fitted = self._fitted(run, space)
        if self.iterations:
            fitted.evaluation = fitted.examine(self.counted, EXAMINED, self._generator(LAST), space.witnesses)
            for text in fitted.evaluation.complaints(run.untrained):
                self._warn(text)
        tally = self.counted.tally
        fitted.cost = Cost(tally.log_probs, tally.scores, self.seconds(record))
        return fitted

    def _warn(self, text: str) -> None:
        self.notes.append(text)
        warn(text)


def _said(done: Progressed) -> str:
    if done.warm:
        return f"from witnesses, EUBO {done.elbo:.4g}"
    return f"ELBO {done.elbo:.4g}, log Z {done.log_z:.4g}, ESS {done.ess:.1%}"


def _note(run: Run, done: Progressed, log: _Log) -> None:
    entry = {
        "iteration": float(run.iteration),
        "loss": done.loss,
        "elbo": math.nan if done.warm else done.elbo,
        "eubo": done.elbo if done.warm else math.nan,
        "log_z": done.log_z,
        "ess": done.ess,
        "gradient": done.gradient,
        "learning_rate": run.optimiser.param_groups[0]["lr"],
        "lost": float(run.lost),
        "skipped": float(run.skipped),
    }
    for name, value in entry.items():
        run.history.setdefault(name, []).append(value)
    log.write(entry)


class _Log:
    """Scalars for TensorBoard; nothing without a folder."""

    def __init__(self, folder: str | Path | None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ModuleNotFoundError("log_dir: needs the package tensorboard: pip install tensorboard") from error
        self._writer = SummaryWriter(str(folder))

    def write(self, entry: dict[str, float]) -> None:
        """One point of every curve."""
        if self._writer is not None:
            for name, value in entry.items():
                if name != "iteration" and math.isfinite(value):
                    self._writer.add_scalar(name, value, int(entry["iteration"]))

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
