"""The log-density of a flow, at given points or of its own draws: the probability flow of a score, or any other.

    dx/dt = v(x, t),   log p(x) = log prior(x_T) + int_{t_min}^T div v(x_t, t) dt,   x_{t_min} = x
    v = a x - g^2 C s / 2          the probability flow of dx = a x dt + g dW, dW ~ N(0, C dt), with score s

Whatever v is, p is normalised: it is the law of the flow's draws. With the exact score and the prior q_T it is the law
of x_{t_min} itself. The divergence is exact, a derivative for each dimension, or estimated by Hutchinson's probes:

    div v = E[w' (grad v) w],   w of independent random signs

With no noise at all (v given) this is a continuous normalising flow. Chen et al. 2018; Grathwohl et al. 2019;
Song et al. 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.generative.divergence import divergence, projected, rademacher
from samplers.generative.dop853 import integrate
from samplers.generative.estimates import PointEstimates
from samplers.generative.score import Score, check_points, check_score, noise_of
from samplers.processes.base import Process
from targets import Gaussian, Target
from targets.arguments import check_integer, not_negative, positive

Field = Callable[[Tensor, float], Tensor]  # (x (n, dim), t) -> (n, dim)


@dataclass(frozen=True, eq=False)
class ContinuousFlow:
    """Draws of a prior carried from t = horizon to t_min along dx/dt = velocity(x, t), and their log-density.

        log p(x) = log prior(x_T) + int_{t_min}^T div v(x_t, t) dt

    velocity: (x (n, dim), t) -> (n, dim), a row of which depends on that row of x alone; for densities differentiable
    in x. prior: a Target, whose log_prob is taken to be normalised less its log_z where it knows that. horizon, t_min:
    the ends, 0 <= t_min < horizon. rtol, atol: of each coordinate and of the log-density in each step of the solver
    (`samplers.generative.dop853`), whose sum over the steps is what is seen; the state is kept in float64, and the
    velocity called in the dtype of x. In float32 its rounding, some 1e-7, is the floor of what steps can settle.

    ValueError for points that are not finite or of another shape, a velocity of another shape than x, and one that
    records no gradient of x where a divergence is asked for; RuntimeError for a flow that cannot be followed.
    https://arxiv.org/abs/1806.07366, https://arxiv.org/abs/1810.01367

        >>> from samplers.generative import ContinuousFlow
        >>> half = ContinuousFlow(lambda x, t: 0.6931472 * x, targets.Gaussian([0.0]), horizon=1.0)
        >>> half.log_prob(torch.ones(1, 1)), targets.Gaussian([0.0], scale=0.5).log_prob(torch.ones(1, 1))
        (tensor([-2.2258], dtype=torch.float64), tensor([-2.2258]))
    """

    velocity: Field
    prior: Target
    horizon: float
    t_min: float = 0.0
    rtol: float = 1e-6
    atol: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("rtol", "atol", "horizon"):
            positive(getattr(self, name), name)
        if not not_negative(self.t_min, "t_min") < self.horizon:
            raise ValueError(f"t_min: got {self.t_min:.6g}, expected less than the horizon, {self.horizon:.6g}")

    def log_prob(self, x: Tensor) -> Tensor:
        """log p with the exact divergence, (*batch, dim) -> (*batch,) in float64; dim derivatives an evaluation."""
        points = check_points(x, self.prior.dim)
        _, change = self._follow(points, self.t_min, self.horizon, _exact, 1)
        return change[:, 0].reshape(x.shape[:-1])

    def estimate_log_prob(self, x: Tensor, *, probes: int, generator: Generator) -> PointEstimates:
        """log p at x (n, dim) by Hutchinson's estimate, each of the probes (at least 2) a repetition of it.

        A probe belongs to its point all along the path, so that each repetition is a smooth integral, unbiased up to
        the solver's tolerance. One derivative a probe and evaluation.
        """
        check_integer(probes, "probes", 2)
        points = check_points(x, self.prior.dim)
        signs = rademacher(points, generator, probes)

        def trace(v: Tensor, at: Tensor) -> Tensor:
            return torch.stack([projected(v, at, sign) for sign in signs], -1)

        return PointEstimates(self._follow(points, self.t_min, self.horizon, trace, probes)[1].mT)

    def sample(self, n: int, *, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draws (n, dim) and their log p (n,): a normalised proposal. The divergence is exact."""
        start = self.prior.sample(n, generator=generator)
        return self._follow(start, self.horizon, self.t_min, _exact, 1, ahead=False)

    def transport(self, x: Tensor, *, to_prior: bool = True) -> Tensor:
        """Where the flow carries x (n, dim), from t_min to the horizon or back; no derivative is taken."""
        points = check_points(x, self.prior.dim)
        start, end = (self.t_min, self.horizon) if to_prior else (self.horizon, self.t_min)

        def slope(y: Tensor, t: float) -> Tensor:
            with torch.no_grad():
                at = y.to(points.dtype)
                return check_score(self.velocity(at, t), at, "velocity").double()

        return integrate(slope, points.double(), start, end, self.rtol, self.atol).to(x)

    def _follow(
        self,
        x: Tensor,
        start: float,
        end: float,
        trace: Callable[[Tensor, Tensor], Tensor],
        columns: int,
        ahead: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """The points at `end` with log p of x by each column of the trace; of the points at `end` unless `ahead`."""
        dim = x.shape[-1]

        def slope(y: Tensor, t: float) -> Tensor:
            with torch.enable_grad():
                at = y[:, :dim].to(x.dtype).requires_grad_()
                v = recorded(check_score(self.velocity(at, t), at, "velocity"), "velocity")
                return torch.cat([v.detach().double(), trace(v, at).double()], -1)

        y = torch.cat([x.double(), torch.zeros(len(x), columns, dtype=torch.float64, device=x.device)], -1)
        y = integrate(slope, y.detach(), start, end, self.rtol, self.atol)
        moved = y[:, :dim].to(x.dtype)
        change = y[:, dim:]  # int div v dt from `start` to `end`
        with torch.no_grad():
            prior = self.prior.log_prob(moved if ahead else x).double()[:, None] - log_z_of(self.prior)
        return (moved, prior + change) if ahead else (moved, (prior - change)[:, 0])


def _exact(v: Tensor, x: Tensor) -> Tensor:
    """The divergence as a column."""
    return divergence(v, x)[:, None]


def probability_flow(
    score: Score,
    process: Process,
    prior: Target,
    *,
    t_min: float = 0.0,
    rtol: float = 1e-6,
    atol: float = 1e-6,
) -> ContinuousFlow:
    """The flow dx/dt = a x - g^2 C s / 2 of a score, with the marginals of the reverse SDE where s is exact.

    prior: what x at the horizon is taken to follow, `noise_law(process, dim)` or better. t_min: where the flow ends;
    log p is that of x_{t_min}. From 0 the score is asked at t = 0 too, where the data must have one.

        >>> from samplers.generative import as_score, noise_law, probability_flow
        >>> process, law = samplers.processes.linear.VP(), targets.Gaussian([0.0, 0.0])
        >>> score = as_score(samplers.denoisers.ClosedForm(), process, law)
        >>> probability_flow(score, process, noise_law(process, 2)).log_prob(torch.zeros(1, 2))
        tensor([-1.8378], dtype=torch.float64)
    """

    noise = noise_of(process)
    noise.check(prior.dim)

    def velocity(x: Tensor, t: float) -> Tensor:
        s = check_score(score(x, t), x)
        if x.requires_grad:
            recorded(s, "score")
        a, g = float(process.drift_coefficient(t)), float(process.diffusion(t))
        return a * x - 0.5 * g**2 * noise.times(s)

    return ContinuousFlow(velocity, prior, process.horizon, t_min, rtol, atol)


def noise_law(process: Process, dim: int, *, dtype: torch.dtype | None = None) -> Gaussian:
    """N(0, v_T C), what the process adds to the data by its horizon."""
    noise = noise_of(process)
    noise.check(dim)
    mean = torch.zeros(dim, dtype=dtype)
    return Gaussian(mean, covariance=float(process.variance(process.horizon)) * noise.covariance(dim))


def log_z_of(prior: Target) -> float:
    """What its log_prob is normalised by; 0 where that is not known, as it is then taken to be."""
    return prior.log_z if "log_z" in prior.known else 0.0


def recorded(v: Tensor, argument: str) -> Tensor:
    """v; ValueError where it records no gradient, which would be taken for a divergence of zero."""
    if not v.requires_grad:
        raise ValueError(
            f"{argument}: got values that record no gradient of x, expected a function differentiable in x (0 * x for "
            "one that is constant)"
        )
    return v
