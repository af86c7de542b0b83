"""Score matching: losses of which the score of the noised data is the minimum, each with a value for every row.

    loss = int lambda(t) E[ l(x_t, t) ] dt = E[ lambda(t) l(x_t, t) / p(t) ],   x_t = a X + s e,   t ~ p

    Explicit    l = |S - grad log p_t|^2 / 2
    Implicit    l = |S|^2 / 2 + div S                       exact divergence: dim backward passes
    Sliced      l = |S|^2 / 2 + v' (grad S) v               v random signs, a backward pass each
    Denoising   l = |S - grad log p(x_t | x_0)|^2 / 2       no derivative of the model S

    E[Explicit] - I(p_t) / 2 = E[Implicit] = E[Sliced] = E[Denoising] - E[I(p(. | x_0))] / 2,   I(p) = E|grad log p|^2

Norms and divergences are those of the noise: |S|^2 = S' C S and div C S. Hyvarinen 2005; Vincent 2011.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Generator, Tensor

from samplers.generative.divergence import rademacher, with_divergence
from samplers.generative.noisy_state import NoisyState
from samplers.generative.score_model import ScoreModel
from samplers.generative.times import LogSNRTimes, Times
from samplers.generative.weightings import Weighting, check_weighting, weight
from samplers.processes.base import Process
from targets.arguments import check_integer, positive, shown

EARLY, EARLIER = 1e-3, 1e-9  # of the horizon: what lambda t / v is at the second is hardly less than at the first
DIVERGING = 0.1  # where the integral of lambda / v is infinite


@dataclass(frozen=True, eq=False)
class Example:
    """Data x_0 with noise: clean (n, dim), noise e (n, dim), and the state x_t = a x_0 + s e.

    clean, noise, state: as said.

        >>> from samplers.generative import Example
        >>> from samplers.processes.linear import Brownian
        >>> generator = torch.Generator().manual_seed(0)
        >>> Example.draw(Brownian(), torch.zeros(3, 2), torch.full((3,), 0.25), generator).state.x.shape
        torch.Size([3, 2])
    """

    clean: Tensor
    noise: Tensor
    state: NoisyState

    @classmethod
    def draw(cls, process: Process, clean: Tensor, t: Tensor, generator: Generator) -> Example:
        """Noise at time t (n,) on each row of clean."""
        at = NoisyState.at(process, t, clean)
        at.noise.check(clean.shape[-1])
        noise = at.noise.sample_like(clean, generator)
        return cls(clean, noise, at.moved(at.row(at.a) * clean + at.row(at.s) * noise))


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """A loss of a `ScoreModel` on data. A subclass writes `rows`, the l of the module.

    weighting: lambda, one of the names in `samplers.generative.weightings`, or a function of t (n,) in float64. times:
    where it is estimated. order: of the derivative of the log-density that it is about.
    The value is the integral over times, not a mean over them: with weighting="likelihood" it is in nats.
    ValueError for another weighting, and for data that are not (n, dim).

        >>> from samplers.generative import Denoising
        >>> Denoising().times
        LogSNRTimes(least=1e-05)
    """

    weighting: Weighting = "likelihood"
    times: Times = field(default_factory=LogSNRTimes)

    order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_weighting(self.weighting, self.order)
        if not isinstance(self.times, Times):
            raise TypeError(f"times: got {shown(self.times)}, expected a samplers.generative.Times")

    @abstractmethod
    def rows(self, model: ScoreModel, example: Example, generator: Generator) -> Tensor:
        """l for each row, (n,)."""

    def check(self, model: ScoreModel) -> None:
        """ValueError for a model for which the loss is infinite."""
        del model

    def __call__(self, model: ScoreModel, x: Tensor, generator: Generator) -> Tensor:
        """An unbiased estimate of the loss from each row of data x (n, dim), at a time of its own; (n,) in float64."""
        return Sum([(1.0, self)])(model, x, generator)

    def weighted(self, model: ScoreModel, example: Example, density: Tensor, generator: Generator) -> Tensor:
        """lambda l / p for each row, (n,) in float64; density: p at the times of the example, (n,)."""
        factor = weight(self.weighting, example.state, density, model.parametrisation, self.order)
        return factor * self.rows(model, example, generator).double()


@dataclass(frozen=True)
class Sum:
    """A sum of losses at the same times and noise, such as of the first order and, for its curvature, of the second.

    parts: pairs of a factor and a loss. ValueError for none, for factors that are not positive, and for losses whose
    times differ.

        >>> from samplers.generative import Denoising, Sum, TraceMatching
        >>> len(Sum([(1.0, Denoising()), (0.1, TraceMatching(weighting="noise level"))]).parts)
        2
    """

    parts: Sequence[tuple[float, Loss]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple((positive(factor, "parts"), loss) for factor, loss in self.parts))
        times = [loss.times for _, loss in self.parts]
        if not times or any(each != times[0] for each in times):
            raise ValueError(f"parts: got losses at the times {times}, expected one or more, all at the same times")

    def __call__(self, model: ScoreModel, x: Tensor, generator: Generator) -> Tensor:
        """The sum from each row of data x (n, dim), as of a `Loss`; (n,) in float64."""
        if x.ndim != 2:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (n, dim)")
        for _, loss in self.parts:
            loss.check(model)
        t, density = self.parts[0][1].times.draw(model.process, len(x), generator)
        example = Example.draw(model.process, x, t, generator)
        terms = [factor * loss.weighted(model, example, density, generator) for factor, loss in self.parts]
        return torch.stack(terms).sum(0)


@dataclass(frozen=True, kw_only=True)
class Explicit(Loss):
    """l = |S - grad log p_t|^2 / 2, where the score of the noised data is known: for tests, and to distil a model.

    score: score(x, t) with t (n,), such as `ScoreModel.score` of another model. weighting, times: as of `Loss`.

        >>> from samplers.generative import Explicit
        >>> Explicit(score=lambda x, t: -x).weighting
        'likelihood'
    """

    score: Callable[[Tensor, Tensor], Tensor]

    def rows(self, model: ScoreModel, example: Example, generator: Generator) -> Tensor:
        """Of the noises that the scores stand for: |S|_C = |e|_P / s."""
        state = example.state
        wanted = state.marginal.noise_of_score(self.score(state.x, state.t))
        return 0.5 * _squared(model.noise_at(state) - wanted, state)


@dataclass(frozen=True, kw_only=True)
class Implicit(Loss):
    """l = |S|^2 / 2 + div S, for which nothing need be known of the score. Hyvarinen 2005.

    With weighting="likelihood" it is the bound on the log-likelihood up to terms without the model (Huang, Lim and
    Courville 2021, https://arxiv.org/abs/2106.02808). weighting, times: as of `Loss`. It costs dim backward passes.

        >>> from samplers.generative import DebiasedTimes, Implicit
        >>> Implicit(times=DebiasedTimes()).order
        1
    """

    def rows(self, model: ScoreModel, example: Example, generator: Generator) -> Tensor:
        """|S|^2 / 2 + div C S."""
        return self._rows(model, example, None)

    def _rows(self, model: ScoreModel, example: Example, probes: Tensor | None) -> Tensor:
        state = example.state
        noise, divergence = with_divergence(lambda x: model.noise_at(state.moved(x)), state.x, probes)  # of -s C S
        return 0.5 * _squared(noise, state) - divergence.double() / state.s


@dataclass(frozen=True, kw_only=True)
class Sliced(Implicit):
    """l = |S|^2 / 2 + v' (grad S) v with v of random signs: the divergence by Hutchinson's estimate.

    Song, Garg, Shi and Ermon 2019, https://arxiv.org/abs/1905.07088, with the square taken whole.
    probes: v for each row, whose mean is taken; a backward pass each. weighting, times: as of `Loss`.

        >>> from samplers.generative import Sliced
        >>> Sliced(probes=4).probes
        4
    """

    probes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self.probes, "probes")

    def rows(self, model: ScoreModel, example: Example, generator: Generator) -> Tensor:
        """|S|^2 / 2 + v' (grad C S) v."""
        return self._rows(model, example, rademacher(example.state.x, generator, self.probes))


@dataclass(frozen=True, kw_only=True)
class Denoising(Loss):
    """l = |S - grad log p(x_t | x_0)|^2 / 2 = k^2 |F - F*|^2 / 2: the network's output is regressed on what the noise
    says that it should be. Vincent 2011, https://doi.org/10.1162/NECO_a_00142.

    centred: less |grad log p(x_t | x_0)|^2 / 2, which no model changes. The gradient is the same, and the value has the
    mean of `Implicit`: under weighting="likelihood" and `DebiasedTimes` it is finite, where the plain one is infinite,
    whatever the model. weighting, times: as of `Loss`. ValueError where the loss is infinite.

        >>> from samplers.generative import Denoising
        >>> Denoising(centred=True).centred
        True
    """

    centred: bool = False

    def check(self, model: ScoreModel) -> None:
        """The plain loss is about int lambda dim / v near t = 0."""
        if self.centred or self.weighting == "output" or self.times.start(model.process) > 0:
            return
        t = model.process.horizon * torch.tensor([EARLY, EARLIER], dtype=torch.float64)
        state = NoisyState(model.process, t, t[:, None])
        early, earlier = weight(self.weighting, state, state.s.square() / t, model.parametrisation)
        if float(earlier) > DIVERGING * float(early):
            raise ValueError(
                f"weighting, times: {self.weighting!r} down to t = 0 makes this loss infinite for every model; "
                "expected centred=True, times from a later one on, or a weight that is small near the data"
            )

    def rows(self, model: ScoreModel, example: Example, generator: Generator) -> Tensor:
        """k^2 |F - F*|^2 / 2; centred, |S|^2 / 2 - S . grad log p(x_t | x_0)."""
        state, meaning = example.state, model.parametrisation
        if self.centred:
            noise = model.noise_at(state)
            pull = torch.linalg.vecdot(state.noise.solve(noise), noise - 2 * example.noise)
            return 0.5 * pull.double() / state.s.square()
        error = model.output(state) - meaning.output(example.noise, state)
        return 0.5 * meaning.gain(state).square() * meaning.square(error, state).double()


def _squared(noise: Tensor, state: NoisyState) -> Tensor:
    """|S|^2 in the norm of C for S = -C^-1 noise / s, (n,) in float64."""
    return state.square(noise).double() / state.s.square()
