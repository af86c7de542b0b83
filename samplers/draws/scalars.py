"""All scalars of a run's draws: the coordinates of x, and those of the named variables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from samplers.draws.names import label
from samplers.draws.points import PointSet
from samplers.draws.still import still
from samplers.draws.ties import ULPS, precision
from targets import Target

BLOCK = 2**21  # values that are taken together


class Scalars:
    """The coordinates of x (chains, draws, dim), then all scalars of the named variables where these are others."""

    def __init__(self, target: Target, x: Tensor) -> None:
        with torch.no_grad():
            named = target.constrain(x)
        others = [] if named.keys() == {"x"} and torch.equal(named["x"], x) else list(named.items())
        self._variables = [("x", x), *others]
        self._places = [
            (number, index)
            for number, (_, value) in enumerate(self._variables)
            for index in np.ndindex(tuple(value.shape[2:]))
        ]
        self._x, self._target = x, target

    def __len__(self) -> int:
        return len(self._places)

    def name(self, i: int) -> str:
        """What a reader calls it."""
        number, index = self._places[i]
        return label(self._variables[number][0], index)

    def blocks(self, which: list[int]) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """Parts of some of them, each with its values (some, chains, draws), and which of these are sound and constant.

        Sound: finite, and not always the same. Constant: always the same, and not stuck: a named scalar, for where a
        coordinate is stuck that one is looked at too, or a coordinate that a discrete target holds.
        """
        chains, draws, dim = self._x.shape
        step = max(1, BLOCK // (chains * draws))
        for start in range(0, len(which), step):
            part = slice(start, start + step)
            places = [self._places[i] for i in which[part]]
            picked = [self._variables[number][1][(..., *index)] for number, index in places]
            values = torch.stack([value.double() for value in picked])
            finite = values.isfinite().flatten(1).all(-1)
            low, high = (flat for flat in values.flatten(1).aminmax(dim=-1))
            slack = ULPS * torch.tensor([precision(value) for value in picked]).to(values)
            held = finite & (high - low <= slack * high.abs())
            named = torch.tensor([i >= dim for i in which[part]], device=held.device)
            if bool((held & ~named).any()) and self._target.discrete:
                named = torch.full_like(named, not still(PointSet(self._x, target=self._target)).stuck)
            yield part, torch.where(finite[:, None, None], values, 0.0), finite & ~held, held & named
