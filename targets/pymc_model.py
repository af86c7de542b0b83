"""Posteriors of PyMC models (extra `pymc`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from targets._elsewhere import Elsewhere, missing, point_by_point
from targets.base import Target, Variable


class PymcModel(Elsewhere):
    """The posterior of a PyMC model, in the unconstrained coordinates of its value variables.

        log p(x) = model.logp(jacobian=True) at the values of x,    score = its gradient by PyTensor

    The graphs are vectorised over points (`vectorize_graph`), or run point by point where PyTensor has no vectorised
    form, and compiled in PyTensor's mode at first use. `model` is a frozen copy: data set later do not come in.
    """

    def __init__(self, model: Any, names: list[str], kept: list[str], name: str) -> None:
        self._model, self._names, self._kept = model, names, kept
        sizes = [value.size for value in self._start.values()]
        super().__init__(sum(sizes), dtype=torch.float64, name=name)

    @cached_property
    def _start(self) -> dict[str, np.ndarray]:
        start = self._model.initial_point()
        return {key: start[key] for key in self._names}

    @cached_property
    def _density(self) -> Callable[[np.ndarray], list[np.ndarray]]:
        """x (n, dim) to the log-density (n,) and the score (n, dim)."""
        import pytensor

        x, (value,) = self._joined([self._model.logp(jacobian=True, sum=True)])
        return _over_points(x, [value, pytensor.grad(value, x)])

    @cached_property
    def _constrained(self) -> Callable[[np.ndarray], list[np.ndarray]]:
        """x (n, dim) to the kept variables, each (n, *shape)."""
        values = self._model.replace_rvs_by_values([self._model[key] for key in self._kept])
        return _over_points(*self._joined(values))

    def _joined(self, graphs: list[Any]) -> tuple[Any, list[Any]]:
        """The coordinates x (dim,) and the graphs as functions of them."""
        from pymc.pytensorf import join_nonshared_inputs

        inputs = [next(value for value in self._model.value_vars if value.name == key) for key in self._names]
        joined, x = join_nonshared_inputs(self._start, graphs, inputs)
        return x, joined

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_density", "_constrained")}

    def _values(self, x: Tensor) -> Tensor:
        return self._values_and_scores(x)[0]

    def _values_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = _defined(self._density, x, ((), (self.dim,)))
        return value, score

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        flat = self._flat(x).detach()
        shapes = [variable.shape for variable in self.variables.values()]
        if len(flat) == 0:
            return {key: x.new_empty(x.shape[:-1] + v.shape) for key, v in self.variables.items()}
        found = _defined(self._constrained, flat, tuple(shapes))
        return {
            key: part.reshape(x.shape[:-1] + shape) for key, shape, part in zip(self._kept, shapes, found, strict=True)
        }

    @cached_property
    def variables(self) -> dict[str, Variable]:
        start = np.concatenate([value.ravel() for value in self._start.values()])
        found = self._constrained(start[None].astype(np.float64))
        variables = {}
        for key, value in zip(self._kept, found, strict=True):
            dims = tuple(self._model.named_vars_to_dims.get(key, ()))
            named = len(dims) == value.ndim - 1 and None not in dims and bool(dims)
            labels = {dim: list(self._model.coords[dim]) for dim in dims if self._model.coords.get(dim) is not None}
            variables[key] = Variable(value.shape[1:], dims if named else None, labels if named else {})
        return variables


def _over_points(x: Any, graphs: list[Any]) -> Callable[[np.ndarray], list[np.ndarray]]:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.graph.replace import vectorize_graph

    points = pt.dmatrix("points")
    try:
        together = vectorize_graph(graphs, replace={x: points})
    except NotImplementedError:  # loops, for one
        one = pytensor.function([x], graphs, on_unused_input="ignore")
        return lambda x: [np.stack(parts) for parts in zip(*map(one, x), strict=True)]
    return pytensor.function([points], together, on_unused_input="ignore")


def _defined(
    function: Callable[[np.ndarray], list[np.ndarray]], x: Tensor, shapes: tuple[tuple[int, ...], ...]
) -> tuple[Tensor, ...]:
    """The results at the points x, (n, *shape) each in float64; NaN at points where PyMC or linear algebra refuse."""
    from pymc.logprob.utils import ParameterValueError

    refusals = (ParameterValueError, np.linalg.LinAlgError, FloatingPointError)
    try:
        with np.errstate(all="ignore"):  # a point far out, whose value says so
            found = function(x.numpy().copy())
    except refusals:

        def alone(point: np.ndarray) -> tuple[np.ndarray, ...]:
            try:
                with np.errstate(all="ignore"):
                    return tuple(part[0] for part in function(point[None]))
            except refusals as error:
                raise FloatingPointError(str(error)) from error

        return point_by_point(alone, x, shapes)
    wanted = [np.broadcast_to(part, (len(x), *shape)) for part, shape in zip(found, shapes, strict=True)]
    return tuple(torch.from_numpy(np.array(part, dtype=np.float64)) for part in wanted)


def from_pymc(model: Any, *, name: str | None = None) -> Target:
    """The posterior of a PyMC model: `from_pymc(model)`, with `model` a pymc.Model whose free variables are continuous.

    Free variables and deterministic ones keep their names, shapes, dims and coords, and come out constrained. The model
    and its data are taken as they are now. Compiled by PyTensor, in its current mode, when first evaluated; in double
    precision. A point where PyMC refuses the parameters, or a matrix has no Cholesky factor, has the log-density NaN.

    Raises ModuleNotFoundError with the command that installs PyMC where it is missing; TypeError for what is not a
    pymc.Model; ValueError for a model without free variables or with discrete ones, which are named, and for PyTensor
    in single precision.
    """
    try:
        import pymc
        import pytensor
        from pymc.model.transform.optimization import freeze_dims_and_data
    except ModuleNotFoundError as error:
        raise missing("from_pymc", "PyMC", "pymc") from error
    if not isinstance(model, pymc.Model):
        raise TypeError(f"model: got {type(model).__name__}, expected a pymc.Model")
    if pytensor.config.floatX != "float64":
        raise ValueError(f"pytensor.config.floatX: got {pytensor.config.floatX!r}, expected 'float64'")
    discrete = [variable.name for variable in model.free_RVs if not variable.dtype.startswith("float")]
    if discrete:
        raise ValueError(f"model: the variables {discrete} are discrete, expected continuous ones")
    if not model.free_RVs:
        raise ValueError("model: has no free variables, expected at least one")
    names = [value.name for value in model.value_vars]
    kept = [variable.name for variable in [*model.free_RVs, *model.deterministics]]
    return PymcModel(freeze_dims_and_data(model), names, kept, name or model.name or "pymc model")
