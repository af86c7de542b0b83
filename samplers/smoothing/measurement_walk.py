"""Walks on the joint law of m noisy measurements, and jumps from them to the target.

walk:  (y_1 .. y_m) moves by a kernel that keeps  p(y_1 .. y_m),  y_t = x + N(0, C)
jump:  x ~ p(x | ybar; C / m),   or   x = E[X | ybar; C / m]
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from torch import Generator, Tensor

from samplers.denoisers import Denoiser, as_denoiser
from samplers.draws import Cost
from samplers.kernels import Info, Kernel, PreconditionedKernel, State
from samplers.kernels.base import check_kernel
from samplers.runs.checks import check_target
from samplers.runs.state import Findings
from samplers.smoothing.jump import Jump, check_jump, jumped
from samplers.smoothing.measurements import JointMeasurements
from samplers.smoothing.walk import continued, walker
from targets import Noise, PairwiseMRF, Target
from targets.arguments import check_integer
from targets.noise import as_noise

if TYPE_CHECKING:
    from samplers.smoothing.plan import Plan


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

    needs_score: ClassVar[bool] = False  # starts get noise; warmup seeks no way uphill from there

    def __post_init__(self) -> None:
        check_jump(self.jump)
        check_integer(self.steps, "steps")
        if isinstance(self.noise, str) and self.noise not in ("isotropic", "mrf"):
            raise ValueError(f"noise: got {self.noise!r}, expected 'isotropic', 'mrf', a covariance or a targets.Noise")
        if self.sigma is not None and not (isinstance(self.noise, str) and self.noise == "isotropic"):
            raise ValueError("sigma, noise: got both; sigma is the standard deviation of isotropic noise")
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

    def planned(self, choice: Plan) -> dict[str, Any]:
        """The fields that a plan fills in."""
        return {"sigma": choice.sigma}

    @property
    def left_open(self) -> bool:
        """Whether a plan is needed."""
        return isinstance(self.noise, str) and self.noise == "isotropic" and self.sigma is None

    def prepare(self, target: Target, seed: int) -> tuple[Self, Cost]:
        if not self.left_open:
            return self, Cost()
        from samplers.smoothing.plan import plan

        choice = plan(target, jump=self.jump, seed=seed)
        return replace(self, **self.planned(choice)), choice.cost

    def check_target(self, target: Target) -> None:
        check_target(target)
        if isinstance(self.noise, str) and self.noise == "mrf" and not isinstance(target, PairwiseMRF):
            raise TypeError(f"noise: 'mrf' is for a PairwiseMRF such as targets.Ising, got {target.name}")

    def placed(self, target: Target) -> Self:
        if isinstance(self.noise, str) and self.noise == "isotropic" and self.sigma is None:
            raise ValueError("sigma: left to `sample`, which finds it; give it to use init and step alone")
        noise, m = self.noise_for(target), self.measurements
        denoiser = as_denoiser(self.denoiser, target, noise.scaled(1 / m)).fresh()
        kernel = walker(self.kernel, noise, target.dim, m, denoiser)
        if isinstance(kernel, PreconditionedKernel) and isinstance(kernel.inverse_mass_matrix, Tensor):
            matrix = kernel.inverse_mass_matrix.to(device=target.device, dtype=target.dtype)
            kernel = replace(kernel, inverse_mass_matrix=matrix)
        return replace(self, noise=noise, sigma=None, denoiser=denoiser, kernel=kernel)

    def noise_for(self, target: Target) -> Noise:
        """The noise of one measurement."""
        if not isinstance(self.noise, str):
            return as_noise(self.noise, target.dim)
        if self.noise == "isotropic":
            assert self.sigma is not None
            return as_noise(self.sigma, target.dim, "sigma")
        from targets.mrf_noise import MRFNoise

        return MRFNoise(target)  # type: ignore[arg-type]

    # The chain

    def _ready(self, target: Target) -> Self:
        """This kernel with nothing left open."""
        filled = isinstance(self.denoiser, Denoiser) and isinstance(self.noise, Noise) and self.kernel is not None
        return self if filled else self.placed(target)

    def _law(self, target: Target, memory: Tensor | None, generator: Generator) -> JointMeasurements:
        assert isinstance(self.denoiser, Denoiser)
        assert isinstance(self.noise, Noise)
        return JointMeasurements(
            target,
            self.noise,
            self.measurements,
            denoiser=self.denoiser,
            generator=generator,
            memory=memory,
            noise_of_mean=self._noise_of_mean,
        )

    @cached_property
    def _noise_of_mean(self) -> Noise:
        """Made once, so that a denoiser knows it again from step to step."""
        assert isinstance(self.noise, Noise)
        return self.noise.scaled(1 / self.measurements)

    def init(self, target: Target, x: Tensor, generator: Generator) -> WalkState:
        ready = self._ready(target)
        copies = x[:, None].expand(-1, ready.measurements, -1)
        y = (copies + ready.noise.sample_like(copies, generator)).flatten(1)  # type: ignore[union-attr]
        law = ready._law(target, None, generator)
        log_prob, score = law.log_prob_and_score(y)
        counts = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        fallbacks = counts if law.fallback_rows is None else counts + law.fallback_rows
        return WalkState(x, target.log_prob(x), None, y, log_prob, score, law.memory, counts + 1, fallbacks)

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        return self._ready(target)._step(target, state, generator)

    def _step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        assert isinstance(state, WalkState)
        assert self.kernel is not None
        law = self._law(target, state.memory, generator)
        walk = continued(self.kernel, law, state.y, state.y_log_prob, state.y_score, generator)
        rate, diverging = torch.zeros_like(state.log_prob, dtype=torch.float64), torch.zeros_like(state.points).bool()
        for _ in range(self.steps):
            walk, info = self.kernel.step(law, walk, generator)
            rate += info.acceptance_rate / self.steps
            diverging |= info.diverging
        y = law.split(walk.x).mean(1)
        x = jumped(self.jump, law, y, law.noise_of_mean, generator)
        new = WalkState(
            x,
            target.log_prob(x),
            None,
            walk.x,
            walk.log_prob,
            walk.score,
            law.memory,
            state.points + law.points // len(x),
            state.fallbacks if law.fallback_rows is None else state.fallbacks + law.fallback_rows,
        )
        return new, Info(rate, diverging)

    def frozen(self, generator: Generator) -> Kernel:
        return self if self.kernel is None else replace(self, kernel=self.kernel.frozen(generator))

    # Records

    def findings(self, target: Target, state: State) -> Findings:
        assert isinstance(state, WalkState)
        assert isinstance(self.denoiser, Denoiser)
        points, fallbacks = int(state.points.sum()), int(state.fallbacks.sum())
        described = {
            "noise": repr(self.noise),
            "measurements": self.measurements,
            "denoiser": self.denoiser.describe(),
            "points": points,
            "fallbacks": fallbacks,
        }
        pilot = {"pilot": self.denoiser.pilot} if self.denoiser.pilot else {}
        return Findings({"smoothing": described, **pilot})

    def hyperparameters(self) -> dict[str, Any]:
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, type(None))) else repr(value)
