"""How a function that is written for one point is called once for many: where the batch axis goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class BatchAxis:
    """Where the batch axis stands in the values (n, *shape) that a function of one point gets all at once.

    last: behind the axes of the value, (*shape, n), so that `a[group]` and `a[:, None]` mean what they do at one point.
    Else first, with singleton axes up to `depth` axes (`depth` + `extra` for matrices) between, so that values line up
    with constants and with one another by their last axes.
    """

    last: bool
    depth: int = 0
    extra: int = 0

    def called_with(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The values as the function gets them."""
        return {name: self.own(value) if self.last else self._spaced(value) for name, value in values.items()}

    def _spaced(self, value: Tensor) -> Tensor:
        rank = value.ndim - 1
        ones = max(0, self.depth + (self.extra if rank > 1 else 0) - rank)
        return value.reshape(value.shape[:1] + (1,) * ones + value.shape[1:])

    def own(self, value: Tensor) -> Tensor:
        """A value (n, *shape) as one of the law that the function returns."""
        return value.movedim(0, -1) if self.last else value

    def back(self, value: Tensor) -> Tensor:
        """The batch axis put first again."""
        return value.movedim(-1, 0) if self.last else value

    def shape(self, n: int, leading: tuple[int, ...]) -> tuple[int, ...]:
        """The batch shape of a law of n points with these axes."""
        return (*leading, n) if self.last else (n, *leading)


def candidates(shape: tuple[int, ...], event: tuple[int, ...]) -> Iterator[BatchAxis]:
    """The forms to try for a parameter of a shape, of whose axes the last are one event of its law."""
    for depth in dict.fromkeys((len(shape), len(shape) - len(event))):
        yield BatchAxis(last=False, depth=depth)
        yield BatchAxis(last=False, depth=depth, extra=1)
    if not event:
        yield BatchAxis(last=True)
