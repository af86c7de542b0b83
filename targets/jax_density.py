"""Log-densities written in JAX (extra `jax`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from targets._elsewhere import Elsewhere, missing
from targets.base import Target, Variable

POINTS = 3  # of the batch that a function is tried on


class JaxDensity(Elsewhere):
    """A log-density that JAX evaluates, with its gradient by `jax.value_and_grad`, compiled and for all points at once.

    Tensors cross by dlpack, without a copy on the way in; what comes out is a copy, for JAX may hand its input back.
    JAX computes in the target's precision while it does so, whatever it is set to elsewhere.
    """

    _dtypes = (torch.float64, torch.float32)
    _devices = ("cpu", "cuda")

    def __init__(
        self,
        fn: Callable[[Any], Any],
        dim: int,
        *,
        batched: bool,
        constrain: Callable[[Any], Mapping[str, Any]] | None,
        dims: Mapping[str, Sequence[str]] | None,
        coords: Mapping[str, Sequence[Any]] | None,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        name: str,
    ) -> None:
        super().__init__(dim, dtype=torch.float64 if dtype is None else dtype, device=device, name=name)
        self._fn, self._batched, self._map = fn, batched, constrain
        self._dims = {key: tuple(names) for key, names in (dims or {}).items()}
        self._coords = {key: list(values) for key, values in (coords or {}).items()}
        self._place()
        self._check_variables()

    def _place(self) -> None:
        super()._place()
        import jax

        if self.device.type == "cuda" and all(one.platform not in ("gpu", "cuda") for one in jax.devices()):
            raise ValueError(f"device: got {self.device}, expected one that JAX has: {jax.devices()}")
        self._check_function()

    def _precision(self) -> AbstractContextManager[Any]:
        return precision(self.dtype == torch.float64)

    def _check_function(self) -> None:
        """One error for a function that does not return one log-density a point, in the target's precision."""
        import jax

        count = POINTS if self.dim != POINTS else POINTS + 2
        given = (count, self.dim) if self._batched else (self.dim,)
        expected = given[:-1]
        dtype = _numpy_dtype(self.dtype)
        with self._precision():
            try:
                found = jax.eval_shape(self._fn, jax.ShapeDtypeStruct(given, dtype))
            except Exception as error:
                error.add_note(f"fn was called by JAX with an array {given} in {dtype.__name__}, to be traced")
                raise
        came = f"shape {found.shape}" if hasattr(found, "shape") else type(found).__name__
        if getattr(found, "shape", None) != expected:
            raise ValueError(
                f"fn: returned {came} for x of shape {given}, expected {expected}"
                + ("" if self._batched else "; pass batched=True for a function (n, dim) -> (n,)")
            )
        if found.dtype != dtype:
            raise TypeError(
                f"fn: returned {found.dtype} for x in {dtype.__name__}, expected the dtype of x; "
                f"convert what it closes over, or pass dtype=torch.{found.dtype}"
            )

    def _check_variables(self) -> None:
        variables = self.variables
        for argument in (key for key in self._dims if key not in variables):
            raise ValueError(f"dims: got {argument!r}, expected names among {sorted(variables)}")
        for key, names in self._dims.items():
            shape = variables[key].shape
            if len(names) != len(shape):
                raise ValueError(f"dims[{key!r}]: got {names}, expected a name for each axis of the shape {shape}")
            for dim, size in zip(names, shape, strict=True):
                if dim in self._coords and len(self._coords[dim]) != size:
                    raise ValueError(f"coords[{dim!r}]: got {len(self._coords[dim])} labels, expected {size}")

    @cached_property
    def _compiled(self) -> dict[str, Callable[[Any], Any]]:
        """Compiled by JAX when first used."""
        import jax

        if self._batched:

            def both(x: Any) -> Any:
                value, back = jax.vjp(self._fn, x)
                return value, back(jax.numpy.ones_like(value))[0]

            values = self._fn
        else:
            both, values = jax.vmap(jax.value_and_grad(self._fn)), jax.vmap(self._fn)
        functions = {"both": both, "values": values}
        if self._map is not None:
            functions["constrain"] = self._map if self._batched else jax.vmap(self._map)
        return {key: jax.jit(function) for key, function in functions.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_compiled"}

    def _call(self, which: str, x: Tensor) -> Any:
        import jax

        n = len(x)
        padded = 1 << (n - 1).bit_length()  # a program for each power of two, not for each number of points
        if padded > n:
            x = torch.cat([x, x[-1:].expand(padded - n, -1)])
        with self._precision():
            found = jax.block_until_ready(self._compiled[which](to_jax(x)))
            return jax.tree.map(lambda value: to_torch(value[:n], self.device), found)

    def _values(self, x: Tensor) -> Tensor:
        return self._call("values", x)

    def _values_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._call("both", x)

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        if self._map is None:
            return super().constrain(x)
        flat = self._flat(x).detach()
        if len(flat) == 0:
            return {key: x.new_empty((*x.shape[:-1], *v.shape)) for key, v in self.variables.items()}
        found = self._call("constrain", flat)
        return {key: found[key].reshape(x.shape[:-1] + found[key].shape[1:]) for key in self.variables}

    @cached_property
    def variables(self) -> dict[str, Variable]:
        mapping = self._map
        if mapping is None:
            return {"x": self._variable("x", (self.dim,))}
        import jax

        given = (1, self.dim) if self._batched else (self.dim,)
        names: list[str] = []

        def named(x: Any) -> Mapping[str, Any]:
            values = mapping(x)
            names[:] = values  # JAX sorts the keys of what it returns
            return values

        with self._precision():
            found = jax.eval_shape(named, jax.ShapeDtypeStruct(given, float))
        return {key: self._variable(key, tuple(found[key].shape[self._batched :])) for key in names}

    def _variable(self, key: str, shape: tuple[int, ...]) -> Variable:
        dims = self._dims.get(key)
        return Variable(shape, dims, {dim: self._coords[dim] for dim in dims or () if dim in self._coords})


def from_jax(
    fn: Callable[[Any], Any],
    dim: int,
    *,
    batched: bool = False,
    constrain: Callable[[Any], Mapping[str, Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    name: str | None = None,
) -> Target:
    """A log-density written in JAX: `fn` maps an array (dim,) to (), or with `batched=True` (n, dim) to (n,).

    The score comes from JAX, compiled by `jax.jit` for each power of two of points, which batches are filled up to;
    functions of one point are vectorised by `jax.vmap`. dtype: float64 by default, which JAX is switched to
    (`jax.enable_x64`) while it evaluates the target and nowhere else; with float32 it computes in single precision.
    Arrays that `fn` closes over are as they were made: JAX rounds them to float32 unless x64 is enabled then, so make
    data with NumPy. JAX 0.10 can fail ("Cannot lower jaxpr with verifier errors") on a NumPy array that it has compiled
    in both precisions in one process; give each target a copy of it.

    constrain: maps what `fn` takes to a dict of named arrays, which draws then carry; `dims` and `coords` name their
    axes and label them. Raises ModuleNotFoundError with the command that installs JAX where it is missing; TypeError or
    ValueError, naming what came and what was expected, for a function that returns anything but one log-density a
    point in the target's dtype, and for a device that JAX does not have.
    """
    try:
        import jax  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing("from_jax", "JAX", "jax") from error
    if not callable(fn):
        raise TypeError(f"fn: got {type(fn).__name__}, expected a function of a JAX array")
    return JaxDensity(
        fn,
        dim,
        batched=batched,
        constrain=constrain,
        dims=dims,
        coords=coords,
        dtype=dtype,
        device=device,
        name=name or str(getattr(fn, "__name__", "JaxDensity")),
    )


def precision(double: bool) -> AbstractContextManager[Any]:
    """A context in which JAX computes in float64, or in float32, whatever it does outside."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(double)
    from jax.experimental import disable_x64, enable_x64  # JAX before 0.8

    return enable_x64() if double else disable_x64()


def to_jax(x: Tensor) -> Any:
    """A view of the tensor where JAX allows it, else a copy."""
    import jax

    return jax.dlpack.from_dlpack(x.detach().contiguous())


def to_torch(value: Any, device: torch.device) -> Tensor:
    """A copy: JAX may give back the memory of what it got, or of a constant."""
    return torch.from_dlpack(value).clone().to(device)


def _numpy_dtype(dtype: torch.dtype) -> Any:
    return np.float64 if dtype == torch.float64 else np.float32
