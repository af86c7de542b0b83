"""The gradient of the KL objective by torchsde's adjoint equation: no graph of the simulation is kept.

    -E log w = E[ log prior(x_0) / R(x_0) + sum_k c_k(x_k) + log R(x_K) / gamma(x_K) ]
    c_k = 1/2 sum_d [ u^2 + e^2 - 1 - log e^2 ],     u = B_k F / s_k,   e = exp(l)
    dX = (f_k(X) - X) dt + s_k e dW,   dJ = c_k(X) dt                             for k <= t < k + 1

R is the noising process that starts from N(0, 1 / precision) at state K. Ahead it moves by the free steps, N(A_k x_k,
s_k^2), and c_k is the Kullback-Leibler divergence of the sampler's step from that one: the mean, given x_k, of its log
ratio. Euler's steps of length 1 are the steps of the sampler, so that X are its own paths.
Li, Wong, Chen and Duvenaud 2020; Zhang and Chen 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.diffusion.reference import ReferenceMeasure
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.simulation import evaluate
from targets import Target

SEGMENTS = 64  # of a path; the states between their ends are forgotten, and found again on the way back


def adjoint(
    measure: PathMeasure, target: Target, n: int, generator: Generator, weight: float = 1.0
) -> tuple[float, Tensor]:
    """Add the gradient of weight * E[-log w] to that of the parameters; the loss, and log w of the paths (n,).

    The loss is the mean over the paths of the bracket above, and the gradient is its own, up to rounding: its mean is
    that of `through_paths`, its noise is another. Memory is that of one step's graph, of the states at the ends of
    SEGMENTS segments and within one of them, and of a cache of torchsde's, which makes the noise again from seeds.
    Paths whose log w is not finite have no say; where all are such, nothing is added and the loss is NaN. TypeError for
    a measure without a fixed noising process.
    """
    if not isinstance(measure, ReferenceMeasure):
        raise TypeError(
            f"measure: got a {type(measure).__name__}, expected a ReferenceMeasure, as of DDS, PIS and DIS: "
            "KL(memory='adjoint') needs a noising process that is fixed"
        )
    import torchsde

    x = measure.prior.reparametrised(n, generator)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    motion = torchsde.BrownianInterval(
        0.0, float(measure.steps), size=(n, measure.dim + 1), dtype=x.dtype, device=x.device, entropy=seed, dt=1.0
    )
    process = _Process(measure, target, motion, n)
    states = torchsde.sdeint_adjoint(
        process,
        torch.cat([x, x.new_zeros(n, 1)], -1),
        torch.tensor(process.ends, dtype=x.dtype, device=x.device),
        bm=motion,
        method="euler",
        adjoint_method="euler",
        dt=1.0,
        adjoint_params=[p for name, p in measure.named_parameters() if not name.startswith(("prior", "flow"))],
    )
    last = states[-1, :, :-1]
    first_variance = _first_variance(measure)

    def ends(x: Tensor, last: Tensor) -> Tensor:
        """log prior(x_0) / R(x_0) + log R(x_K) / gamma(x_K)."""
        value = measure.prior.log_prob(x) - _log_normal(x, first_variance)
        return (value + _log_normal(last, 1 / measure.precision) - target.log_prob(last)).double()

    with torch.no_grad():
        log_w = process.log_ratios - ends(x, last)
    good = log_w.isfinite()
    if not bool(good.any()):
        return math.nan, log_w
    process.turn(states.detach()[..., :-1], good)
    loss = weight * (states[-1, good, -1].double() + ends(x[good], last[good])).mean()
    loss.backward()
    return float(loss.detach()), log_w


class _Process:
    """y = (X, J), (n, dim + 1), for torchsde; see the module. The time counts the steps.

    On the way ahead `f_and_g` is asked where a step begins; the log ratios of the steps add up in `log_ratios` (n,). On
    the way back it is asked where a step ends, and takes the state where it began: the adjoint's step is then the
    derivative of the sampler's step. That state was kept, or is found again from the last one before that was. It is
    not solved for from the state at the step's end: where paths contract, tracing them back enlarges every error.
    """

    noise_type: ClassVar[str] = "diagonal"
    sde_type: ClassVar[str] = "ito"

    def __init__(self, measure: ReferenceMeasure, target: Target, motion: Callable[..., Tensor], n: int) -> None:
        self.measure, self.target, self.motion = measure, target, motion
        self.index = torch.arange(measure.steps, device=measure.prior.reference.device)
        self.log_ratios = torch.zeros(n, dtype=torch.float64, device=self.index.device)
        self.counted = 0
        segments = min(SEGMENTS, measure.steps)
        self.ends = [measure.steps * j // segments for j in range(segments + 1)]
        self.kept: dict[int, Tensor] = {}
        self.found: dict[int, Tensor] = {}

    def f_and_g(self, time: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Drift and scale of (X, J), (n, dim + 1) each."""
        x, k = y[:, :-1], round(float(time))
        if self.kept:
            k -= 1
            start = self._start(k)
            x = torch.where(self.good, x, start)
            x = start + (x - x.detach())
        drift, scale, u, e = self._step(k, x)
        cost = 0.5 * (u.square() + e.square() - 1 - 2 * e.log()).sum(-1, keepdim=True)
        if not self.kept and k == self.counted:  # torchsde asks twice for the first step
            noise = self.motion(k, k + 1)[:, :-1]
            ratios = 0.5 * (noise.square() - (u + e * noise).square()) + e.log()
            self.log_ratios += ratios.detach().sum(-1).double()
            self.counted += 1
        return torch.cat([drift, cost], -1), torch.cat([scale, torch.zeros_like(cost)], -1)

    def turn(self, states: Tensor, good: Tensor) -> None:
        """From now on backwards: x at the ends of the segments, (segments + 1, n, dim), and whether paths are good.

        A path that is not is played by one that is; its part in the derivative is zero.
        """
        self.good = good[:, None]
        self.rows = torch.where(good, torch.arange(len(good), device=good.device), good.nonzero()[0])
        self.kept = {k: state[self.rows] for k, state in zip(self.ends, states, strict=True)}

    def _step(self, k: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """f_k(x) - x, s_k e, u and e, each (n, dim)."""
        measure = self.measure
        table, at = measure.table(self.index[k : k + 1]), evaluate(self.target, x)
        field = measure.field(table, at)
        step = measure.forward(table, at, field)
        deviation, scale = measure.ahead_deviation[k], step.scale[0].expand_as(x)
        return step.mean[0] - x, scale, measure.ahead_control[k] / deviation * field[0], scale / deviation

    @torch.no_grad()
    def _start(self, k: int) -> Tensor:
        """x_k, asked for with k one less each time."""
        if k in self.kept:
            return self.kept[k]
        if k not in self.found:
            begin = max(end for end in self.ends if end < k)
            x, self.found = self.kept[begin], {}
            for j in range(begin, k):
                drift, scale, _, _ = self._step(j, x)
                x = x + drift + scale * self.motion(j, j + 1)[self.rows, :-1]
                self.found[j + 1] = x
        return self.found[k]


def _first_variance(measure: ReferenceMeasure) -> float:
    """The variance of R at state 0."""
    variance = 1 / measure.precision
    for scale, deviation in zip(measure.back_scale.tolist()[::-1], measure.back_deviation.tolist()[::-1], strict=True):
        variance = scale**2 * variance + deviation**2
    return variance


def _log_normal(x: Tensor, variance: float) -> Tensor:
    """log N(x; 0, variance I), (n, dim) -> (n,)."""
    return -0.5 * x.square().sum(-1) / variance - 0.5 * x.shape[-1] * math.log(2 * math.pi * variance)
