"""Diffusive Gibbs sampling: noise is added and taken away again.

y = x + N(0, sigma^2 I),     x' by a kernel that keeps  p(x | y) ~ gamma(x) N(y; x, sigma^2 I)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Generator, Tensor

from samplers.denoisers.spins import MRFShaped
from samplers.draws import Cost
from samplers.kernels import MALA, Info, Kernel, State
from samplers.kernels.metropolis import always
from samplers.runs.state import evaluate, noise_like
from samplers.smoothing.given import GivenMeasurements
from samplers.smoothing.noise import random_field
from samplers.smoothing.plan import plan
from samplers.smoothing.resampled import ResampledProposals
from targets import Target
from targets.arguments import check_integer, positive, probability, shown
from targets.mrf_noise import MRFNoise

DEFAULT_STEP = 0.1
LEVELS = 4
SPAN = 16.0  # of the largest noise to the smallest where `sigma` is left open


@dataclass(frozen=True, eq=False)
class DiffusiveGibbs(Kernel):
    """A Gibbs sampler of (X, Y): leaves the target invariant. The noise carries chains over to other modes.

    sigma: standard deviation of the noise, or several, one of which is drawn for each step (the same for all chains);
    None takes four from that of `samplers.smoothing.plan` down to a sixteenth of it.
    candidates: x is first chosen anew among itself and that many draws of N(y, sigma^2 I), in proportion to gamma
    (samplers.smoothing.resampled); 1 is nearly the Metropolis test of the original. 0 leaves it out.
    steps: of MALA on p(x | y) afterwards, with h / (1 + h / sigma^2), h the `step_size`, which warmup tunes to
    an acceptance of `target_acceptance`, 0.574.

    noise: "mrf" on a PairwiseMRF takes noise of precision J + D, given which the spins are independent: x is drawn
    anew from all of p(x | y), and neither sigma nor candidates nor steps play a part (Martens and Sutskever 2010; Zhang
    et al. 2012).

    A step takes `candidates` log-densities and `steps` + 1 scores, `steps` without candidates. Reversible where only
    one of the moves is made.
    Chen, Zhang, Paige, Hernandez-Lobato and Barber 2024, https://arxiv.org/abs/2402.03008, where y = alpha x + sqrt(1 -
    alpha^2) xi: the same with sigma = sqrt(1 - alpha^2) / alpha.

        >>> modes = targets.GaussianMixture([[-3.0], [3.0]], scales=0.5)
        >>> kernel = samplers.DiffusiveGibbs(sigma=(1.0, 3.0), step_size=0.1)
        >>> kernel.sample(modes, chains=4, draws=20, warmup=0, seed=0).x.shape
        torch.Size([4, 20, 1])
    """

    sigma: float | Sequence[float] | None = None
    candidates: int = 16
    steps: int = 4
    step_size: float | None = None
    noise: Literal["isotropic", "mrf"] | MRFNoise = "isotropic"
    target_acceptance: float = 0.574

    needs_score: ClassVar[bool] = False  # it finds other modes by itself: no Pathfinder start
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.shaped and self.sigma is not None:
            raise ValueError("sigma, noise: got both; sigma is the standard deviation of isotropic noise")
        if not self.shaped and self.noise != "isotropic":
            raise ValueError(f"noise: got {shown(self.noise)}, expected 'isotropic' or 'mrf'")
        if self.sigma is not None:
            several = [self.sigma] if isinstance(self.sigma, (int, float)) else list(self.sigma)
            if not several:
                raise ValueError("sigma: got none, expected a standard deviation or several")
            object.__setattr__(self, "sigma", tuple(positive(s, "sigma") for s in several))
        for name in ("candidates", "steps"):
            check_integer(getattr(self, name), name, 0)
        if self.candidates == 0 and self.steps == 0:
            raise ValueError("candidates, steps: got 0 for both, and x would never move")
        if self.step_size is not None:
            object.__setattr__(self, "step_size", positive(self.step_size, "step_size"))
        probability(self.target_acceptance, "target_acceptance")

    @property
    def reversible(self) -> bool:
        """Whether it satisfies detailed balance."""
        return self.shaped or self.candidates == 0 or self.steps == 0

    @property
    def shaped(self) -> bool:
        """Whether the noise has the shape of a random field."""
        return isinstance(self.noise, MRFNoise) or self.noise == "mrf"

    def check_target(self, target: Target) -> None:
        if not self.shaped:
            super().check_target(target)
        else:
            random_field(target)

    def placed(self, target: Target) -> Self:
        return replace(self, noise=MRFNoise(random_field(target))) if self.noise == "mrf" else self

    def prepare(self, target: Target, seed: int) -> tuple[Self, Cost]:
        if self.sigma is not None or self.shaped:
            return self, Cost()
        choice = plan(target, seed=seed)
        ratio = SPAN ** (-1 / (LEVELS - 1))
        return replace(self, sigma=tuple(choice.sigma * ratio**k for k in range(LEVELS))), choice.cost

    def tuned(self, warm: Kernel) -> Self:
        assert isinstance(warm, DiffusiveGibbs)
        return self if self.step_size is not None else replace(self, step_size=warm.step_size)

    def init(self, target: Target, x: Tensor, generator: Generator) -> State:
        return evaluate(target, x, score=not self.shaped and self.steps > 0)

    def frozen(self, generator: Generator) -> Self:
        return self if self.shaped else replace(self, sigma=(self._sigma(generator),))

    def _sigma(self, generator: Generator) -> float:
        if self.sigma is None:
            raise ValueError("sigma: left to `sample`, which finds it; give it to use init and step alone")
        assert isinstance(self.sigma, tuple)
        if len(self.sigma) == 1:
            return self.sigma[0]
        return self.sigma[int(torch.randint(len(self.sigma), (), generator=generator, device=generator.device))]

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        if self.shaped:
            return self._redraw(target, state, generator)
        sigma = self._sigma(generator)
        given = GivenMeasurements(target, state.x + sigma * noise_like(state.x, generator), sigma)
        bad = torch.zeros(len(state.x), dtype=torch.bool, device=state.x.device)
        rate = torch.zeros_like(bad, dtype=torch.float64)
        # what is known of the target at x, as the posterior sees it: nothing is evaluated again
        inner = _with_noise(state, given.y, sigma, 1)
        if self.candidates:
            chooser = ResampledProposals(self.candidates + 1)
            inner, info = chooser.step(given, inner, generator)
            bad, rate = info.diverging, rate if self.steps else info.acceptance_rate
        h = DEFAULT_STEP if self.step_size is None else self.step_size
        local = MALA(step_size=h / (1 + h / sigma**2), inverse_mass_matrix="identity")
        if self.steps and inner.score is None:
            inner = local.init(given, inner.x, generator)
        for _ in range(self.steps):
            inner, info = local.step(given, inner, generator)
            rate += info.acceptance_rate / self.steps
            bad = bad | info.diverging
        # a density that has begun to fail where a chain stands leaves it there, with what is known of the place
        new, guard = always(state, _with_noise(inner, given.y, sigma, -1))
        return new, Info(rate, bad | guard.diverging)

    def _redraw(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        """New spins from the whole of their law given y."""
        noise = self.placed(target).noise
        assert isinstance(noise, MRFNoise)
        y = state.x + noise.sample_like(state.x, generator)
        return always(state, evaluate(target, MRFShaped().draw(target, y, noise, generator), score=False))

    def hyperparameters(self) -> dict[str, Any]:
        return super().hyperparameters() | {"noise": "mrf" if self.shaped else "isotropic"}


def _with_noise(state: State, y: Tensor, sigma: float, times: int) -> State:
    """The state with N(y; x, sigma^2 I) multiplied to the density once, or -1 times."""
    away = state.x - y
    score = None if state.score is None else state.score - times * (away / sigma**2)
    return State(state.x, state.log_prob - times * (0.5 * away.square().sum(-1) / sigma**2), score)
