"""What scalars of a variable are called."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from torch import Tensor

from targets import Variable


def label(name: str, index: tuple[int, ...], variable: Variable | None = None) -> str:
    """theta and (2, 1) as theta[2, 1], or with the labels of a variable's axes, as the summary has: theta[C, 1]."""
    if variable is None or variable.dims is None or len(variable.dims) != len(index):
        said: Iterable[object] = index
    else:
        labels = zip(variable.dims, index, strict=True)
        said = [variable.coords[dim][i] if dim in variable.coords else i for dim, i in labels]
    return f"{name}[{', '.join(map(str, said))}]" if index else name


def scalars(variables: Mapping[str, Tensor], axes: int = 2) -> Iterator[tuple[str, np.ndarray]]:
    """Every scalar of variables (*axes, *shape) by what it is called, (*axes): chains and draws, or nothing."""
    for name, value in variables.items():
        array = value.detach().double().cpu().numpy()
        for index in np.ndindex(*array.shape[axes:]):
            yield label(name, index), array[(..., *index)]
