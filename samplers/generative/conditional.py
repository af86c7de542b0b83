"""A conditional diffusion model that has been learned: one model of x for every condition y."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

from torch import Tensor

from samplers.generative.conditions import Conditions, conditioned_model
from samplers.generative.estimates import PointEstimates
from samplers.generative.fitted import FittedDiffusion
from samplers.generative.horizon import law_at_horizon
from samplers.generative.score_model import ScoreModel
from samplers.generative.trained import Trained
from samplers.processes.base import Time


@dataclass(eq=False, kw_only=True, repr=False)
class ConditionalDiffusion(Trained):
    """What `ScoreDiffusion.fit(samples, given=conditions)` gives: S(x, t, y) ~ grad log p_t(x | y), amortised over y.

        given(y)                        the law of x given y, a `FittedDiffusion`
        conditional_score(x, t, y)      for `conditioned` and `classifier_free`

    The training of a `ScoreMLP` starts at the Gaussian of the joint moments of x and y, given y, right where they are
    jointly Gaussian (`samplers.generative.regression`); the reverse process starts at the mean of x given y that the
    model itself has at the horizon (`samplers.generative.horizon`). A condition far from those of the samples gets an
    answer too: `given(y).weigh(target)` says how good it is.

    conditions: mean and deviations of y, and how often training dropped it. settings, spec, model, transformation,
    start, seed, iterations, history, validation, untrained, notes, cost: as of `FittedDiffusion`; start is that of all
    x. The network of `model` takes (x, t, context), with context
    (*batch, c + 1): y less its mean, by its deviations, and a last 1; or zeros for no condition.
    Ho and Salimans 2021, https://arxiv.org/abs/2207.12598.

        >>> generator = torch.Generator().manual_seed(0)
        >>> y = torch.randn(500, 2, generator=generator)
        >>> x = y[:, :1] + 0.5 * torch.randn(500, 1, generator=generator)
        >>> model = samplers.ScoreDiffusion(network=samplers.generative.ScoreMLP(width=8, blocks=1))
        >>> fitted = model.fit(x, given=y, iterations=10, progress=False)
        >>> fitted.given(torch.tensor([1.0, 0.0])).sample(draws=5).x.shape, fitted.log_prob(x[:3], given=y[:3]).shape
        (torch.Size([1, 5, 1]), torch.Size([3]))
    """

    conditions: Conditions

    def given(self, y: Tensor | None) -> FittedDiffusion:
        """The law of x given y (c,), in the units of the fit; None: of x whatever y is.

        TypeError for integers, ValueError for another shape, numbers that are not finite, and None where training
        dropped no condition.
        """
        return self._at(y, condition=y)

    def conditional_score(self, x: Tensor, t: Time, y: Tensor | None) -> Tensor:
        """grad log p_t(x | y), (n, dim), for 0 < t <= horizon, in the coordinates u of the model.

        y: (c,), (n, c), or None for grad log p_t(x). Errors as of `given`.
        """
        return self._model(y, len(x)).score(x, t)

    def log_prob(self, x: Tensor, *, given: Tensor, rtol: float = 1e-5, atol: float = 1e-5) -> Tensor:
        """log p(x | y) of the probability flow at rows x (n, dim), each with its own condition (n, c), or one for all
        (c,): as of `FittedDiffusion.log_prob`."""
        return self._at(given, len(x)).log_prob(x, rtol=rtol, atol=atol)

    def elbo(self, x: Tensor, *, given: Tensor, times: int = 64, repetitions: int = 8, seed: int = 1) -> PointEstimates:
        """A bound of log p(x | y), likewise: as of `FittedDiffusion.elbo`."""
        return self._at(given, len(x)).elbo(x, times=times, repetitions=repetitions, seed=seed)

    def save(self, path: str | Path) -> Path:
        """Write the model to a file that `samplers.generative.load` reads; ValueError for a network of one's own."""
        return self.written(path, self.conditions)

    def _model(self, y: Tensor | None, rows: int | None) -> ScoreModel:
        conditions, like = self.conditions, self.start.mean
        context = conditions.nothing(like) if y is None else conditions.context(conditions.checked(y, rows), like)
        return conditioned_model(self.model, context)

    def _at(self, y: Tensor | None, rows: int | None = None, condition: Tensor | None = None) -> FittedDiffusion:
        model = self._model(y, rows)
        known = {f.name: getattr(self, f.name) for f in fields(Trained)} | {"model": model}
        found = FittedDiffusion(**known, condition=condition)
        if y is not None:
            found.prior = law_at_horizon(model, self.start, rows if y.ndim == 2 else None)
        return found

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(FittedDiffusion, name):
            raise AttributeError(f"{name}: this model was fitted with conditions, expected given(y).{name}")
        raise AttributeError(f"{type(self).__name__} has no {name!r}")
