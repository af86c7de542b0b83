"""A diffusion model that has been learned: what it draws, and what it says of points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import torch
from torch import Generator, Tensor

from samplers.draws import Draws
from samplers.generative.conditions import ConditionedNetwork
from samplers.generative.denoiser import DiffusionDenoiser
from samplers.generative.density import DiffusionDensity
from samplers.generative.elbo import elbo
from samplers.generative.estimates import PointEstimates
from samplers.generative.likelihood import ContinuousFlow, probability_flow
from samplers.generative.reverse_sampler import ReverseSampler
from samplers.generative.standardisation import Standardisation
from samplers.generative.weighing import weigh
from targets import Target

LEAST = 1e-5  # of the horizon: what densities are given for is the state at this time


@dataclass(eq=False, repr=False)
class FittedDiffusion(ReverseSampler):
    """What `ScoreDiffusion.fit` gives.

    settings: of the method, in words. spec: its `ScoreSpec`, None for a network of one's own. model: the `ScoreModel`,
    in the coordinates u of `transformation`. start: the Gaussian of the samples' moments there. seed, iterations: of
    the fit. history: every ten iterations loss, validation and more, as lists. validation: the held-out loss of the
    model, NaN where nothing was held out; untrained: that of `start`. notes: what was said. cost: of the fit.
    condition: y (c,), where this is the law of x given y that `ConditionalDiffusion.given` makes; else None.

        >>> from samplers.generative import ScoreMLP
        >>> samples = targets.Gaussian([0.0]).sample(200, generator=torch.Generator().manual_seed(0))
        >>> model = samplers.ScoreDiffusion(network=ScoreMLP(width=8, blocks=1))
        >>> fitted = model.fit(samples, iterations=0, progress=False)
        >>> fitted.log_prob(torch.zeros(3, 1)).shape, fitted.elbo(torch.zeros(3, 1)).value.shape
        (torch.Size([3]), torch.Size([3]))
        >>> fitted.weigh(targets.Gaussian([0.0]), draws=50).log_weights.shape
        torch.Size([1, 50])
    """

    # Densities

    def flow(self, *, rtol: float = 1e-5, atol: float = 1e-5) -> ContinuousFlow:
        """The probability flow of u, from the horizon to LEAST of it, whose law has a density."""
        least = LEAST * self.process.horizon
        return probability_flow(self.score, self.process, self.prior, t_min=least, rtol=rtol, atol=atol)

    def log_prob(self, x: Tensor, *, rtol: float = 1e-5, atol: float = 1e-5) -> Tensor:
        """The log-density of the probability flow's draws, (n, dim) -> (n,) in float64.

        Traces are exact: dim derivatives of the network an evaluation. ValueError for points not finite or of another
        shape, and for columns of which some have a probability instead, which `elbo` bounds.
        """
        u, c = self._seen(x)
        return self.flow(rtol=rtol, atol=atol).log_prob(u) + c

    def estimate_log_prob(
        self, x: Tensor, *, probes: int = 8, seed: int = 1, rtol: float = 1e-5, atol: float = 1e-5
    ) -> PointEstimates:
        """The same by Hutchinson's estimate of the traces, a derivative for each probe: with standard errors."""
        u, c = self._seen(x)
        generator = Generator(x.device).manual_seed(seed)
        found = self.flow(rtol=rtol, atol=atol).estimate_log_prob(u, probes=probes, generator=generator)
        return PointEstimates(found.repetitions + c)

    def elbo(self, x: Tensor, *, times: int = 64, repetitions: int = 8, seed: int = 1) -> PointEstimates:
        """An unbiased estimate of a bound of the log-density of the reverse SDE's draws, or of the log-probability
        where columns are ordinal or categorical, at each row of x (n, dim).

        times: at which the network is asked in each of the repetitions, whose scatter gives the standard errors.
        """
        generator = Generator(x.device).manual_seed(seed)

        def repetition() -> Tensor:
            u, c = self.transformation.forward(x, generator)
            with torch.no_grad():
                one = elbo(
                    self.score, self.process, self.prior, u, generator=generator, times=times, repetitions=2,
                    t_min=LEAST * self.process.horizon,
                )  # fmt: skip
            return one.value + c

        return PointEstimates.of(repetition, repetitions)

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.transformation.random:
            raise ValueError(
                "x: has columns that noise spreads, such as ordinal ones or those of a code; expected real ones, "
                "or take elbo(x), a bound of the log-probability"
            )
        return self.transformation.forward(x)

    # As others of this package

    def denoiser(self) -> DiffusionDenoiser:
        """E[X | y] for measurements with noise of the shape that the process has in x, such as walk-jump's."""
        return DiffusionDenoiser(self.model, Standardisation(*self.affine("a denoiser")))

    def as_target(self, *, density: bool = True, rtol: float = 1e-5, atol: float = 1e-5) -> DiffusionDensity:
        """The law of the probability flow as a target, normalised and with exact draws.

        density: False is without `log_prob`, an integration of the flow for each point: for `WalkJump` and
        `AnnealedLangevin` with this model's `denoiser()`, which record log-densities where there are some.
        """
        if self.transformation.random:
            raise ValueError("a model of ordinal or categorical columns, or of codes, has bounds and no density")
        return DiffusionDensity(self.flow(rtol=rtol, atol=atol), self.model, self.transformation, density)

    # With an energy

    def weigh(
        self,
        target: Target,
        *,
        draws: int = 4096,
        seed: int = 1,
        steps: int = 100,
        correct: Literal["smc"] | None = None,
    ) -> Draws:
        """Draws of the reverse process with exact weights for a target on the same space, and log Z; E[Z-hat] = Z.

        The process runs in `steps` steps of equal log-SNR, of which the weights know. correct: "smc" resamples on the
        way, by a mixture fitted to the model's own draws (`samplers.generative.weighing`): more of the draws are
        effective, which are no longer independent. Warns (SamplingWarning) where weights or certificate say that the
        model does not cover the target. ValueError for a target of another dimension, another word, and for columns
        that are not real numbers.
        """
        return weigh(self, target, draws=draws, seed=seed, steps=steps, correct=correct)

    def save(self, path: str | Path) -> Path:
        """Write the model to a file that `samplers.generative.load` reads; ValueError for a network of one's own, and
        for a model given a condition, whose conditional model is what can be written."""
        if isinstance(self.model.network, ConditionedNetwork):
            raise ValueError(
                "path: a model given a condition is not written by itself; save the conditional model, and take "
                "samplers.generative.load(path).given(y)"
            )
        return self.written(path)

    def given(self, y: Tensor) -> NoReturn:
        """ValueError: `ConditionalDiffusion` has this."""
        raise ValueError(
            "given: this model has its condition, expected the conditional model that it comes from"
            if isinstance(self.model.network, ConditionedNetwork)
            else "given: this model takes no condition, expected one of ScoreDiffusion.fit(samples, given=conditions)"
        )
