"""The network of a score model: exact from the start for a Gaussian that has the mean and covariance of the data.

    F(x, t) = F_Gauss(x, t) + N(c_in z, log sigma),   z = E' (L^-1 x / a - m),   sigma = s / a
    c_in = (v / (v + sigma^2)) / sqrt(mean of v^2 / (v + sigma^2)),   v the variances along E

F_Gauss is the output, in the parametrisation's own terms, that stands for the score of N(mean, covariance) noised up to
t; N is zero where training starts. N is the body of `samplers.denoisers.network.DenoisingNetwork`, a residual network
with features of log sigma. What enters it is E[X | x_t] of the Gaussian in units of its root mean square: of the
principal axes E of the whitened data those that the noise has drowned, or that hardly vary, are small. With unit
variance on each axis they drown the others: of 64 columns next to nothing is learned. Of a conditional model N is given
its context as well, in every block, and F_Gauss is that of x given y of the Gaussian of their joint moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from samplers.denoisers.network import DenoisingNetwork
from samplers.generative.noisy_state import NoisyState, whitened
from samplers.generative.parametrisation import Parametrisation
from samplers.generative.regression import Regression
from samplers.generative.score_spec import ScoreSpec, check_least_time, check_moments, levels
from samplers.processes.base import Process
from targets.arguments import check_integer, positive
from targets.noise import Noise


@dataclass(frozen=True)
class ScoreMLP(ScoreSpec):
    """What the network of a score model shall be: `blocks` residual blocks of `width` units.

    least_time: the time below which the network itself is given no other time; the Gaussian part goes on to 0.
    ValueError for numbers below 1 and for a time that is not positive.

        >>> from samplers.generative import NoiseOf, ScoreMLP, ScoreModel
        >>> from samplers.processes.linear import Brownian
        >>> process, generator = Brownian(), torch.Generator().manual_seed(0)
        >>> network = ScoreMLP(width=8).make(process, NoiseOf(), torch.zeros(2), torch.eye(2), generator)
        >>> ScoreModel(network, process, NoiseOf()).score(torch.ones(1, 2), 1.0)
        tensor([[-0.5000, -0.5000]], grad_fn=<DivBackward0>)
    """

    width: int = 128
    blocks: int = 3
    least_time: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("width", "blocks"):
            check_integer(getattr(self, name), name)
        positive(self.least_time, "least_time")

    def make(
        self,
        process: Process,
        parametrisation: Parametrisation,
        mean: Tensor,
        covariance: Tensor,
        generator: Generator,
        regression: Regression | None = None,
    ) -> nn.Module:
        """The network for data of this mean (dim,), in whose dtype it is, and covariance (dim, dim).

        regression: of a conditional one, that of the data on its context.
        ValueError for shapes that do not agree, and for a least_time that is not below the horizon.
        """
        check_moments(mean, covariance)
        check_least_time(self.least_time, process)
        noise, context = process.noise, 0 if regression is None else len(regression.slope)
        low, high = levels(process, self.least_time)
        white = whitened(whitened(covariance.double(), noise).mT, noise).to(mean)
        body = _Body(whitened(mean, noise), white, low, high, generator, self.width, self.blocks, context)
        given = None if regression is None else _Given(regression, noise, low, mean)
        return _ScoreNetwork(process, parametrisation, body, given)


class _Body(DenoisingNetwork):
    def inputs(self, y: Tensor, sigma: Tensor) -> Tensor:
        """c_in z."""
        variance = self.sd.square()
        total, share = variance + sigma[:, None].square(), variance / variance.max()
        gain = share / total
        rms = (gain.square() * total).mean(-1, keepdim=True).sqrt()
        return gain / rms * ((y - self.mean) @ self.axes)


class _Given(nn.Module):
    """sigma E_R (sigma^2 + R)^-1 E_R' (y - m - B' c), the noise that the Gaussian of x given a context predicts."""

    slope: Tensor
    axes: Tensor
    variance: Tensor

    def __init__(self, regression: Regression, noise: Noise | None, low: float, like: Tensor) -> None:
        super().__init__()
        white = whitened(whitened(regression.covariance.double(), noise).mT, noise)
        variances, axes = torch.linalg.eigh(white)
        self.register_buffer("slope", whitened(regression.slope.double(), noise).to(like))
        self.register_buffer("axes", axes.to(like))
        self.register_buffer("variance", variances.clamp_min(1e-6 * low**2).to(like))

    def forward(self, centred: Tensor, sigma: Tensor, context: Tensor) -> Tensor:
        z = (centred - context @ self.slope) @ self.axes
        return (sigma * z / (self.variance + sigma.square())) @ self.axes.mT


class _ScoreNetwork(nn.Module):
    def __init__(self, process: Process, parametrisation: Parametrisation, body: _Body, given: _Given | None) -> None:
        super().__init__()
        self.process, self.parametrisation, self.body, self.given = process, parametrisation, body, given

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """(*batch, dim), (*batch) and, of a conditional one, (*batch, size) -> (*batch, dim)."""
        if (context is None) is not (self.given is None):
            got = "none" if context is None else f"one of shape {tuple(context.shape)}"
            raise ValueError(f"context: got {got}, expected {'none' if self.given is None else 'that of a condition'}")
        state = NoisyState.at(self.process, t.double().clamp(max=self.process.horizon), x)  # beyond by rounding alone
        body = self.body
        y = (whitened(x, self.process.noise) / state.row(state.a)).reshape(-1, x.shape[-1])
        sigma = (state.s / state.a).to(x).reshape(-1)
        slope = body.coefficients(sigma)[2]
        white = (sigma[:, None] * slope.square() * ((y - body.mean) @ body.axes)) @ body.axes.mT
        if context is not None and self.given is not None:
            context = context.reshape(-1, context.shape[-1])
            white = torch.where(context[:, -1:] > 0, self.given(y - body.mean, sigma[:, None], context), white)
        start = self.parametrisation.output(state.noise.colour(white.reshape(x.shape)), state)
        learned = body.residual(y, sigma.clamp(body.low, body.high), context) @ body.axes.mT
        return start + learned.reshape(x.shape)


class KarrasInputs(nn.Module):
    """network(c_in y, c_noise) of y = x / a: inputs of unit variance and a tame time, for a network of one's own.

        c_in = 1 / sqrt(sigma^2 + k^2),   c_noise = log(sigma) / 4,   sigma = s / a

    With `Karras` as the parametrisation this is the published preconditioning. network: called with (*batch, dim) and
    (*batch). process: of the states. deviation: k, that of the data in each coordinate. Karras, Aittala, Aila and
    Laine 2022, https://arxiv.org/abs/2206.00364. A third argument, of conditional models, is handed on.

        >>> from samplers.generative import Karras, KarrasInputs, ScoreModel
        >>> from samplers.processes.linear import Brownian
        >>> class Nothing(torch.nn.Module):
        ...     def forward(self, x, c_noise):
        ...         return 0 * x
        >>> network = KarrasInputs(Nothing(), Brownian(), deviation=1.0)
        >>> ScoreModel(network, Brownian(), Karras()).score(torch.ones(1, 1), 1.0)
        tensor([[-0.5000]])
    """

    def __init__(self, network: nn.Module, process: Process, deviation: float = 1.0) -> None:
        super().__init__()
        self.network, self.process, self.deviation = network, process, positive(deviation, "deviation")

    def forward(self, x: Tensor, t: Tensor, *context: Tensor) -> Tensor:
        """(*batch, dim) and (*batch) -> (*batch, dim)."""
        state = NoisyState.at(self.process, t.double().clamp(max=self.process.horizon), x)
        c_in = 1 / torch.hypot(state.s, self.deviation * state.a)  # of x: that of y, over a
        return self.network(state.row(c_in) * x, (0.25 * (state.s / state.a).log()).to(x), *context)
