"""What scalars of a variable are called."""

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor


def label(name: str, index: tuple[int, ...]) -> str:
    """theta and (2, 1) as theta[2, 1]."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def scalars(variables: Mapping[str, Tensor], axes: int = 2) -> Iterator[tuple[str, np.ndarray]]:
    """Every scalar of variables (*axes, *shape) by what it is called, (*axes): chains and draws, or nothing."""
    for name, value in variables.items():
        array = value.detach().double().cpu().numpy()
        for index in np.ndindex(*array.shape[axes:]):
            yield label(name, index), array[(..., *index)]
