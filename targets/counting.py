"""A target that counts its evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from targets.base import Target


@dataclass
class Tally:
    """Evaluated points."""

    log_probs: int = 0
    scores: int = 0
    sites: int = 0  # conditional laws of single sites not yet counted: dim of them are one log-density

    def clear(self) -> None:
        """Begin anew."""
        self.log_probs = self.scores = self.sites = 0


class Counted(Target):
    """The same density, with every evaluated point counted in `tally`, which several targets may share."""

    def __init__(self, inner: Target, tally: Tally | None = None) -> None:
        super().__init__(inner.dim, dtype=inner.dtype, device=inner.device, name=inner.name)
        self.inner = inner
        self.tally = Tally() if tally is None else tally

    @property
    def log_probs(self) -> int:
        """Log-densities so far."""
        return self.tally.log_probs

    @property
    def scores(self) -> int:
        """Scores so far."""
        return self.tally.scores

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        """The inner target's."""
        return self.inner.discrete

    def __getattr__(self, name: str) -> Any:
        # what kernels of special targets ask for: edges, colours, couplings ...
        if name == "inner":  # not there yet, while a copy is being made
            raise AttributeError(name)
        return getattr(self.inner, name)

    def log_prob(self, x: Tensor) -> Tensor:
        """The inner log-density."""
        self.tally.log_probs += x.numel() // self.dim
        return self.inner.log_prob(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inner log-density and score."""
        points = x.numel() // self.dim
        self.tally.log_probs += points
        self.tally.scores += points
        return self.inner.log_prob_and_score(x)

    def score(self, x: Tensor) -> Tensor:
        """The inner score."""
        self.tally.scores += x.numel() // self.dim
        return self.inner.score(x)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """The inner log-likelihood, counted as a log-density."""
        self.tally.log_probs += x.numel() // self.dim
        return self.inner.log_likelihood(x)

    def log_likelihood_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inner log-likelihood and score, counted as a log-density and a score."""
        points = x.numel() // self.dim
        self.tally.log_probs += points
        self.tally.scores += points
        return self.inner.log_likelihood_and_score(x)

    def conditional_logits(self, x: Tensor, sites: Tensor) -> Tensor:
        """The inner conditional laws; a sweep over all sites counts as one log-density."""
        visits = self.tally.sites + x.numel() // self.dim * len(sites)
        whole, self.tally.sites = divmod(visits, self.dim)
        self.tally.log_probs += whole
        return self.inner.conditional_logits(x, sites)  # type: ignore[attr-defined]

    def local_differences(self, x: Tensor) -> Tensor:
        """The inner differences, counted as one score."""
        self.tally.scores += x.numel() // self.dim
        return self.inner.local_differences(x)  # type: ignore[attr-defined]
