"""A torch target as JAX sees it.

    log p(x), grad log p(x)    by a callback to torch, from one evaluation, for all chains of a `jax.vmap` in one batch

`jax.grad` of the JAX function is the target's own score (`jax.custom_vjp`): nothing is differentiated twice. Every
point that JAX asks for is counted. Vectorised NUTS runs all chains until the last has built its tree and evaluates
those that are done along with it; these evaluations were computed and are counted like the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from targets import Target
from targets.jax_density import precision

PRECISIONS = {torch.float64: np.float64, torch.float32: np.float32}


class Bridge:
    """A target for JAX; float64 within `precision()` where the target's dtype is float64.

    An error in the target leaves JAX's loops no way out but through its machinery, which would bury it. It is kept, all
    further values are NaN without an evaluation, so that a loop runs out quickly, and `run` raises the error as it was.
    """

    def __init__(self, target: Target) -> None:
        if target.dtype not in PRECISIONS:
            raise TypeError(
                f"dtype: got {target.dtype}, expected torch.float64 or torch.float32, which JAX computes in"
            )
        self.target, self.dtype = target, PRECISIONS[target.dtype]
        # Numbers cross as words of 32 bits: a callback has a thread of its own, in which JAX is back in its usual
        # precision and would round them
        self.words: tuple[int, ...] = (2,) if self.dtype is np.float64 else ()
        self.error: BaseException | None = None
        self.compile_seconds = 0.0

    def precision(self) -> AbstractContextManager[Any]:
        """A context in which JAX computes in the target's precision, whatever it does outside."""
        return precision(self.dtype is np.float64)

    def log_prob(self) -> Callable[[Any], Any]:
        """The log-density as a function of one point, (dim,) -> (), to be vectorised and differentiated by JAX."""
        import jax

        def call(function: Callable[[np.ndarray], np.ndarray], numbers: int, x: Any) -> Any:
            shape = jax.ShapeDtypeStruct((numbers, *self.words), np.uint32)
            words = jax.pure_callback(
                function, shape, jax.lax.bitcast_convert_type(x, np.uint32), vmap_method="expand_dims"
            )
            return jax.lax.bitcast_convert_type(words, self.dtype)

        @jax.custom_vjp
        def log_prob(x: Any) -> Any:
            return call(self._values, 1, x)[0]

        def forward(x: Any) -> Any:
            found = call(self._values_and_scores, 1 + self.target.dim, x)
            return found[0], found[1:]

        def backward(score: Any, cotangent: Any) -> Any:
            return (cotangent * score,)

        log_prob.defvjp(forward, backward)
        return log_prob

    def compile(self, function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        """The function compiled for these arguments; `compile_seconds` says how long that took."""
        import jax

        began = time.perf_counter()
        compiled = jax.jit(function).lower(*arguments).compile()
        self.compile_seconds += time.perf_counter() - began

        def run(*arguments: Any) -> Any:
            found = jax.block_until_ready(compiled(*arguments))
            if self.error is not None:
                raise self.error
            return found

        return run

    # Called by JAX. No JAX in here: its threads wait for these functions, and would wait for one another

    def _values(self, words: Any) -> np.ndarray:
        return self._answers(words, 1, lambda x: self.target.log_prob(x)[:, None])

    def _values_and_scores(self, words: Any) -> np.ndarray:
        def both(x: Tensor) -> Tensor:
            value, score = self.target.log_prob_and_score(x)
            return torch.cat([value[:, None], score], 1)

        return self._answers(words, 1 + self.target.dim, both)

    def _answers(self, words: Any, numbers: int, function: Callable[[Tensor], Tensor]) -> np.ndarray:
        """`function`, (n, dim) -> (n, numbers), at the points in (*batch, dim, *words); (*batch, numbers, *words)."""
        words = np.ascontiguousarray(words)
        batch = words.shape[: words.ndim - 1 - len(self.words)]
        points = words.view(self.dtype).reshape(-1, self.target.dim)
        answers = np.full((len(points), numbers), np.nan, self.dtype)
        if self.error is None:
            try:
                with torch.no_grad():
                    answers[:] = to_numpy(function(from_numpy(points, self.target)), self.dtype)
            except BaseException as error:
                self.error = error
        return answers.view(np.uint32).reshape(*batch, numbers, *self.words)


def key(seed: int) -> Any:
    """JAX's key for a seed of any size; `jax.random.key` forgets the upper half of a long one in single precision."""
    import jax

    return jax.random.wrap_key_data(np.random.SeedSequence(seed).generate_state(2), impl="threefry2x32")


def from_numpy(x: Any, target: Target) -> Tensor:
    """A copy as a tensor of the target's dtype, on its device."""
    return torch.from_numpy(np.array(x)).to(device=target.device, dtype=target.dtype)


def to_numpy(x: Tensor, dtype: Any) -> np.ndarray:
    """The values on the CPU."""
    return x.detach().cpu().numpy().astype(dtype, copy=False)


def as_tensor(x: Any, target: Target) -> Tensor:
    """A copy of an array of any dtype as a tensor on the target's device."""
    return torch.from_numpy(np.array(x)).to(target.device)
