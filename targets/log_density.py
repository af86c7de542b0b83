"""Densities that a user passes as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor

from targets.arguments import as_double
from targets.base import Target, differentiate
from targets.compiled import Compile, by_graph, check_compile
from targets.linear_algebra import is_failure, value_and_score_or_nan, value_or_nan
from targets.user_errors import axis_of, note_call
from targets.user_function import (
    check_evaluations,
    check_gradient,
    evaluated,
    no_validation,
    over_points,
)

_COMPARED: WeakSet[LogDensity] = WeakSet()


class LogDensity(Target):
    """Any log-density given as a function: log_prob(x) = fn(x), up to a constant.

    `fn` maps (n, dim) to (n,); with `batched=False` it maps (dim,) to () and is vectorised by `torch.func.vmap`.
    The score comes from `score=`, a function (n, dim) -> (n, dim), or else from automatic differentiation.
    Both get a copy of x, which they may write into, and what they return is copied.

    compile: True has value and gradient compiled as one graph at the first evaluation, some seconds once for each of
    few sizes of batch; "auto" only for runs of kernels that are long enough, as counted beforehand, never timed; False
    never. Numbers differ by rounding. Where the function cannot be compiled there is one warning, which says why. What
    the function closes over is taken as it is then. `log_prob` alone runs as
    without it.

    While `fn` runs, torch.distributions does not validate its arguments: a chain that strays to a non-finite point
    gets a NaN, which samplers count, where an exception would end all chains. The same holds for a point whose
    matrices cannot be factorised or inverted (`torch.linalg.LinAlgError`, NumPy's too): NaN there, the other points
    of the batch keep their values. Other exceptions are raised.
    Raises TypeError or ValueError, naming what came and what was expected, when `fn` returns something that is not
    a tensor of shape (n,) with the dtype and device of its input, or that cannot be differentiated.

    dim: of x. modes: points (modes, dim) that are known to be modes; they are then in `known`, chains are counted in
    them (`samplers.diagnostics.mode_mixing`), the certificate measures the mass around them, and draws that lack it are
    at fault in `samplers.compare`. dtype, device: of x when `fn` is called. name: that of `fn` by default, or as of
    `Target`. For one or two dimensions `with_truth` finds the rest.

        >>> target = targets.LogDensity(lambda x: -x.square().sum(-1), dim=2)
        >>> target.log_prob(torch.ones(3, 2)), target.score(torch.ones(2))
        (tensor([-2., -2., -2.]), tensor([-2., -2.]))
    """

    def __init__(
        self,
        fn: Callable[[Tensor], Tensor],
        dim: int,
        *,
        batched: bool = True,
        score: Callable[[Tensor], Tensor] | None = None,
        compile: Compile = False,
        modes: Any = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str | None = None,
    ) -> None:
        if not callable(fn):
            raise TypeError(f"fn: got {type(fn).__name__}, expected a function (n, dim) -> (n,)")
        if score is not None and not callable(score):
            raise TypeError(f"score: got {type(score).__name__}, expected a function (n, dim) -> (n, dim)")
        super().__init__(dim, dtype=dtype, device=device, name=name or getattr(fn, "__name__", None))
        self._modes = None if modes is None else self._checked_modes(modes)
        self._batched = batched
        self._given = fn
        self._fn = fn if batched else over_points(fn)
        self._score = score
        self.score_is_given = score is not None
        self._numpy = False
        self.compile = check_compile(compile)

    def _checked_modes(self, modes: Any) -> Tensor:
        points = as_double(modes, "modes")
        if points.ndim != 2 or points.shape[1] != self.dim or len(points) == 0:
            raise ValueError(f"modes: got shape {tuple(points.shape)}, expected (modes, {self.dim}), at least one")
        return points.to(self.device, self.dtype)

    @property
    def modes(self) -> Tensor:
        if self._modes is None:
            self._raise_unknown("modes")
        return self._modes

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset(["modes"] if self._modes is None else [])

    def _call(self, flat: Tensor) -> Tensor:
        try:
            value = evaluated(
                lambda: self._fn(flat.clone()),
                lambda: self._given(flat[0].detach().clone()),
                "fn",
                flat,
                batched=self._batched,
                numpy=self._numpy,
            )
        except Exception as error:
            if not is_failure(error):
                note_call(error, "fn", {"x": flat}, axis_of(self._batched))
            raise
        if len(flat) == self.dim > 1 and self not in _COMPARED and flat.device.type != "meta":
            self._compare(flat, value)
        return value

    def _compare(self, flat: Tensor, together: Tensor) -> None:
        """Of as many points as coordinates a function of one point takes the ones for the others: looked at once."""
        _COMPARED.add(self)
        with torch.no_grad():
            apart = torch.cat([self._call(point[None]) for point in flat])
            check_evaluations(
                "fn", together, self._call(flat), apart, "Write it for a batch, the first axis, or pass batched=False"
            )

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        with no_validation():
            return value_or_nan(lambda points: self._call(points).clone(), flat).reshape(x.shape[:-1])

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        flat = x.reshape(-1, self.dim)
        with no_validation():
            value, gradient = value_and_score_or_nan(self._value_and_gradient, flat, by_graph(self, flat))
        return value.reshape(x.shape[:-1]), gradient.reshape(x.shape)

    def _value_and_gradient(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        if self._score is not None:
            gradient = check_gradient(self._score(flat.clone()), flat, "score")
            return self._call(flat).detach().clone(), gradient.detach().clone()
        value, gradient = differentiate(self._call, flat, self.name)
        return value.clone(), gradient.clone()

    def compilable(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Value and score at (n, dim), as `targets.compiled` writes them down."""
        return self._value_and_gradient


def from_numpy(
    log_prob: Callable[[np.ndarray], np.ndarray],
    grad: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    dim: int,
    batched: bool = True,
    modes: Any = None,
    name: str | None = None,
) -> Target:
    """A log-density written in NumPy, in double precision on the CPU.

    `log_prob` maps an array (n, dim) to (n,) and `grad` maps it to (n, dim); with `batched=False` both take one point.
    Without `grad` only samplers that need no score can be used, and the others say so. Both get copies, which they
    may write into; where NumPy or SciPy cannot factorise a matrix, the point gets NaN. modes: as of `LogDensity`.
    """

    def lifted(function: Callable[[np.ndarray], Any], argument: str, empty: tuple[int, ...]) -> Callable[..., Tensor]:
        if not callable(function):
            raise TypeError(f"{argument}: got {type(function).__name__}, expected a function of a NumPy array")

        def call(x: Tensor) -> Tensor:
            points = x.detach().numpy()
            if batched or x.ndim == 1:
                return torch.from_numpy(_array(function(points), argument))
            values = [_array(function(point), argument) for point in points]
            return torch.from_numpy(np.stack(values)) if values else torch.empty(empty, dtype=torch.float64)

        return call

    density = LogDensity(
        lifted(log_prob, "log_prob", (0,)),
        dim,
        score=None if grad is None else lifted(grad, "grad", (0, dim)),
        modes=modes,
        dtype=torch.float64,
        name=name or getattr(log_prob, "__name__", None),
    )
    density._batched, density._numpy = batched, True
    return density


def _array(value: Any, argument: str) -> np.ndarray:
    """A result in double precision, in memory of its own."""
    if value is None:
        raise TypeError(f"{argument}: returned None, expected an array")
    if isinstance(value, Tensor):
        raise TypeError(f"{argument}: returned a torch tensor, expected an array; torch functions are for LogDensity")
    return np.array(value, dtype=np.float64)
