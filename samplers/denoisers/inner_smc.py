"""The denoiser that runs SMC inside: for every measurement, particles from where they are easy to draw to X given y.

    pi_b(x) ~ q_r(x)^(1-b) [gamma(x) N(x; y_r, C)]^b,     0 = b_0 < .. < b_K = 1,     r = 1 .. n
    E[X | y_r] = sum_i W_ri x_ri,     exp phi(y_r) = product over k of sum_i W_ri (pi_b_k / pi_b_{k-1})(x_ri)

All n measurements go through the same temperatures, their particles in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from samplers.annealing import SMC
from samplers.annealing.cloud import Cloud
from samplers.annealing.paths import GeometricPath
from samplers.annealing.pilot import PILOT, find_base
from samplers.annealing.resampling import systematic
from samplers.annealing.schedule import fixed_betas
from samplers.annealing.tuning import Tuner
from samplers.denoisers.base import Estimate, Finding, Held, Memory, stein_corrected
from samplers.denoisers.closed_form import check_smoothing
from samplers.denoisers.inner_base import RowBase, RowPosterior
from samplers.denoisers.inner_tuning import FisherTuner
from samplers.kernels import HMC, Kernel, PreconditionedKernel
from samplers.kernels.base import check_kernel
from targets import Gaussian, Noise, Target
from targets.arguments import check_integer, shown
from targets.counting import Counted
from targets.mixture_product import MixtureProduct

SCHEDULE_ROWS = 128  # whose weights choose the next temperature
LOWEST = 0.1  # share of them that may keep less than asked
LEAST_KEPT, RESCUES = 0.15, 8  # what every row should keep, and halvings of a step that are made for it
HALVINGS = 25
LEAST_LOG_STEP = -30.0
MOST_TEMPERATURES = 2000
PILOT_SEED = 0


@dataclass(frozen=True, eq=False)
class Guide:
    """The law that particles start from, None for the noise alone; log_z: what the pilot that found it says of that."""

    law: Target | None
    log_z: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class InnerSMC(Finding[Guide]):
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

    def __post_init__(self) -> None:
        for name, least in (("particles", 4), ("moves", 1)):
            check_integer(getattr(self, name), name, least)
        if not 0 < self.conditional_ess < 1:
            raise ValueError(f"conditional_ess: got {shown(self.conditional_ess)}, expected a share between 0 and 1")
        if not 1 <= self.floor <= self.particles:
            raise ValueError(f"floor: got {shown(self.floor)}, expected a number from 1 to particles={self.particles}")
        if self.kernel is not None:
            check_kernel(self.kernel)
            if not self.kernel.exact:
                raise ValueError(f"kernel: {type(self.kernel).__name__} is biased, expected an exact one such as HMC")
        if not (self.guide is None or self.guide == "pilot" or isinstance(self.guide, Target)):
            raise TypeError(f"guide: got {shown(self.guide)}, expected a targets.Target, 'pilot' or None")
        if isinstance(self.guide, Target):
            check_smoothing(self.guide, "guide")
        if self.betas is not None:
            object.__setattr__(self, "betas", fixed_betas(self.betas))

    def check(self, target: Target, noise: Noise) -> None:
        if target.discrete:
            raise TypeError(f"denoiser: {target.name} is discrete, and InnerSMC moves particles in R^{target.dim}")
        if isinstance(self.guide, Target) and self.guide.dim != target.dim:
            raise ValueError(f"guide: got dim {self.guide.dim}, expected {target.dim} like {target.name}")

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None, memory: Memory = None
    ) -> Estimate:
        assert generator is not None
        cloud, least_ess = self.run(target, y, noise, generator)
        state, shape = cloud.state, (len(y), self.particles, target.dim)
        x = state.x.reshape(shape)
        scores = noise.solve(x - y[:, None])  # as if X had no score given y: the plain mean, for kernels without one
        if state.score is not None:
            scores = scores + state.score.reshape(shape)
        families = cloud.eves if self.guide is not None else cloud.eves // 2  # pairs on opposite sides are one
        mean, error = stein_corrected(x, y, scores, noise, cloud.log_weights, families)
        weights, share = cloud.log_weights.exp(), cloud.family_share()
        here = weights.to(x)[..., None]
        variance = (here * (x - (here * x).sum(1, keepdim=True)).square()).sum(1)
        alone = (share > 1 - 1 / self.particles)[:, None]
        error = torch.where(alone, variance.sqrt(), error / (1 - share).clamp_min(1e-12).sqrt().to(x)[:, None])
        chosen = systematic(weights, self.particles, generator)
        points = x.gather(1, chosen[..., None].expand(shape))
        trusted = least_ess >= self.floor
        return Estimate(mean, cloud.log_z.to(y.dtype), error, 1 / share, memory=points, trusted=trusted)

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        cloud, _ = self.run(target, y, noise, generator)
        chosen = torch.multinomial(cloud.log_weights.exp(), 1, generator=generator)
        x = cloud.state.x.reshape(len(y), self.particles, target.dim)
        return x[torch.arange(len(y), device=y.device), chosen[:, 0]]

    @torch.no_grad()
    def run(self, target: Target, y: Tensor, noise: Noise, generator: Generator) -> tuple[Cloud, Tensor]:
        """The particles of every row at X given y with their weights, and the least ESS of these on the way, (n,)."""
        base = RowBase(y, noise, self._guide(target, noise), self.particles)
        path = GeometricPath(base, RowPosterior(target, y, noise))
        kernel = (HMC(steps=3) if self.kernel is None else self.kernel).placed(path.target)
        tuner: Tuner | FisherTuner = Tuner(kernel, target.dim)
        if isinstance(kernel, PreconditionedKernel) and kernel.step_size is None:
            tuner = FisherTuner(kernel, target.dim)
        x = base.sample(len(y) * self.particles, generator=generator)
        cloud = Cloud.start(kernel.init(path.at(0.0), x, generator), len(y), 0.0)
        least, betas = cloud.ess, [0.0]
        while betas[-1] < 1:
            raw = path.increments(cloud.state, betas[-1])

            def increment(beta: float, raw: Callable[[float], Tensor] = raw) -> Tensor:
                """Of the log-weights of every row; a point whose density is not a number has no weight."""
                found = raw(beta).reshape(cloud.shape)
                return torch.where(found < torch.inf, found, -torch.inf)

            slope = increment(1.0) / (1 - betas[-1])
            betas.append(self._next(betas, cloud.log_weights, slope, target))
            cloud.reweight(increment(betas[-1]))
            if not bool(cloud.log_z.isfinite().any()):
                raise ValueError(
                    f"denoiser: at b = {betas[-1]:.3g} no particle is where {target.name} has mass; give another guide"
                )
            cloud.state = path.moved(cloud.state, betas[-1], kernel, generator)
            least = torch.minimum(least, cloud.ess)
            if betas[-1] < 1:  # at the last temperature the weights are kept
                cloud.resample("systematic", cloud.ess < self.particles, generator)
            density = path.at(betas[-1])
            tuned = tuner.kernel(cloud, density, generator)
            rates = []
            for _ in range(self.moves):
                cloud.state, info = tuned.step(density, cloud.state, generator)
                rates.append(float(info.acceptance_rate.mean()))
            tuner.learn(math.fsum(rates) / self.moves)
        return cloud, least

    def _next(self, betas: list[float], weights: Tensor, slope: Tensor, target: Target) -> float:
        """By some of the rows: the weights of all at every trial of a bisection would cost more than the moves."""
        if isinstance(self.betas, tuple):
            return self.betas[len(betas)]
        old, every = betas[-1], max(1, len(weights) // SCHEDULE_ROWS)

        def kept(step: float, every: int = every) -> Tensor:
            first, second = (torch.logsumexp(weights[::every] + power * step * slope[::every], -1) for power in (1, 2))
            return torch.where(first == -torch.inf, 0.0, (2 * first - second).exp())

        def enough(step: float) -> bool:
            return float(kept(step).quantile(LOWEST)) >= self.conditional_ess

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
        new = min(1.0, old + step)
        if len(betas) > MOST_TEMPERATURES or new == old:
            raise ValueError(
                f"denoiser: after {len(betas)} temperatures InnerSMC is at b = {old:.9g} of X given y for "
                f"{target.name} and no step keeps a conditional ESS of {self.conditional_ess}"
            )
        return new

    # Where particles start

    def find(self, target: Counted, noise: Noise) -> Guide:
        if self.guide != "pilot":
            return Guide(self.guide)
        prior = target.inner.prior if "prior" in target.inner.known else None
        try:
            found = find_base(SMC(), target, prior, Generator(target.device).manual_seed(PILOT_SEED))
        except ValueError as error:
            raise ValueError(f"guide: no pilot for {target.name}, expected a mixture or None ({error})") from error
        return Guide(found.guide, found.log_z)

    def serves(self, held: Held[Guide], noise: Noise) -> bool:
        return True

    @property
    def pilot(self) -> str:
        return PILOT if self.guide == "pilot" and self._held is not None else ""

    @property
    def pilot_log_z(self) -> tuple[float, float] | None:
        return None if self._held is None else self._held.found.log_z

    def _guide(self, target: Target, noise: Noise) -> Target | None:
        guide = self.found(target, noise).law
        if isinstance(guide, MixtureProduct) and noise.variances(target.dim) is None:  # it couples the blocks
            return Gaussian(guide.mean, covariance=guide.covariance)
        return guide
