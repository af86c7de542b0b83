"""A step of any library as a kernel: a plain function of positions and of a source of randomness.

(x, generator) -> x  in torch,    (x, rng) -> x  in NumPy,    (x, key) -> x  in JAX,    x (chains, dim)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from samplers.kernels import Info, Kernel, State
from samplers.kernels.base import check_kernel
from targets import Target
from targets.arguments import check_choice, shown

Backend = Literal["torch", "numpy", "jax"]

# a second parameter of this name, or of such a type, tells the library; torch where neither does
NAMES: dict[str, Backend] = {
    "generator": "torch",
    "rng": "numpy",
    "random_state": "numpy",
    "key": "jax",
    "rng_key": "jax",
    "prng_key": "jax",
}
TYPES: dict[Any, Backend] = {torch.Generator: "torch", np.random.Generator: "numpy", np.random.RandomState: "numpy"}
SOURCES = {
    "torch": "a torch.Tensor and a torch.Generator",
    "numpy": "a NumPy array in float64 and a np.random.Generator (a RandomState for a parameter named random_state)",
    "jax": "a jax.Array and a key of jax.random",
}
ROUNDING = 1e-3  # in spreads of x: two calls that differ by less differ by the order of sums on a GPU


@dataclass(frozen=True, eq=False)
class FunctionKernel(Kernel):
    """A function (x, source of randomness) -> x as a kernel; every step has a source of its own, from the generator.

    Positions are copied both ways, so that a function may write into what it gets and keep what it returns. NumPy
    functions compute in float64; JAX ones in float64 where x64 is enabled and in float32 elsewhere, and then all
    positions, exact draws too, are rounded to it, so that rounding alone never tells two sets apart.
    """

    function: Callable[..., Any]
    backend: Backend
    legacy: bool = False
    keyword: str | None = None

    needs_score: ClassVar[bool] = False

    def init(self, target: Target, x: Tensor, generator: Generator) -> State:
        """The positions, in the digits that the function sees."""
        del target, generator
        return self._state(self.rounded(x))

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        """One call of the function; AssertionError where it returns positions that are not finite."""
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        moved = self._call(state.x, seed)
        if not bool(moved.isfinite().all()):
            lost = int((~moved.isfinite()).any(-1).sum())
            raise AssertionError(
                f"{name_of(self)} on {target.name}: returned positions that are not finite for {lost} of "
                f"{len(moved)} chains that stood at finite ones"
            )
        ones = torch.ones(len(moved), dtype=torch.float64, device=moved.device)
        return self._state(moved), Info(ones, ones < 0)

    @staticmethod
    def _state(x: Tensor) -> State:
        return State(x, torch.full_like(x[:, 0], torch.nan), None)  # what the function keeps is not known

    def rounded(self, x: Tensor) -> Tensor:
        """A copy of x with the digits that the function sees."""
        return self._back(self._there(x), x)

    def check_repeatable(self, x: Tensor, seed: int) -> None:
        """ValueError for a function that moves the same positions elsewhere when called again with the same randomness.

        It draws from a generator that it was not given, or keeps something between calls, such as a step size that it
        tunes; such a chain need not leave anything invariant, and `seed` would not repeat the check.
        """
        x = self.rounded(x)
        first, again = self._call(x, seed % 2**31), self._call(x, seed % 2**31)
        apart = int(((first - again).abs() > ROUNDING * x.std(0)).any(-1).sum())
        if apart > len(x) // 1000:
            raise ValueError(
                f"kernel: {name_of(self)} called twice with the same positions and randomness gave different "
                f"positions for {apart} of {len(x)} chains: it draws from another generator, or keeps something "
                "between calls; expected a function of its two arguments alone"
            )

    def _call(self, x: Tensor, seed: int) -> Tensor:
        given = self._there(x)
        source = self._source(seed, x)
        keywords = {} if self.keyword is None else {self.keyword: source}
        try:
            with torch.enable_grad():  # a function may differentiate; the kit runs without
                found = self.function(given, *([] if keywords else [source]), **keywords)
        except Exception as error:
            names = {told: " or ".join(n for n, one in NAMES.items() if one == told) for told in SOURCES}
            error.add_note(
                f"{name_of(self)} was called with {SOURCES[self.backend]}. The second parameter's name tells "
                "the library: "
                f"{names['torch']} gets a torch.Generator, {names['numpy']} a random generator of NumPy, "
                f"{names['jax']} "
                "a key of JAX; so does backend="
            )
            raise
        return self._back(self._checked(found, x), x)

    def _there(self, x: Tensor) -> Any:
        if self.backend == "torch":
            return x.detach().clone()
        copy = np.array(x.detach().cpu().double().numpy())
        if self.backend == "numpy":
            return copy
        import jax.numpy as jnp

        return jnp.array(copy, dtype=float)  # float: what JAX computes in

    def _back(self, value: Any, x: Tensor) -> Tensor:
        if self.backend == "torch":
            return value.detach().clone()
        return torch.from_numpy(np.array(value, dtype=np.float64)).to(x)

    def _source(self, seed: int, x: Tensor) -> Any:
        if self.backend == "torch":
            return Generator(x.device).manual_seed(seed)
        if self.backend == "numpy":
            return np.random.RandomState(seed) if self.legacy else np.random.default_rng(seed)
        import jax

        return jax.random.key(seed)

    def _checked(self, found: Any, x: Tensor) -> Any:
        """What the function returned, or one error that says how it is not like x."""
        given = self._there(x)
        who = f"kernel: {name_of(self)} returned"
        expected = f"expected positions as it was given, {type(given).__name__} {tuple(x.shape)} in {given.dtype}"
        if not isinstance(found, Tensor if self.backend == "torch" else (np.ndarray, type(given))):
            hint = "; return the positions alone, without what else is known" if isinstance(found, tuple) else ""
            raise TypeError(f"{who} {type(found).__name__}, {expected}{hint}")
        if tuple(found.shape) != tuple(x.shape):
            hint = "; a function of one point, (dim,), is vectorised by jax.vmap" if self.backend == "jax" else ""
            raise ValueError(f"{who} shape {tuple(found.shape)}, {expected}{hint}")
        if found.dtype != given.dtype:
            raise TypeError(f"{who} {found.dtype}, {expected}")
        if self.backend == "torch" and found.device != x.device:
            raise ValueError(f"{who} positions on {found.device}, expected {x.device}")
        return found


def as_kernel(kernel: Any, backend: Backend | None = None) -> Kernel:
    """The kernel itself, or a plain function as one.

    Raises TypeError for what is neither, and for a function that cannot be called with (x, source of randomness).
    """
    check_choice(backend, "backend", (*SOURCES, None))
    if isinstance(kernel, type) or not (isinstance(kernel, Kernel) or callable(kernel)):
        if hasattr(kernel, "step") and not isinstance(kernel, type):
            raise TypeError(
                f"kernel: got {type(kernel).__name__}, expected a samplers.Kernel or a function such as "
                "(x, key) -> x that makes one step of it for a batch (chains, dim)"
            )
        check_kernel(kernel)
    if isinstance(kernel, Kernel):
        if backend is not None:
            raise ValueError(f"backend: got {shown(backend)} for the kernel {name_of(kernel)}, expected None")
        return kernel
    parameter = _second_parameter(kernel)
    if parameter is None:
        return FunctionKernel(kernel, backend or "torch")
    told = backend or _library(parameter)
    legacy = told == "numpy" and (parameter.annotation is np.random.RandomState or parameter.name == "random_state")
    keyword = parameter.name if parameter.kind is parameter.KEYWORD_ONLY else None
    return FunctionKernel(kernel, told, legacy, keyword)


def _second_parameter(function: Callable[..., Any]) -> inspect.Parameter | None:
    """The parameter that takes the source of randomness; None for functions that do not tell their parameters."""
    try:
        try:
            signature = inspect.signature(function, eval_str=True)
        except NameError:  # an annotation that is imported for type checkers only
            signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    second = named[0] if len(named) == 1 else places[min(1, len(places) - 1)] if places else None
    try:
        signature.bind(None, **{named[0].name: None}) if len(named) == 1 else signature.bind(None, None)
    except TypeError as error:
        raise TypeError(
            f"kernel: {_name(function)}{signature} cannot be called with two arguments, expected a function of "
            "positions (chains, dim) and a source of randomness, such as (x, generator) -> x"
        ) from error
    first = parameters[0]
    if first.name in NAMES and (second is None or second.name not in NAMES):
        raise TypeError(
            f"kernel: {_name(function)} takes {first.name} first, expected positions first, then the source of "
            f"randomness: lambda x, {first.name}: ..."
        )
    return second


def _library(parameter: inspect.Parameter) -> Backend:
    annotation = parameter.annotation
    if annotation in TYPES:
        return TYPES[annotation]
    if str(getattr(annotation, "__module__", "")).split(".")[0] in ("jax", "jaxlib"):
        return "jax"
    return NAMES.get(parameter.name, "torch")


def rounded(kernel: Kernel, x: Tensor) -> Tensor:
    """Exact draws with the digits that the kernel's positions have."""
    return kernel.rounded(x) if isinstance(kernel, FunctionKernel) else x


def name_of(kernel: Kernel) -> str:
    """What reports call a kernel: its class, or the function's name."""
    return _name(kernel.function) if isinstance(kernel, FunctionKernel) else type(kernel).__name__


def _name(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)
