"""Bayesian logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import logsigmoid

from targets.arguments import as_double, floating_dtype
from targets.base import Target, Variable
from targets.gaussian import Gaussian


class LogisticRegression(Target):
    """Posterior of the weights w of a logistic regression with independent Gaussian priors.

        log p(w) = sum_i [ y_i z_i - log(1 + exp z_i) ] + log N(w; prior_mean, prior_scale^2),     z = X w
        score = X' (y - sigmoid(z)) - (w - prior_mean) / prior_scale^2

    features X: (points, dim), a column of ones included where an intercept is wanted; labels y: (points,) of 0 and 1.
    `prior_scale` is a standard deviation, () or (dim,); None leaves the prior out, and the posterior is then improper
    where the data are separable. Known: `prior`, normalised and with exact draws, unless it was left out.

    names: of the weights, (dim,) words, for summaries; None numbers them. name: as of `Target`. ValueError for labels
    other than 0 and 1, and for shapes that do not agree.

        >>> regression = targets.LogisticRegression([[1.0, -1.0], [1.0, 1.0]], [0, 1])
        >>> regression.score(torch.zeros(2)), list(regression.variables)
        (tensor([0., 1.]), ['w'])
    """

    def __init__(
        self,
        features: Any,
        labels: Any,
        *,
        prior_scale: Any = 1.0,
        prior_mean: Any = 0.0,
        names: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        dtype = floating_dtype(features)
        features = as_double(features, "features")
        labels = as_double(labels, "labels").to(features)
        if features.ndim != 2 or labels.shape != features.shape[:1]:
            raise ValueError(
                f"features, labels: got shapes {tuple(features.shape)} and {tuple(labels.shape)}, "
                "expected (points, dim) and (points,)"
            )
        if not bool(((labels == 0) | (labels == 1)).all()):
            raise ValueError(f"labels: got values {labels.unique().tolist()[:5]}, expected 0 and 1")
        super().__init__(features.shape[1], dtype=dtype, device=features.device, name=name)
        self._exact = {"features": features, "pull": labels @ features}
        self._place()
        self._names = tuple(names or ())
        self._prior: Gaussian | None = None
        if prior_scale is not None:
            centre = as_double(prior_mean, "prior_mean").to(features).expand(self.dim)
            self._prior = Gaussian(centre, prior_scale, name=f"{self.name} prior").to(dtype=dtype)

    def _place(self) -> None:
        self._features = self._exact["features"].to(device=self.device, dtype=self.dtype)
        self._transposed = self._features.mT.contiguous()
        self._pull = self._exact["pull"].to(
            device=self.device, dtype=self.dtype
        )  # X'y: the labels of all points at once

    def log_likelihood(self, x: Tensor) -> Tensor:
        """The log-likelihood alone, (*batch, dim) -> (*batch,)."""
        self._check(x)
        return x @ self._pull + logsigmoid(-(x @ self._transposed)).sum(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        likelihood = self.log_likelihood(x)
        return likelihood if self._prior is None else likelihood + self._prior.log_prob(x)

    def log_likelihood_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        logits = x @ self._transposed
        value = x @ self._pull + logsigmoid(-logits).sum(-1)
        return value, self._pull - logits.sigmoid_() @ self._features

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = self.log_likelihood_and_score(x)
        if self._prior is None:
            return value, score
        prior_value, prior_score = self._prior.log_prob_and_score(x)
        return value + prior_value, score + prior_score

    @property
    def prior(self) -> Gaussian:
        if self._prior is None:
            self._raise_unknown("prior")
        return self._prior

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset(["prior"] if self._prior is None else [])

    @property
    def variables(self) -> dict[str, Variable]:
        coords = {"feature": list(self._names)} if self._names else {}
        return {"w": Variable((self.dim,), ("feature",), coords)}

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return {"w": x}
