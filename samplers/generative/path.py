"""The reverse process of a score on a grid of times, as a pair of path measures with exact weights for an energy.

    x_0 ~ prior,   x_{k+1} ~ N(keep x_k + pull C s(x_k, t_k), V' C)      from the noise, t_0 = T, to the data
    x_K ~ gamma/Z, x_{k-1} ~ N(A x_k, V C)                               the noising process, exact between two times

Both are normalised laws of K + 1 points, so that E[exp(log w)] = Z for any score, with any number of steps
(`samplers.path_measures.base`). For gamma = q, the law that the score is of, log w tends to log Z as the steps shrink,
and is log Z for Gaussian data N(m, data_variance C). Draws, weights, log Z, ESS and SMC on the way are those of every
pair of path measures: `simulate`, `evaluate_weights`, `simulate_subtrajectories`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from samplers.generative.reverse_step import ReverseSteps
from samplers.generative.score import Score, check_score, noise_of
from samplers.path_measures.base import PathMeasure, Points, Step, Table, log_det
from samplers.path_measures.prior import GaussianPrior, Prior
from samplers.processes.base import Process
from targets import Affine, GaussianMixture, Target


class ReverseProcess(PathMeasure):
    """See the module. Its states are u with x = L u, C = L L', in which the noise is white.

    score: (x (n, dim), t) -> (n, dim), of x. grid: (K + 1,) increasing times, the last of them the horizon; what is
    taken for the data is the state at its first time, 0 or later. dim: of x. prior: of u at the horizon, by default
    N(0, v_T I). data: the law of u at the data, as far as a mixture tells it, by which particles are resampled on the
    way. data_variance: w of the steps' variance (`samplers.generative.reverse_step`), above 0 on a grid from 0. dtype:
    of the states. ValueError for a grid or noise that does not fit, and for a score of another shape than x.

    `seen(target)` is the energy in u, to be handed to the functions of `samplers.path_measures`; `to_x(u)` leads back.

        >>> from samplers.generative import ReverseProcess, as_score
        >>> from samplers.path_measures.simulation import simulate
        >>> process, law = samplers.processes.linear.VP(), targets.Gaussian([0.0], scale=0.5)
        >>> grid = samplers.processes.grids.uniform(20)
        >>> measure = ReverseProcess(as_score(samplers.denoisers.ClosedForm(), process, law), process, grid, 1)
        >>> paths = simulate(measure, measure.seen(law), 1000, torch.Generator())
        >>> float(paths.log_weights.exp().mean() - 1) < 0.1  # Z = 1
        True
    """

    signal: Tensor
    deviation: Tensor

    def __init__(
        self,
        score: Score,
        process: Process,
        grid: Tensor,
        dim: int,
        *,
        prior: Prior | None = None,
        data: GaussianMixture | None = None,
        data_variance: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        steps = ReverseSteps.of(process, grid, data_variance)
        if not bool((steps.variance > 0).all()):
            raise ValueError(f"data_variance: got {data_variance:.6g}, with which the last step has no noise to weigh")
        noise = noise_of(process)
        noise.check(dim)
        if prior is None:
            prior = GaussianPrior(dim, scale=math.sqrt(float(process.variance(process.horizon))), learned=False)
        super().__init__(prior, len(steps.time))
        self.data = data
        self.score, self.times = score, [*steps.time.tolist(), float(grid[0])]
        self.factor = torch.linalg.cholesky(noise.covariance(dim))
        back = grid.double().flip(0)
        scale, variance = process.transition(back[1:], back[:-1])
        for name, value in {
            "keep": steps.keep,
            "pull": steps.pull,
            "ahead": steps.variance.sqrt(),
            "scale": scale,
            "behind": variance.sqrt(),
            "signal": process.scale(back),
            "deviation": process.variance(back).sqrt(),
        }.items():
            self.register_buffer(name, value)
        self.to(torch.get_default_dtype() if dtype is None else dtype)

    def seen(self, target: Target) -> Affine:
        """The energy in u: log gamma(L u) + log det L, of the same Z."""
        return Affine(target, factor=self.factor)

    def to_x(self, u: Tensor) -> Tensor:
        """x = L u, (*batch, dim)."""
        return u @ self.factor.to(u).mT

    def table(self, k: Tensor) -> Table:
        """The coefficients of the steps from and to each state."""
        ahead, behind = k.clamp_max(self.steps - 1), (k - 1).clamp_min(0)
        values = {name: getattr(self, name)[ahead, None, None] for name in ("keep", "pull", "ahead")}
        values |= {name: getattr(self, name)[behind, None, None] for name in ("scale", "behind")}
        log_dets = {f"log_det_{name}": log_det(values[name], self.dim) for name in ("ahead", "behind")}
        return Table({"k": k, **values, **log_dets})

    def field(self, table: Table, at: Points) -> Tensor:
        """The score of u, L' s(L u, t)."""
        x = self.to_x(at.x)
        times = [self.times[k] for k in table.values["k"].tolist()]
        scores = [check_score(self.score(row, t), row) for t, row in zip(times, x, strict=True)]
        return torch.stack(scores) @ self.factor.to(at.x)

    def forward(self, table: Table, at: Points, field: Tensor) -> Step:
        """N(keep u + pull score, V')."""
        values = table.values
        return Step(values["keep"] * at.x + values["pull"] * field, values["ahead"], values["log_det_ahead"])

    def backward(self, table: Table, at: Points, field: Tensor | None) -> Step:
        """N(A u, V)."""
        del field
        return Step(table.values["scale"] * at.x, table.values["behind"], table.values["log_det_behind"])

    def log_density(self, k: Tensor, at: Points) -> Tensor:
        """log pi_k, (s, n) in float64: between the ends that of `data` noised, where it is given.

        u_k = a X + s e:   p_k(u) = q(u / a) / a^dim,   q the law of X + (s / a) e, a mixture too
        """
        if self.data is None:
            return super().log_density(k, at)
        rows = [self._noised(j, at.x[i], at.log_prob[i]) for i, j in enumerate(k.tolist())]
        return torch.stack(rows).double()

    def _noised(self, k: int, u: Tensor, log_prob: Tensor) -> Tensor:
        if k == self.steps:
            return log_prob
        if k == 0:
            return self.prior.log_prob(u)
        assert self.data is not None
        a, s = float(self.signal[k]), float(self.deviation[k])
        return self.data.smoothed(s / a).log_prob(u / a) - self.dim * math.log(a)

    def temperature(self, k: Tensor) -> Tensor:
        """The square of the signal, moved to be exactly 0 at the prior and 1 at the data; the share of the steps where
        a process keeps its signal."""
        signal = self.signal.square()
        if bool(signal[0] == signal[-1]):
            return self.time(k)
        return ((signal - signal[0]) / (signal[-1] - signal[0]))[k]
