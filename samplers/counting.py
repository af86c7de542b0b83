"""A target that counts its evaluations."""

from __future__ import annotations

from torch import Tensor

from targets import Target


class Counted(Target):
    """The same density, with every evaluated point counted in `log_probs` and `scores`."""

    def __init__(self, inner: Target) -> None:
        super().__init__(inner.dim, dtype=inner.dtype, device=inner.device, name=inner.name)
        self.inner = inner
        self.log_probs = self.scores = 0

    def log_prob(self, x: Tensor) -> Tensor:
        """The inner log-density."""
        self.log_probs += x.numel() // self.dim
        return self.inner.log_prob(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inner log-density and score."""
        points = x.numel() // self.dim
        self.log_probs += points
        self.scores += points
        return self.inner.log_prob_and_score(x)

    def score(self, x: Tensor) -> Tensor:
        """The inner score."""
        self.scores += x.numel() // self.dim
        return self.inner.score(x)
