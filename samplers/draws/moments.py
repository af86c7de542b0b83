"""Running moments of a stream of batches."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 65536  # rows handled at once, so that a million chains need no second copy of themselves


class RunningMoments:
    """Mean and variance of each coordinate, and on request the covariance, of all rows seen so far, in float64.

    Batches are merged by the update of Chan, Golub and LeVeque (1983), stable for data far from zero.
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu", dense: bool = False) -> None:
        self.count = 0
        self._mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self._squares = torch.zeros((dim, dim) if dense else (dim,), dtype=torch.float64, device=device)

    def update(self, rows: Tensor) -> None:
        """Take in (n, dim)."""
        for part in rows.split(ROWS):
            n = len(part)
            mean = part.mean(0, dtype=torch.float64)
            centred = part - mean.to(part.dtype)
            # the rounding of the mean to the rows' dtype is taken out again
            residual = centred.sum(0, dtype=torch.float64) / n
            shift = mean - self._mean
            weight = self.count * n / (self.count + n)
            if self._squares.ndim == 2:
                wide = centred.double()
                self._squares += wide.mT @ wide - n * residual.outer(residual) + weight * shift.outer(shift)
            else:
                squares = centred.square_().sum(0, dtype=torch.float64)
                self._squares += squares - n * residual.square() + weight * shift.square()
            self.count += n
            self._mean += shift * (n / self.count)

    @property
    def mean(self) -> Tensor:
        """Mean, (dim,) in float64."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """Unbiased variance, (dim,) in float64."""
        squares = self._squares.diagonal() if self._squares.ndim == 2 else self._squares
        return squares / (self.count - 1)

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, (dim, dim) in float64; only where asked for at the start."""
        if self._squares.ndim == 1:
            raise ValueError("covariance: not kept; build RunningMoments with dense=True")
        return self._squares / (self.count - 1)

    def state_dict(self) -> dict[str, Tensor | int]:
        """All there is to continue."""
        return {"count": self.count, "mean": self._mean, "squares": self._squares}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Continue from `state_dict()`."""
        self.count = int(state["count"])
        device = self._mean.device
        self._mean = torch.as_tensor(state["mean"]).to(device).clone()
        self._squares = torch.as_tensor(state["squares"]).to(device).clone()
