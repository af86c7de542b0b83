"""Langevin dynamics on a Riemannian metric that depends on the position.

    x' = x + h [ G^-1 s + div G^-1 ](x) + sqrt(2h) G(x)^(-1/2) xi,     (div D)_i = sum_j d D_ij / d x_j

Without the divergence term the diffusion would not leave p invariant even as h -> 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from samplers.kernels.base import Kernel
from samplers.kernels.metropolis import always, metropolis
from samplers.runs.state import Info, State, evaluate, noise_like
from targets import Target
from targets.arguments import positive, probability

HELD = 1 << 17  # numbers of the metric at once while it is differentiated


@dataclass(frozen=True, eq=False)
class RiemannianState(State):
    """Also the drift G^-1 s + div G^-1 (chains, dim) and the factor R of G = R R', (chains, dim) where G is diagonal.

    Neither depends on the step size, which warmup and annealing change between the steps of a chain.
    """

    drift: Tensor
    factor: Tensor


@dataclass(frozen=True, eq=False)
class RiemannianLangevin(Kernel):
    """Riemannian Langevin with metric G(x): simplified manifold MALA, or its unadjusted form.

        y = mean(x) + sqrt(2h) G(x)^(-1/2) xi,     mean(x) = x + h [ G^-1 s + div G^-1 ](x)

    `adjusted=True` accepts by Metropolis-Hastings with the full proposal densities: the target is invariant, the
    kernel reversible. `adjusted=False` always accepts: bias O(h). On a Gaussian, with its inverse covariance as G,
    every variance then comes out as 1/(1 - h/2) times the truth.

    metric: (n, dim) -> (n, dim), the diagonal of G, or -> (n, dim, dim), G itself; positive definite, made of
        differentiable torch operations. A point where it is not is treated as a non-finite proposal.
    divergence: optional closed form of div G^-1, (n, dim) -> (n, dim); else the metric is differentiated at a copy of
        each point for each of its dim, or dim (dim + 1) / 2, entries.
    step_size h: None leaves it to warmup, which runs the adjusted kernel and tunes its acceptance to
        `target_acceptance`.
    target_acceptance: None, when the kernel is made, becomes 0.574, and 0.95 with `adjusted=False`. A lower one gives
        longer steps, and without the test a larger bias: at 0.95 the variances of a standard Gaussian in two dimensions
        come out about 16 % too large, at 0.574 as 2.5 times the truth.
    Girolami and Calderhead 2011, https://doi.org/10.1111/j.1467-9868.2010.00765.x; Xifara et al. 2014,
    https://arxiv.org/abs/1309.2983.

    TypeError for a metric that is no function, ValueError for one that returns another shape, a step size that is not
    positive, and a target_acceptance outside (0, 1).

        >>> kernel = samplers.RiemannianLangevin(lambda x: 1 + x.square(), step_size=0.3)
        >>> kernel.sample(targets.LogExponential(2), chains=4, draws=20, warmup=0, seed=0).x.shape
        torch.Size([4, 20, 2])
    """

    metric: Callable[[Tensor], Tensor]
    step_size: float | None = None
    adjusted: bool = True
    divergence: Callable[[Tensor], Tensor] | None = None
    target_acceptance: float | None = None

    default_step_size: ClassVar[float] = 0.1

    def __post_init__(self) -> None:
        if not callable(self.metric):
            raise TypeError(
                f"metric: got {type(self.metric).__name__}, expected a function (n, dim) -> (n, dim[, dim])"
            )
        if self.step_size is not None:
            object.__setattr__(self, "step_size", positive(self.step_size, "step_size"))
        if self.target_acceptance is None:
            object.__setattr__(self, "target_acceptance", 0.574 if self.adjusted else 0.95)
        probability(self.target_acceptance, "target_acceptance")

    @property
    def reversible(self) -> bool:
        """Detailed balance holds with the Metropolis test only."""
        return self.adjusted

    @property
    def exact(self) -> bool:
        """The target is invariant with the Metropolis test only."""
        return self.adjusted

    @property
    def order(self) -> int | None:
        """Order of the bias in the step size without the test."""
        return None if self.adjusted else 1

    @property
    def h(self) -> float:
        """The step size in force."""
        return self.default_step_size if self.step_size is None else self.step_size

    def init(self, target: Target, x: Tensor, generator: Generator) -> RiemannianState:
        return self._evaluate(target, x)

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        assert isinstance(state, RiemannianState)
        noise = noise_like(state.x, generator)
        proposal = self._evaluate(target, self._mean(state) + math.sqrt(2 * self.h) * _solve(state.factor, noise))
        if not self.adjusted:
            return always(state, proposal)
        log_q = self._log_q(proposal, state.x) - self._log_q(state, proposal.x)
        log_ratio = proposal.log_prob.double() - state.log_prob.double() + log_q
        return metropolis(state, proposal, log_ratio, generator, proposal.log_prob.isfinite() & ~log_ratio.isfinite())

    def warmup_form(self) -> RiemannianLangevin:
        return replace(self, adjusted=True)

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, RiemannianLangevin)
        return replace(self, step_size=warm.step_size) if self.step_size is None else self

    def _evaluate(self, target: Target, x: Tensor) -> RiemannianState:
        state = evaluate(target, x)
        assert state.score is not None
        metric = self.metric(x)
        if metric.shape not in (x.shape, (*x.shape, x.shape[-1])):
            raise ValueError(
                f"metric: returned shape {tuple(metric.shape)} for x of shape {tuple(x.shape)}, "
                f"expected {tuple(x.shape)} or {(*x.shape, x.shape[-1])}"
            )
        if metric.ndim == 2:
            factor = metric.sqrt()  # NaN where not positive: such a proposal is rejected
            pull = state.score / metric
        else:
            factor, failed = torch.linalg.cholesky_ex(metric)
            factor = torch.where((failed != 0)[:, None, None], torch.nan, factor)
            pull = torch.cholesky_solve(state.score[..., None], factor)[..., 0]
        drift = pull + (self.divergence or self._divergence)(x)
        return RiemannianState(x, state.log_prob, state.score, drift, factor)

    def _mean(self, state: RiemannianState) -> Tensor:
        """Where the noise of a proposal is centred, (chains, dim)."""
        return state.x + self.h * state.drift

    def _divergence(self, x: Tensor) -> Tensor:
        """div G^-1, (n, dim); of a dense G by d G^-1 = -G^-1 dG G^-1."""
        metric, dim = self.metric(x), x.shape[-1]
        eye = torch.eye(dim, dtype=x.dtype, device=x.device)
        if metric.ndim == 2:
            return _slopes(lambda x: 1 / self.metric(x), eye, x).diagonal(dim1=-2, dim2=-1)
        rows, columns = torch.tril_indices(dim, dim, device=x.device)  # the part that its Cholesky factor is made of
        inverse, derivative = torch.linalg.inv_ex(metric).inverse, x.new_empty(*metric.shape, dim)
        slopes = _slopes(self.metric, eye[rows, :, None] * eye[columns, None], x)
        derivative[:, rows, columns] = derivative[:, columns, rows] = slopes
        return -torch.einsum("nia,na->ni", inverse, torch.einsum("nabj,nbj->na", derivative, inverse))

    def _log_q(self, source: RiemannianState, destination: Tensor) -> Tensor:
        """log q(destination | source) up to a constant, in float64."""
        factor, offset = source.factor, destination - self._mean(source)
        if factor.ndim == 2:
            log_det, scaled = factor.log().sum(-1), factor * offset
        else:
            log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            scaled = torch.einsum("nji,nj->ni", factor, offset)
        return log_det.double() - scaled.double().square().sum(-1) / (4 * self.h)


def _solve(factor: Tensor, noise: Tensor) -> Tensor:
    """R'^-1 noise, whose covariance is G^-1."""
    if factor.ndim == 2:
        return noise / factor
    return torch.linalg.solve_triangular(factor.mT, noise[..., None], upper=True)[..., 0]


def _slopes(function: Callable[[Tensor], Tensor], entries: Tensor, x: Tensor) -> Tensor:
    """Derivatives at x (n, dim) of k entries of the function's values, each marked by a 1: (n, k, dim)."""
    # By reverse mode, at a copy of the points for each entry: forward and nested vectorised derivatives of torch 2.13
    # (jacfwd or jacrev under vmap) are wrong for solve, det, lu_solve or cholesky_inverse, without an error.
    slopes = []
    for some in entries.split(max(1, HELD // (len(x) * entries[0].numel()))):
        with torch.enable_grad():
            copies = x.detach().repeat_interleave(len(some), 0).requires_grad_()
            values = function(copies)
        slope = torch.zeros_like(copies)
        if values.requires_grad:
            marks = some.repeat(len(x), *[1] * (some.ndim - 1))
            (slope,) = torch.autograd.grad(values, copies, marks, materialize_grads=True)
        slopes.append(slope.view(len(x), len(some), -1))
    return torch.cat(slopes, 1)
