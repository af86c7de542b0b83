"""Walks on the joint law of m noisy measurements, and jumps from them to the target.

walk:  (y_1 .. y_m) moves by a kernel that keeps  p(y_1 .. y_m),  y_t = x + N(0, C)
jump:  x ~ p(x | ybar; C / m),   or   x = E[X | ybar; C / m]
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Generator, Tensor

from samplers.denoisers import Denoiser, as_denoiser
from samplers.draws import Cost
from samplers.kernels import Info, Kernel, State
from samplers.kernels.base import check_kernel
from samplers.runs.checks import check_target
from samplers.runs.header import plain
from samplers.runs.state import Findings
from samplers.runs.transition import one_step
from samplers.smoothing.jump import Jump, check_jump, jumped
from samplers.smoothing.measurements import Asked, JointMeasurements, record
from samplers.smoothing.noise import check_noise, noise_of, of_mean, random_field
from samplers.smoothing.plan import plan
from samplers.smoothing.walk import continued, walker
from targets import Noise, Target
from targets.arguments import check_integer

MOST = 8  # of the measurements planned for a sequence, how many still walk well together


@dataclass(frozen=True, eq=False)
class WalkState(State):
    """x is where the last jump led, with the target's log-density there; the walk goes on from the measurements y.

    y: (chains, m * dim), with the log-density and score of their joint law, or estimates of them. memory: of the
    denoiser. points, fallbacks: (chains,), denoised measurements so far, and those that a second denoiser answered.
    """

    y: Tensor
    y_log_prob: Tensor
    y_score: Tensor | None
    memory: Tensor | None
    points: Tensor
    fallbacks: Tensor


@dataclass(frozen=True, eq=False)
class MeasurementWalk(Kernel):
    """Measurements of the target walk; after every `steps` steps x is read from them. See its two forms."""

    noise: Literal["isotropic", "mrf"] | Tensor | Noise = "isotropic"
    sigma: float | None = None
    kernel: Kernel | None = None
    steps: int = 8
    denoiser: Denoiser | str = "auto"
    jump: Jump = "posterior"

    needs_score: ClassVar[bool] = False  # starts get noise: no Pathfinder start
    _noise_of_mean: ClassVar[Noise | None] = None  # of one that is placed, whose denoiser is bound to it

    def __post_init__(self) -> None:
        check_jump(self.jump)
        check_integer(self.steps, "steps")
        check_noise(self.noise, self.sigma, shaped=True)
        if self.kernel is not None:
            check_kernel(self.kernel)

    # Declarations

    @property
    def exact(self) -> bool:
        """Whether the target is the invariant law."""
        walker = self.kernel is None or self.kernel.exact
        return isinstance(self.denoiser, Denoiser) and self.denoiser.exact and walker and self.jump == "posterior"

    @property
    def reversible(self) -> bool:
        """Whether x now and x a step before are exchangeable."""
        return self.exact and (self.kernel is None or self.kernel.reversible)

    # What is left open

    @property
    @abstractmethod
    def measurements(self) -> int:
        """How many measurements walk together."""

    @property
    def left_open(self) -> list[str]:
        """The fields that a plan fills in."""
        return ["sigma"] if isinstance(self.noise, str) and self.noise == "isotropic" and self.sigma is None else []

    def prepare(self, target: Target, seed: int) -> tuple[Self, Cost]:
        if not self.left_open:
            return self, Cost()
        choice = plan(target, jump=self.jump, seed=seed)
        found: dict[str, Any] = {"sigma": choice.sigma, "m": min(MOST, choice.m)}
        return replace(self, **{name: found[name] for name in self.left_open}), choice.cost

    def check_target(self, target: Target) -> None:
        check_target(target)
        if isinstance(self.noise, str) and self.noise == "mrf":
            random_field(target)

    def placed(self, target: Target) -> Self:
        noise, m = noise_of(self.noise, self.sigma, target), self.measurements
        mean = of_mean(noise, m)
        denoiser = as_denoiser(self.denoiser, target, mean)
        law = JointMeasurements(target, noise, m, denoiser=denoiser, noise_of_mean=mean)
        kernel = walker(self.kernel, law)
        placed = replace(self, noise=noise, sigma=None, denoiser=law.denoiser, kernel=kernel)
        object.__setattr__(placed, "_noise_of_mean", mean)
        return placed

    # The chain

    def _ready(self, target: Target) -> Self:
        """This kernel with nothing left open."""
        filled = isinstance(self.denoiser, Denoiser) and isinstance(self.noise, Noise) and self.kernel is not None
        return self if filled else self.placed(target)

    def _law(self, target: Target, memory: Tensor | None, generator: Generator) -> JointMeasurements:
        assert isinstance(self.denoiser, Denoiser)
        assert isinstance(self.noise, Noise)
        noise, m, mean = self.noise, self.measurements, self._noise_of_mean
        return JointMeasurements(
            target, noise, m, denoiser=self.denoiser, generator=generator, asked=Asked(memory), noise_of_mean=mean
        )

    def init(self, target: Target, x: Tensor, generator: Generator) -> WalkState:
        law = self._ready(target)._law(target, None, generator)
        copies = x[:, None].expand(-1, law.m, -1)
        y = (copies + law.noise.sample_like(copies, generator)).flatten(1)
        log_prob, score = law.log_prob_and_score(y)
        nothing = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return WalkState(x, _log_prob(target, x), None, y, log_prob, score, **_counted(law.asked, nothing, nothing))

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        placed = self._ready(target)
        assert isinstance(state, WalkState)
        assert placed.kernel is not None
        law, walk = placed.walking(target, state, generator)
        rate, diverging = torch.zeros_like(state.log_prob, dtype=torch.float64), torch.zeros_like(state.points).bool()
        for _ in range(self.steps):
            walk, info = one_step(placed.kernel, law, walk, generator)
            rate += info.acceptance_rate / self.steps
            diverging |= info.diverging
        return self.read(target, state, law, walk), Info(rate, diverging)

    def walking(self, target: Target, state: WalkState, generator: Generator) -> tuple[JointMeasurements, State]:
        """The law on which the measurements of a state walk, and the walk where it stands; of a kernel once placed."""
        assert self.kernel is not None
        law = self._law(target, state.memory, generator)
        return law, continued(self.kernel, law, state.y, state.y_log_prob, state.y_score, generator)

    def read(self, target: Target, state: WalkState, law: JointMeasurements, walk: State) -> WalkState:
        """The state at the end of a walk that `state` began: x as it is read from the measurements."""
        x = jumped(self.jump, law, law.split(walk.x).mean(1))
        counts = _counted(law.asked, state.points, state.fallbacks)
        return WalkState(x, _log_prob(target, x), None, walk.x, walk.log_prob, walk.score, **counts)

    def frozen(self, generator: Generator) -> Kernel:
        return self if self.kernel is None else replace(self, kernel=self.kernel.frozen(generator))

    # Records

    def findings(self, target: Target, state: State) -> Findings:
        assert isinstance(state, WalkState)
        assert isinstance(self.denoiser, Denoiser)
        assert isinstance(self.noise, Noise)
        points, fallbacks = int(state.points.sum()), int(state.fallbacks.sum())
        return Findings(record(self.noise, self.measurements, self.denoiser, points, fallbacks))

    def hyperparameters(self) -> dict[str, Any]:
        return plain({field.name: getattr(self, field.name) for field in fields(self)})


def _log_prob(target: Target, x: Tensor) -> Tensor:
    """At x (chains, dim), which the walk does not depend on; zeros, never recorded, where the target has none."""
    return target.log_prob(x) if target.has_density else torch.zeros_like(x[:, 0])


def _counted(asked: Asked, points: Tensor, fallbacks: Tensor) -> dict[str, Any]:
    """Of a state, what a denoiser remembers and has been asked since one with those counts."""
    more = 0 if asked.fallback_rows is None else asked.fallback_rows
    return {"memory": asked.memory, "points": points + asked.points // len(points), "fallbacks": fallbacks + more}
