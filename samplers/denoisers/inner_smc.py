"""The denoiser that runs SMC inside: for every measurement, particles from where they are easy to draw to X given y.

    pi_b(x) ~ q_r(x)^(1-b) [gamma(x) N(x; y_r, C)]^b,     0 = b_0 < .. < b_K = 1,     r = 1 .. n
    E[X | y_r] = sum_i W_ri x_ri,     exp phi(y_r) = product over k of sum_i W_ri (pi_b_k / pi_b_{k-1})(x_ri)

All n measurements go through the same temperatures, their particles in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from samplers.annealing import SMC
from samplers.annealing.annealer import Run
from samplers.annealing.paths import GeometricPath
from samplers.annealing.pilot import PILOT, find_base
from samplers.annealing.resampling import systematic
from samplers.annealing.schedule import fixed_betas
from samplers.denoisers.base import Denoiser, Estimate, inner, stein_corrected
from samplers.denoisers.inner_base import RowBase, RowPosterior
from samplers.denoisers.inner_tuning import ByScores
from samplers.kernels import HMC, Kernel, PreconditionedKernel
from targets import Gaussian, Noise, Target
from targets.arguments import check_integer
from targets.mixture_product import MixtureProduct

SCHEDULE_ROWS = 128  # whose weights choose the next temperature
LOWEST = 0.1  # share of them that may keep less than asked
LEAST_KEPT, RESCUES = 0.15, 8  # what every row should keep, and halvings of a step that are made for it
HALVINGS = 25
LEAST_LOG_STEP = -30.0
MOST_TEMPERATURES = 2000
PILOT_SEED = 0


@dataclass(frozen=True, eq=False)
class InnerSMC(Denoiser):
    """E[X | y], phi(y) and draws of X given y from `particles` particles of SMC for each y.

    guide: where the particles start. A target near the true one that knows its smoothing and its draws given y (a
    Gaussian, a GaussianMixture): from what X given y would be under it, with one particle in eight from N(y, C).
    "pilot" finds a mixture once per target, by the pilot run of `samplers.SMC` with a seed of its own; a mode that the
    pilot has missed will be missed here. None: from N(y, C) alone, in pairs on opposite sides of y, which knows nothing
    and needs many more temperatures.
    conditional_ess: share that each step of b keeps in nine rows of ten; or betas: temperatures, 0 to 1, if not None.
    moves: steps of the kernel at each temperature. kernel: None is HMC with three leapfrogs whose inverse mass matrix
    is the inverse of the mean of s s' over all rows, s the score at the present temperature: its expectation is the
    mean curvature, and does not mistake the distance of modes for their width. The step size follows the acceptance.
    A kernel with a step size is used as it is.

    The mean is consistent as the particles grow, its bias O(1 / particles), with Stein's control variate; so is phi.
    exp(phi) is unbiased only where `betas` and a kernel with its step size are given. The standard error counts the
    descendants of one first particle as one; `ess` is the effective number of such families, as low as one where all
    descend from one, and then a mean is worth one draw of X. An estimate is trusted where the weights' effective
    number never fell below `floor`. None of these tells of a mode that no particle has reached; and modes narrower than
    those beside them get their weight late, when few particles know of them: more particles or a guide help. `draw`
    takes a particle by its weight; its law is off by O(1 / particles).
    One score for each particle, and `moves` times the kernel's for each temperature; the pilot's once for each target.
    Del Moral, Doucet and Jasra 2006, https://doi.org/10.1111/j.1467-9868.2006.00553.x.

        >>> from samplers.denoisers import InnerSMC
        >>> y, noise = torch.tensor([[2.0]]), targets.IsotropicNoise(1.0)
        >>> denoiser = InnerSMC(particles=256, guide=None)
        >>> found = denoiser.estimate(targets.Gaussian([0.0]), y, noise, torch.Generator().manual_seed(0))
        >>> abs(found.mean.item() - 1.0) < 0.2
        True
    """

    particles: int = 32
    conditional_ess: float = 0.7
    moves: int = 1
    kernel: Kernel | None = None
    betas: int | Sequence[float] | None = None
    guide: Target | Literal["pilot"] | None = "pilot"
    floor: float = 2.0

    density: ClassVar[bool] = True

    _kept: list[Any] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("particles", 4), ("moves", 1)):
            check_integer(getattr(self, name), name, least)
        if not 0 < self.conditional_ess < 1:
            raise ValueError(f"conditional_ess: got {self.conditional_ess!r}, expected a share between 0 and 1")
        if not 1 <= self.floor <= self.particles:
            raise ValueError(f"floor: got {self.floor!r}, expected a number from 1 to particles={self.particles}")
        if self.kernel is not None and not isinstance(self.kernel, Kernel):
            came = self.kernel.__name__ if isinstance(self.kernel, type) else type(self.kernel).__name__
            raise TypeError(f"kernel: got {came}, expected a kernel such as samplers.HMC()")
        if self.kernel is not None and not self.kernel.exact:
            raise ValueError(f"kernel: {type(self.kernel).__name__} is biased, expected an exact one such as HMC")
        if not (self.guide is None or self.guide == "pilot" or isinstance(self.guide, Target)):
            raise TypeError(f"guide: got {self.guide!r}, expected a targets.Target, 'pilot' or None")
        if isinstance(self.guide, Target):
            _check_guide(self.guide)
        if self.betas is not None:
            object.__setattr__(self, "betas", fixed_betas(self.betas))

    def check(self, target: Target, noise: Noise) -> None:
        if target.discrete:
            raise TypeError(f"denoiser: {target.name} is discrete, and InnerSMC moves particles in R^{target.dim}")
        if isinstance(self.guide, Target) and self.guide.dim != target.dim:
            raise ValueError(f"guide: got dim {self.guide.dim}, expected {target.dim} like {target.name}")

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, memory: Tensor | None = None
    ) -> Estimate:
        assert generator is not None
        run = self.run(target, y, noise, generator)
        cloud, shape = run.cloud, (len(y), self.particles, target.dim)
        x, state = cloud.state.x.reshape(shape), cloud.state
        scores = noise.solve(x - y[:, None])  # as if X had no score given y: the plain mean, for kernels without one
        if state.score is not None:
            scores = scores + state.score.reshape(shape)
        families = cloud.eves if self.guide is not None else cloud.eves // 2  # pairs on opposite sides are one
        mean, error = stein_corrected(x, y, scores, noise, cloud.log_weights, families)
        weights = cloud.log_weights.exp()
        share = cloud.family_share()
        spread = (weights.to(x)[..., None] * (x - (weights.to(x)[..., None] * x).sum(1, keepdim=True)).square()).sum(1)
        alone = (share > 1 - 1 / self.particles)[:, None]
        error = torch.where(alone, spread.sqrt(), error / (1 - share).clamp_min(1e-12).sqrt().to(x)[:, None])
        chosen = systematic(weights, self.particles, generator)
        points = x.gather(1, chosen[..., None].expand(shape))
        return Estimate(
            mean, cloud.log_z.to(y.dtype), error, 1 / share, memory=points, trusted=run.least_ess >= self.floor
        )

    def draw(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Tensor | None = None
    ) -> Tensor:
        run = self.run(target, y, noise, generator)
        chosen = torch.multinomial(run.cloud.log_weights.exp(), 1, generator=generator)
        x = run.cloud.state.x.reshape(len(y), self.particles, target.dim)
        return x[torch.arange(len(y), device=y.device), chosen[:, 0]]

    @torch.no_grad()
    def run(self, target: Target, y: Tensor, noise: Noise, generator: Generator) -> RowRun:
        """The particles of every row, (n * particles, dim) row after row, at X given y with their weights."""
        kernel = HMC(steps=3) if self.kernel is None else self.kernel
        path = GeometricPath(
            RowBase(y, noise, self._guide_of(target, noise), self.particles), RowPosterior(target, y, noise)
        )
        smc = SMC(
            kernel,
            betas=self.betas,
            moves=self.moves,
            conditional_ess=self.conditional_ess,
            replicates=len(y),
            ess_threshold=1.0,
        )
        run = RowRun(smc, path.target, path, self.particles, generator)
        run.through()
        return run

    def prepare(self, target: Target, noise: Noise) -> Target | None:
        return self._guide_of(target, noise)

    @property
    def pilot(self) -> str:
        return PILOT if self.guide == "pilot" and self._kept else ""

    @property
    def pilot_log_z(self) -> tuple[float, float] | None:
        return self._kept[2] if self.pilot else None

    def _guide_of(self, target: Target, noise: Noise) -> Target | None:
        if self.guide != "pilot":
            return self.guide
        bare = inner(target)
        if not (self._kept and self._kept[0] is bare):
            generator = Generator(target.device).manual_seed(PILOT_SEED)
            prior = bare.prior if "prior" in bare.known else None
            try:
                found = find_base(SMC(), target, prior, generator)
            except ValueError as error:
                raise ValueError(f"guide: no pilot for {bare.name}, expected a mixture or None ({error})") from error
            self._kept[:] = [bare, found.guide, found.log_z]
        guide = self._kept[1]
        if isinstance(guide, MixtureProduct) and noise.variances(target.dim) is None:  # it couples the blocks
            return Gaussian(guide.mean, covariance=guide.covariance)
        return guide


@dataclass(eq=False)
class RowRun(Run):
    """SMC whose replicates are the rows of a batch, each with its own base and target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.least_ess = self.cloud.ess  # of the weights, (rows,), over the temperatures so far
        if isinstance(self.given, PreconditionedKernel) and self.given.step_size is None:
            self.tuner = ByScores(self.given, self.target.dim)  # type: ignore[assignment]

    @torch.no_grad()
    def step(self) -> None:
        """To the next temperature; at the last one the weights are kept."""
        self._reweight()
        cloud, sampler = self.cloud, self.sampler
        self.least_ess = torch.minimum(self.least_ess, cloud.ess)
        if not self.done:
            needed = cloud.ess < sampler.ess_threshold * self.n
            cloud.resample(sampler.resampling, needed, self.generator)
        self._move(sampler.moves, keep=False)

    def _next(self, increments: Callable[[float], Tensor]) -> float:
        """By some of the rows: the weights of all at every trial of a bisection would cost more than the moves."""
        if self.sampler.betas is not None:
            return super()._next(increments)
        every = max(1, self.rows // SCHEDULE_ROWS)
        old, weights = self.betas[-1], self.cloud.log_weights
        slope = increments(1.0) / (1 - old)  # log pi_b - log pi_old is (b - old) times this

        def kept(step: float, every: int = every) -> Tensor:
            first, second = (torch.logsumexp(weights[::every] + power * step * slope[::every], -1) for power in (1, 2))
            return torch.where(first == -torch.inf, 0.0, (2 * first - second).exp())

        def enough(step: float) -> bool:
            return float(kept(step).quantile(LOWEST)) >= self.sampler.conditional_ess

        step = 1 - old
        if not enough(step):
            low, high = LEAST_LOG_STEP, math.log(step)
            for _ in range(HALVINGS):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if enough(math.exp(middle)) else (low, middle)
            step = math.exp(low)
        for _ in range(RESCUES):
            if float(kept(step, 1).min()) >= LEAST_KEPT:
                break
            step *= 0.5
        return self._forward(min(1.0, old + step))

    def _forward(self, new: float) -> float:
        if len(self.betas) > MOST_TEMPERATURES or new == self.betas[-1]:
            raise ValueError(
                f"denoiser: after {len(self.betas)} temperatures InnerSMC is at b = {self.betas[-1]:.9g} of X given y "
                f"for {self.target.name} and no step keeps a conditional ESS of {self.sampler.conditional_ess}"
            )
        return new


def _check_guide(guide: Target) -> None:
    missing = {"smoothed", "sample_given"} - guide.known
    if missing:
        raise ValueError(
            f"guide: {guide.name} does not know its {' and its '.join(sorted(missing))}, expected a Gaussian or a "
            "mixture of Gaussians"
        )
