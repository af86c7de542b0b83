"""What scalars of a variable are called, and what files of a name."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

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


def as_file(name: str) -> str:
    """A name as that of a file: nothing that leaves its folder or is hidden."""
    quoted = quote(name, safe=" ()+=,")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted
