"""The path measures of DDS, PIS and DIS: the backward measure is a fixed noising process, the forward one is learned.

    x_{k-1} ~ N(a_{k-1} x_k, v_{k-1})                       the noising process, exact between any two times
    x_{k+1} ~ N(A_k x_k + B_k F(x_k), v'_k e^{2 l_k})       F = N / rho_k + (g_k + G_k) c: the control

c = s(x) + x / variance, shortened to clip / rho for the network's use.

With a mixture for the target of the free motion, F = grad log p_k + x / variance + N / rho + (g_k + G_k) c, p_k the
mixture noised as far as state k and c = s(x) - grad log p_K(x): without N and G the paths are the mixture's reversed
diffusion, and what is learned is where the target differs from it (Noble, Grenioux, Gabrie and Durmus 2025).

The best F is grad log h, h the ratio of the marginal laws of the noised target and of the noise itself. l is zero, or
learned with `learn_scale`: the reverse of a step that is not small is narrower or wider than the step itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor, nn

from samplers.networks import NetworkSpec
from samplers.path_measures.base import PathMeasure, Points, Step, Table, log_det
from samplers.path_measures.control import Control, clip_norm
from samplers.path_measures.noised_mixture import NoisedMixture, NoisedProduct
from samplers.path_measures.prior import Prior


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of K steps, (K,) each, in float64: noising from state k + 1 to k, and the free forward step from k to k + 1.

    back_scale a, back_deviation sqrt(v); ahead_scale A, ahead_control B, ahead_deviation sqrt(v'). schedule: g at
    states 0 .. K, of a process that keeps unit variance its signal, a from the data to there. variances: of x at states
    0 .. K where F = 0, the last of which the score is taken relative to: c = s(x) + x / variance.
    """

    back_scale: Tensor
    back_deviation: Tensor
    ahead_scale: Tensor
    ahead_control: Tensor
    ahead_deviation: Tensor
    schedule: Tensor
    variances: Tensor


class ReferenceMeasure(PathMeasure):
    """See the module. start: "reference" begins at the noising process reversed with F = 0, "score" with F = g c."""

    back_scale: Tensor
    back_deviation: Tensor
    ahead_scale: Tensor
    ahead_control: Tensor
    ahead_deviation: Tensor
    schedule: Tensor
    signal: Tensor
    variances: Tensor
    scored: Tensor
    clip: Tensor

    def __init__(
        self,
        prior: Prior,
        coefficients: Coefficients,
        network: NetworkSpec,
        generator: Generator,
        *,
        start: str,
        learn_scale: bool,
        mixture: NoisedMixture | NoisedProduct | None = None,
    ) -> None:
        steps = len(coefficients.back_scale)
        super().__init__(prior, steps)
        self.precision = 1 / float(coefficients.variances[-1])
        self.mixture = mixture
        self.control = Control(network, prior.dim, generator)
        self.register_buffer("scored", torch.tensor(float(start == "score")))
        for item in fields(coefficients):
            self.register_buffer(item.name, getattr(coefficients, item.name).float())
        self.register_buffer("signal", self.schedule.clone())
        self.stretches = nn.Parameter(torch.zeros(steps, prior.dim)) if learn_scale else None
        self.register_buffer("clip", torch.tensor(math.inf))

    def set_clip(self, limit: float) -> None:
        self.clip.fill_(limit)

    def table(self, k: Tensor) -> Table:
        ahead, behind = k.clamp_max(self.steps - 1), (k - 1).clamp_min(0)
        unit = self.ahead_control[ahead] / self.ahead_deviation[ahead]  # B / the step's deviation: units of the noise
        control = self.control.embed(self.time(k), self.scored * self.schedule[k], unit)
        deviation = self.ahead_deviation[ahead, None, None]
        if self.stretches is not None:
            deviation = deviation * self.stretches[ahead][:, None].exp()
        values = {
            "A": self.ahead_scale[ahead, None, None],
            "B": self.ahead_control[ahead, None, None],
            "ahead": deviation,
            "a": self.back_scale[behind, None, None],
            "behind": self.back_deviation[behind, None, None],
            "log_det_ahead": log_det(deviation, self.dim),
            "log_det_behind": log_det(self.back_deviation[behind, None, None], self.dim),
            "signal": self.signal[k, None, None],
            "limit": (self.clip / unit)[:, None, None],
        }
        return Table(values, control)

    def field(self, table: Table, at: Points) -> Tensor:
        if self.mixture is None:
            relative = torch.add(at.score, at.x, alpha=self.precision)
            return self.control(table.parts, at.x, clip_norm(relative, table.values["limit"]))
        with torch.set_grad_enabled(torch.is_grad_enabled() and at.x.requires_grad):
            signal = table.values["signal"]
            free = at.x + self.mixture.score(signal, at.x)
            relative = at.score - self.mixture.score(torch.ones_like(signal), at.x)
        return free + self.control(table.parts, at.x, clip_norm(relative, table.values["limit"]))

    def temperature(self, k: Tensor) -> Tensor:
        """The square of the signal, moved to be exactly 0 at the prior and 1 at the target."""
        signal = self.signal.square()
        return ((signal - signal[0]) / (signal[-1] - signal[0]))[k]

    def log_density(self, k: Tensor, at: Points) -> Tensor:
        """log p_k + b_k (log gamma - log p_K) (+ the flow), p_k the law of the free motion at state k."""
        b = self.temperature(k).double()[:, None]
        ratio = at.log_prob.double() - self._free(torch.full_like(k, self.steps), at.x)
        value = torch.where(k[:, None] > 0, self._free(k, at.x), self.prior.log_prob(at.x).double())
        value = torch.where(b < 1, value + torch.where(b > 0, b * ratio, 0.0), at.log_prob.double())
        if self.flow is not None:
            value = value + (b * (1 - b)) * self.flow(self.time(k), at.x).double()
        return value

    def _free(self, k: Tensor, x: Tensor) -> Tensor:
        """log p_k at states (s, n, dim), (s, n) in float64."""
        if self.mixture is not None:
            return self.mixture.log_prob(self.signal[k, None, None], x).double()
        variance = self.variances[k, None].double()
        square = x.square().sum(-1).double() / variance
        return -0.5 * (square + self.dim * (2 * math.pi * variance).log())

    def forward(self, table: Table, at: Points, field: Tensor) -> Step:
        values = table.values
        mean = torch.addcmul(values["A"] * at.x, values["B"], field)
        return Step(mean, values["ahead"], values["log_det_ahead"])

    def backward(self, table: Table, at: Points, field: Tensor | None) -> Step:
        return Step(table.values["a"] * at.x, table.values["behind"], table.values["log_det_behind"])
