"""What the network of a score model shall be, before the process, the data's moments and the weights are known."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Generator, Tensor, nn

from samplers.generative.parametrisation import Parametrisation
from samplers.generative.regression import Regression
from samplers.processes.base import Process


class ScoreSpec(ABC):
    """A frozen dataclass of settings, from which `ScoreDiffusion` makes its network, and files make it anew.

    A subclass writes `make`. Fields are numbers, words, and tuples of them, so that models can be saved.

        >>> from samplers.generative import ScoreMLP, ScoreSpec
        >>> spec: ScoreSpec = ScoreMLP(width=8)
        >>> spec
        ScoreMLP(width=8, blocks=3, least_time=1e-05)
    """

    @abstractmethod
    def make(
        self,
        process: Process,
        parametrisation: Parametrisation,
        mean: Tensor,
        covariance: Tensor,
        generator: Generator,
        regression: Regression | None = None,
    ) -> nn.Module:
        """The network for data of this mean (dim,), in whose dtype it is, and covariance (dim, dim).

        It is called with x (*batch, dim) and t (*batch), and of a conditional one, which has a regression of the data
        on its context, with the context (*batch, size).
        """


def check_moments(mean: Tensor, covariance: Tensor) -> None:
    """ValueError for shapes that do not agree."""
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        shapes = f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
        raise ValueError(f"mean, covariance: got shapes {shapes}, expected (dim,) and (dim, dim)")


def check_least_time(least_time: float, process: Process) -> None:
    """ValueError unless it is below the horizon."""
    if least_time >= process.horizon:
        raise ValueError(f"least_time: got {least_time:.6g}, expected less than the horizon")


def levels(process: Process, least_time: float) -> tuple[float, float]:
    """sigma = s / a at the least time and at the horizon."""
    low, high = (float((-0.5 * process.log_snr(t)).exp()) for t in (least_time, process.horizon))
    return low, high
