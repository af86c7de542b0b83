"""A run that ends with draws."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import torch

from samplers.draws import Draws
from samplers.runs.job import Job
from samplers.runs.loop import carry_out
from targets.sampling_warning import overheard, warn


class Sampling(Job):
    """A run that ends with draws, and says what a reader must know of them."""

    @abstractmethod
    def result(self) -> Draws:
        """The draws so far."""

    @abstractmethod
    def complaints(self, draws: Draws) -> Iterator[str]:
        """What must be said of the draws that `result` gave, each as a warning (SamplingWarning)."""

    def broken_off(self) -> None:
        """What is to be kept on the way out of an error, besides the checkpoint."""

    def draws(self, path: Path | None, progress: bool | None) -> Draws:
        """All steps, or those that the checkpoint at `path` has not seen; then the draws, and what is said of them."""
        with torch.no_grad():
            try:
                carry_out(self, path, progress)
            except BaseException:
                self.broken_off()
                raise
            draws = self.result()
            try:
                with overheard(self.said):
                    for message in self.complaints(draws):
                        warn(message)
            finally:  # also where a warning is an error
                draws.remember(self.said)
        return draws
