"""What a density does at a few points: its torch operations in order, with the numbers and constant tensors in them.

Two functions that do the same to x are the same density, whatever they are called, wrapped in, or count on the side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from samplers.identity.contents import leaves
from samplers.identity.words import of_array

# by these the values at x leave torch, and what is done with them is not seen
WAYS_OUT = {"numpy", "__array__", "tolist", "item", "__float__", "__int__", "__index__", "__dlpack__", "data_ptr"}


class Steps(TorchFunctionMode):
    """While it is entered, every torch operation is noted; `word(result)` then tells them, or None where x got away."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self._hash = hashlib.sha256()
        self._numbers = WeakIdKeyDictionary()  # of each result in the order they came
        self._from_x = WeakIdKeyDictionary()
        self._constants = WeakIdKeyDictionary()
        self._escaped = False
        self._transformed = False  # by vmap or grad, whose result comes back without an operation
        self._count = 0
        self._keep(x, True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(getattr(func, "__qualname__", getattr(func, "__name__", type(func).__qualname__)))
        given = [*args, *kwargs.values()]
        derived = any(self._derived(one) for one in _tensors(given))
        if derived and name.rsplit(".", 1)[-1] in WAYS_OUT:
            self._escaped = True
        try:
            words = [name, *map(self._word, args), *(f"{key}={self._word(kwargs[key])}" for key in sorted(kwargs))]
        except Exception:  # an argument that cannot be told in words must not end the run
            self._escaped, words = True, [name]
        result = func(*args, **kwargs)
        results = list(_tensors([result]))
        if results or any(True for _ in _tensors(given)):
            self._hash.update("\0".join(words).encode())
        for one in results:
            self._keep(one, derived)
        return result

    def follow(self, function: Callable[[Tensor], Any], x: Tensor) -> None:
        """Take note of another function's operations too; where it fails, they are not seen."""
        try:
            function(x)
        except Exception:  # it will fail again where it is needed, and say why
            self._escaped = True

    def word(self, result: Any) -> str | None:
        """The operations as a word; None where the result did not come from x by operations of torch alone."""
        if self._escaped or not isinstance(result, Tensor) or not (self._transformed or result in self._from_x):
            return None
        return self._hash.hexdigest()[:32]

    def _keep(self, tensor: Tensor, derived: bool) -> None:
        if tensor not in self._numbers:
            self._numbers[tensor] = self._count
            self._count += 1
        if derived:
            self._from_x[tensor] = True

    def _derived(self, tensor: Tensor) -> bool:
        if tensor in self._from_x:
            return True
        within = tensor not in self._numbers and _within_transform(tensor)
        self._transformed |= within
        return within

    def _word(self, value: Any) -> str:
        if isinstance(value, Tensor):
            if value in self._numbers:
                return f"#{self._numbers[value]}"
            if _within_transform(value):
                return "x"
            if value not in self._constants:
                self._constants[value] = of_array(value)
            return self._constants[value]
        if type(value) in (list, tuple) and any(True for _ in _tensors([value])):
            return f"[{','.join(map(self._word, value))}]"
        if callable(value) and not isinstance(value, np.ndarray):
            return getattr(value, "__qualname__", type(value).__qualname__)
        return repr(sorted(leaves(value).items()))


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for one in values:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, (list, tuple)) and not all(type(item) in (int, float) for item in one):
            yield from _tensors(one)
        elif isinstance(one, dict):
            yield from _tensors(one.values())


def _within_transform(tensor: Tensor) -> bool:
    """Whether it is a tensor of vmap or grad, which stands for x and holds no values of its own."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))
