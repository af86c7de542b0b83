"""Coordinates of named parameters, and the values that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from targets.arguments import shown
from targets.base import Target, Variable
from targets.labels import Shapes, check_axes, check_name, read_coords
from targets.parameter import Parameter


class Parametrised(Target):
    """Coordinates x in R^dim, cut into the unconstrained coordinates of named parameters."""

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        *,
        coords: Mapping[str, Sequence[Any]] | None = None,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        name: str | None,
    ) -> None:
        if not isinstance(parameters, Mapping) or not parameters:
            raise TypeError('parameters: expected a non-empty dict such as {"mu": targets.Real()}')
        for key, kind in parameters.items():
            check_name(key, f"parameters[{key!r}]")
            if not isinstance(kind, Parameter):
                raise TypeError(
                    f"parameters[{key!r}]: got {shown(kind)}, expected Real(), Positive(), Interval(...) or the like"
                )
        super().__init__(sum(p.size for p in parameters.values()), dtype=dtype, device=device, name=name)
        self._exact = dict(parameters)
        self._place()
        self._sizes = [p.size for p in parameters.values()]
        self._coords = read_coords(coords)

    def _place(self) -> None:
        self.parameters = {key: kind.to(self.dtype, self.device) for key, kind in self._exact.items()}

    def _check_axes(self, shapes: Shapes, dims: Mapping[str, tuple[str, ...]]) -> None:
        """ValueError where axes and labels do not fit, those of further quantities included."""
        own = {key: kind.dims for key, kind in self.parameters.items()}
        check_axes(
            {key: kind.shape for key, kind in self.parameters.items()} | dict(shapes), own | dict(dims), self._coords
        )

    def _coordinates(self, x: Tensor) -> dict[str, Tensor]:
        """The unconstrained coordinates (*batch, size) of every parameter."""
        self._check(x)
        return dict(zip(self.parameters, x.split(self._sizes, -1), strict=True))

    def _values(self, coordinates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: self.parameters[key].value(u) for key, u in coordinates.items()}

    def parameter_values(self, x: Tensor) -> dict[str, Tensor]:
        """Constrained parameters, (*batch, dim) -> {name: (*batch, *shape)}, without what is derived of them."""
        return self._values(self._coordinates(x))

    def _log_det(self, coordinates: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
        """log |d values / d x|, (*batch,)."""
        return reduce(add, (self.parameters[key].log_det(u, values[key]) for key, u in coordinates.items()))

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return self._values(self._coordinates(x))

    def unconstrain(self, values: Mapping[str, Tensor]) -> Tensor:
        """Coordinates (*batch, dim) of named values; the inverse of `constrain`."""
        if values.keys() != self.parameters.keys():
            raise ValueError(f"values: got {sorted(values)}, expected {sorted(self.parameters)}")
        return torch.cat([kind.unconstrain(values[key]) for key, kind in self.parameters.items()], -1)

    @property
    def variables(self) -> dict[str, Variable]:
        return {key: self._variable(p.shape, p.dims) for key, p in self.parameters.items()}

    def _variable(self, shape: tuple[int, ...], dims: tuple[str, ...] | None) -> Variable:
        return Variable(shape, dims, {dim: self._coords[dim] for dim in dims or () if dim in self._coords})
