"""How a learned sampler is trained: the state of a training run, and its iterations."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from samplers.adaptation.step_size import robbins_monro
from samplers.annealing.evidence import log_mean_exp
from samplers.diffusion.gradient import Objective
from samplers.diffusion.objectives import ForwardKL
from samplers.diffusion.replay import Buffer
from samplers.diffusion.settings import Training
from samplers.diffusion.witnesses import Witnesses
from samplers.learning import distributed
from samplers.learning.descent import Descent, Group
from samplers.learning.rate import cosine
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.evaluation import Evaluation, effective_share
from samplers.path_measures.prior import FixedPrior
from samplers.path_measures.simulation import Paths, joined, simulate, simulate_backward
from samplers.path_measures.subtrajectories import Resampling, simulate_subtrajectories
from targets import Target

LOG_Z_RATE = 0.05  # of the log Z that an objective learns
WARM_START = 0.25  # share of the iterations
WARM_RATE = 0.25  # of the learning rate, once witnesses have taught; not for KL, whose gradient is the less noisy one
OPENING = 0.2  # share of the iterations after which the network's clip is open
EXPLORING = 0.5  # share of the iterations after which nothing is explored any more
MOVE_ACCEPTANCE, MOVE_GAIN = 0.8, 0.1


@dataclass(eq=False)
class Progressed:
    """One iteration: the loss, and of its paths the bound, log Z, share of effective paths, and how many were lost.

    warm: its paths ran backwards from witnesses; the bound is then the upper one, and the rest is not known.
    """

    loss: float
    elbo: float
    log_z: float
    ess: float
    gradient: float
    lost: int
    skipped: bool
    warm: bool = False


@dataclass(eq=False)
class Run:
    """A training run between two iterations; all that the next one depends on is in its fields.

    resampling: of the particles that paths are cut for, None for whole paths.
    """

    training: Training
    measure: PathMeasure
    target: Target
    generator: Generator
    iterations: int
    objective: Objective
    resampling: Resampling | None = None
    witnesses: Witnesses | None = None
    lost: int = 0
    skipped: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    untrained: Evaluation | None = None

    def __post_init__(self) -> None:
        training, reference = self.training, self.measure.prior.reference
        networks = [p for name, p in self.measure.named_parameters() if name.startswith(("control", "flow"))]
        others = [p for name, p in self.measure.named_parameters() if not name.startswith(("control", "flow"))]
        self.log_z = torch.zeros((), dtype=torch.float64, device=reference.device, requires_grad=True)
        groups = [
            Group(networks),
            Group(others, training.schedule_rate),
            Group([self.log_z], LOG_Z_RATE / training.learning_rate, alone=True),
        ]
        self.descent = Descent(groups, training.learning_rate, clip=training.gradient_clip, average=training.average)
        self.buffer = None if training.replay is None else Buffer(training.replay, self.measure.dim, reference)
        self.move_steps = None
        if self.resampling is not None:
            self.move_steps = torch.full((self.resampling.subtrajectories,), 0.1, dtype=torch.float64)

    @property
    def iteration(self) -> int:
        """Iterations so far."""
        return self.descent.taken

    @property
    def done(self) -> float:
        """The share of the iterations that is done."""
        return self.iteration / max(1, self.iterations)

    @property
    def warm(self) -> bool:
        """Whether the next iteration learns from witnesses."""
        return self.objective.from_witnesses or self.done < self.warm_start

    @property
    def warm_start(self) -> float:
        """The share of the iterations that learns from witnesses before the objective takes over."""
        share = self.training.warm_start
        if share is None:
            share = 0.0 if isinstance(self.measure.prior, FixedPrior) else WARM_START
        return 0.0 if self.witnesses is None else share

    def step(self) -> Progressed:
        """One iteration."""
        warm = self.warm
        self._set_rates()
        self.descent.clear()
        loss, log_w = self._gradient()
        distributed.average_gradients(self.descent.every)
        failed = distributed.anywhere(not math.isfinite(loss))
        gradient, skipped = self.descent.step(math.nan if failed else loss)
        good = log_w[log_w.isfinite()]
        lost = len(log_w) - len(good)
        self.lost += lost
        self.skipped += skipped
        elbo, log_z, ess = _figures(good)
        return Progressed(loss, elbo, *((math.nan, math.nan) if warm else (log_z, ess)), gradient, lost, skipped, warm)

    def _set_rates(self) -> None:
        training = self.training
        share, done, since = self.warm_start, self.done, self.iteration
        only = self.objective.from_witnesses or share == 1
        if self.warm and not only:
            done = done / share
        elif not only:
            done, since = (done - share) / (1 - share), since - math.ceil(share * self.iterations)
        taught = share > 0 or (self.witnesses is not None and isinstance(self.measure.prior, FixedPrior))
        slow = taught and not (self.warm or only or self.objective.through_paths)
        top = WARM_RATE if slow else 1.0
        self.descent.set_rate(top * cosine(min(1.0, done)) * min(1.0, (since + 1) / (training.warmup + 1)))
        first, last = training.clip
        opened = min(1.0, self.done / OPENING)
        self.measure.set_clip(first * (last / first) ** opened)

    def _gradient(self) -> tuple[float, Tensor]:
        objective, n = self.objective, self.training.batch
        scale = 1 / self.measure.dim
        if self.warm:
            return ForwardKL().gradient(self.measure, self._backward(n), self.log_z, scale)
        if objective.through_paths:
            return objective.gradient_of_model(self.measure, self.target, n, self.generator, self.log_z, scale)
        if self.resampling is not None:
            return self._resampled(self.resampling, scale)
        share = 0.0 if self.buffer is None or not len(self.buffer) else self.buffer.settings.share
        recalled = round(share * n)
        anchored = 0 if self.witnesses is None else round(min(self.training.anchored, 1 - share) * n)
        noise_scale = 1 + self.training.exploration * max(0.0, 1 - self.done / EXPLORING)
        paths = simulate(
            self.measure, self.target, n - recalled - anchored, self.generator, noise_scale=noise_scale, keep=True
        )
        log_w = paths.log_weights
        if self.buffer is not None:
            self.buffer.add(paths.points.x[-1], log_w)
            if self.buffer.searches(self.iteration):
                self.buffer.search(self.measure, self.target, self.generator)
        if recalled:
            assert self.buffer is not None
            x = self.buffer.draw(recalled, self.generator)
            paths = joined(paths, simulate_backward(self.measure, self.target, x, self.generator, keep=True))
        if anchored:
            paths = joined(paths, self._backward(anchored))
        return objective.gradient(self.measure, paths, self.log_z, scale)[0], log_w

    def _backward(self, n: int) -> Paths:
        """Paths that run backwards from n witnesses."""
        assert self.witnesses is not None
        u = self.witnesses.draw(n, self.target, self.generator)
        return simulate_backward(self.measure, self.target, u, self.generator, keep=True)

    def _resampled(self, resampling: Resampling, scale: float) -> tuple[float, Tensor]:
        assert self.move_steps is not None
        ensemble = simulate_subtrajectories(
            self.measure,
            self.target,
            self.training.batch,
            self.generator,
            resampling=resampling,
            step_sizes=self.move_steps,
            keep=True,
        )
        for j, rate in enumerate(ensemble.acceptance):
            self.move_steps[j] *= math.exp(robbins_monro(rate, MOVE_ACCEPTANCE, MOVE_GAIN))
        losses = [self.objective.gradient(self.measure, paths, self.log_z, scale)[0] for paths in ensemble.paths]
        return math.fsum(losses), ensemble.log_w

    def moved(self) -> dict[str, Any]:
        """What an iteration changes before it learns: the points that it moves, by tensors and plain values."""
        return {
            "buffer": None if self.buffer is None else self.buffer.state_dict(),
            "witnesses": None if self.witnesses is None else self.witnesses.state_dict(),
            "move_steps": self.move_steps,
        }

    def averaged(self) -> PathMeasure:
        """A copy of the measures with averaged parameters, for sampling."""
        measure = copy.deepcopy(self.measure).requires_grad_(False)
        averages = self.descent.averaged()
        for own, parameter in zip(measure.parameters(), self.measure.parameters(), strict=True):
            own.copy_(averages[id(parameter)])
        return measure


def _figures(log_w: Tensor) -> tuple[float, float, float]:
    """Mean, log of the mean weight, and share of effective paths."""
    if len(log_w) == 0:
        return math.nan, math.nan, 0.0
    return float(log_w.mean()), log_mean_exp(log_w), effective_share(log_w)
