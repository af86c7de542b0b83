"""What a step of a reverse solver may ask: the score, what it says of the data, the process's laws, and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Generator, Tensor

from samplers.generative.score import Score, noise_of, shown
from samplers.processes.base import Process
from samplers.processes.marginals import Marginal


@dataclass(frozen=True, eq=False)
class Reversal:
    """What is solved: a score, its process, and where noise comes from. Times are numbers, states (n, dim).

    function: the score as it was given; its answers are checked by `score`. A step asks for what its equation has.

        >>> from samplers.generative.solvers import Reversal
        >>> from samplers.processes.linear import OrnsteinUhlenbeck
        >>> reversal = Reversal(lambda x, t: -x, OrnsteinUhlenbeck(), generator=None)
        >>> reversal.clean(torch.ones(1, 1), 0.5)  # of N(0, 1), exp(-t) x
        tensor([[0.6065]])
    """

    function: Score
    process: Process
    generator: Generator | None

    def score(self, x: Tensor, t: float) -> Tensor:
        """s(x, t). ValueError for another shape than that of x, and for values that are not finite."""
        score = self.function(x, t)
        if not isinstance(score, Tensor) or score.shape != x.shape:
            raise ValueError(
                f"score: returned {shown(score)} at t = {t:.6g}, expected the shape of x, {tuple(x.shape)}"
            )
        check_rows(score, "score: returned", f" at t = {t:.6g}")
        return score.to(x.dtype)

    def times_covariance(self, v: Tensor) -> Tensor:
        """C v."""
        return noise_of(self.process).times(v)

    def noise(self, x: Tensor, t: float) -> Tensor:
        """E[e | x_t = x], of x_t = a X + sigma e."""
        return Marginal.at(self.process, t, x).noise_of_score(self.score(x, t))

    def clean(self, x: Tensor, t: float) -> Tensor:
        """D(x, t) = E[X | x_t = x]."""
        return Marginal.at(self.process, t, x).clean_of_score(self.score(x, t))

    def velocity(self, x: Tensor, t: float, score_weight: float = 0.5) -> Tensor:
        """a x - w g^2 C s: dx/dt of the probability flow at w = 1/2, the drift of the reverse SDE at w = 1."""
        drift, diffusion = numbers(self.process.drift_coefficient(t), self.process.diffusion(t))
        return drift * x - score_weight * diffusion**2 * self.times_covariance(self.score(x, t))

    @property
    def source(self) -> Generator:
        """The generator; ValueError where none was given."""
        if self.generator is None:
            raise ValueError("generator: got None, expected a torch.Generator: this solver draws noise")
        return self.generator

    def noised(self, x: Tensor, deviation: float | Tensor) -> Tensor:
        """x + deviation N(0, C); nothing is drawn for the number 0."""
        if isinstance(deviation, float) and deviation == 0:
            return x
        return x + deviation * noise_of(self.process).sample_like(x, self.source)

    def level(self, t: float) -> tuple[float, float]:
        """(a, sigma) of x_t = a X + sigma e."""
        scale, variance = self.transition(0.0, t)
        return scale, math.sqrt(variance)

    def transition(self, s: float, t: float) -> tuple[float, float]:
        """(A, V) of x_t | x_s ~ N(A x_s, V C)."""
        scale, variance = numbers(*self.process.transition(s, t))
        return scale, variance

    def posterior(self, s: float, t: float) -> tuple[float, float, float]:
        """(b, c, V) of x_s | x_0, x_t ~ N(b x_0 + c x_t, V C)."""
        first, last, variance = numbers(*self.process.bridge(0.0, s, t))
        return first, last, variance


def numbers(*coefficients: Tensor) -> list[float]:
    """Coefficients at one time as numbers: a state times a number keeps its dtype and device."""
    return [float(coefficient) for coefficient in coefficients]


def check_states(x: Tensor, argument: str = "x") -> None:
    """ValueError for what is not a floating-point tensor (n, dim) of finite numbers with at least one row."""
    if not isinstance(x, Tensor) or x.ndim != 2 or not x.is_floating_point() or x.numel() == 0:
        got = f"shape {tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else repr(x)
        raise ValueError(f"{argument}: got {got}, expected states (n, dim) of a floating-point dtype")
    check_rows(x, f"{argument}: got")


def check_rows(x: Tensor, came: str, where: str = "") -> None:
    """ValueError that counts the rows which are not finite; nothing is looked at on the meta device."""
    if not x.is_meta and (bad := int((~x.isfinite()).any(-1).sum())):
        raise ValueError(f"{came} non-finite values in {bad} of {len(x)} rows{where}, expected finite numbers")
