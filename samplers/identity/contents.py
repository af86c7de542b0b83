"""What an object is made of, as digests: numbers, arrays, the code of functions, what they close over and look up.

The digest is that of the same object in another process: addresses, the order of dicts and sets, caches of properties
and what libraries are made of do not enter. Code enters as bytecode, so that comments and places in files do not.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from samplers.identity.bytecode import looked_up, of_code
from samplers.identity.fields import state_of
from samplers.identity.words import hashed, of_array, words

DEEPEST = 60
MOST = 200_000  # things looked at in one digest, some seconds; what comes after them is opaque
MANY = 20  # leaves from which an object that comes twice is named by its first place the second time
OPAQUE = "opaque"  # begins the word for what cannot be looked into
OBJECT = "an object of"  # begins the word for a key that holds other things
ALIAS = "cycle"
COMPILED = "compiled"  # the word for what torch.compile made
LIBRARIES = frozenset(
    ["torch", "numpy", "scipy", "pandas", "xarray", "jax", "jaxlib", "pyro", "numpyro", "samplers", "targets", "numba"]
)


def digest(value: Any) -> str:
    """One word for all that a value holds."""
    return hashed(repr(sorted(leaves(value).items())))


def leaves(value: Any) -> dict[str, str]:
    """Every number, array and piece of code that a value holds, as a word, by the way that leads there."""
    found: dict[str, str] = {}
    _Walk(found).visit(value, "", 0)
    return found


def opaque(found: Mapping[str, str]) -> bool:
    """Whether some of what was found could not be looked into."""
    return any(word.startswith(OPAQUE) for word in found.values())


class _Walk:
    def __init__(self, found: dict[str, str]) -> None:
        self.found = found
        self.looked_at = 0
        self.above: list[int] = []  # the ids of what is being looked into, which may lead back to itself
        self.met: dict[int, tuple[str, Any]] = {}  # by id, where it was met; held, so that no id is given again

    def visit(self, value: Any, way: str, depth: int) -> None:
        """Write down the value and what is in it."""
        try:
            word = _word(value)
        except Exception:  # an array of a kind that has no bytes, an object whose repr fails
            word = OPAQUE
        if word is not None:
            self.found[way] = word
            return
        if id(value) in self.above:
            self.found[way] = f"{ALIAS} {len(self.above) - self.above.index(id(value))}"
            return
        self.looked_at += 1
        if depth > DEEPEST or self.looked_at > MOST:
            self.found[way] = OPAQUE
            return
        if id(value) in self.met:
            self.found[way] = f"as {self.met[id(value)][0]}"
            return
        self.above.append(id(value))
        before = len(self.found)
        kept = []
        try:
            self.found[way], parts = _parts(value)
            for name, part in parts or ():
                kept.append(part)
                self.visit(part, f"{way}/{name}", depth + 1)
        except Exception:  # of the object's own code, such as a property that fails
            self.found[way] = OPAQUE
        self.above.pop()
        if len(self.found) - before > MANY:
            self.met[id(value)] = (way, value)


def _word(value: Any) -> str | None:
    """What needs no looking into."""
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value) if type(value) in (bool, int, type(None)) else f"{type(value).__qualname__} {value!r}"
    if isinstance(value, (str, bytes, bytearray, Enum, PurePath)):
        return f"{type(value).__qualname__} {hashed(words(value))}"
    if isinstance(value, (torch.dtype, torch.layout, torch.Size, slice, range, type(...), re.Pattern)):
        return words(value)
    if isinstance(value, torch.device):
        return "device"
    if isinstance(value, Generator):
        return of_array(value.get_state())
    if isinstance(value, Tensor) and type(value).__torch_dispatch__ is Tensor.__torch_dispatch__:
        return of_array(value)
    if isinstance(value, np.generic) and value.dtype != object:
        return f"{value.dtype} {value!r}"
    if type(value) is np.ndarray and value.dtype.hasobject is False:
        return of_array(value)
    if isinstance(value, (types.BuiltinFunctionType, np.ufunc)) and _of_library(getattr(value, "__self__", None)):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}"
    if isinstance(value, logging.Logger):
        return f"logger {value.name}"
    if isinstance(value, types.ModuleType) or (isinstance(value, type) and _of_library(value)):
        return f"{value.__name__} {getattr(value, '__module__', '')}"
    return None


Parts = Iterator[tuple[str, Any]]


def _parts(value: Any) -> tuple[str, Parts | None]:
    """The kind of a value that holds others, and those; the kind is opaque where nothing tells them."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if kind.startswith("__mp_main__."):
        kind = "__main__" + kind[len("__mp_main__") :]
    if isinstance(value, Mapping):
        return kind, _of_mapping(value)
    if isinstance(value, (list, tuple)):
        return kind, _numbered(value)
    if isinstance(value, (set, frozenset)):
        return kind, _of_set(value)
    if isinstance(value, np.ndarray):
        return f"{kind}{value.shape}", _numbered([value.dtype.str, *np.asarray(value).reshape(-1).tolist()])
    original = getattr(value, "_torchdynamo_orig_callable", None)
    if original is not None or type(value).__qualname__ == "OptimizedModule":
        return COMPILED, iter([("original", original or value._orig_mod)])
    if isinstance(value, functools.partial):
        return kind, iter([("function", value.func), ("given", value.args), ("named", value.keywords)])
    if isinstance(value, types.MethodType):
        return kind, iter([("function", value.__func__), ("self", value.__self__)])
    if isinstance(value, types.FunctionType):
        return f"function {value.__qualname__}", _of_function(value)
    if isinstance(value, types.BuiltinFunctionType):
        return f"method {value.__name__}", iter([("self", value.__self__)])
    if isinstance(value, (staticmethod, classmethod)) or hasattr(type(value), "__wrapped__"):
        return kind, iter([("function", value.__wrapped__)])
    if isinstance(value, property):
        return kind, iter([("get", value.fget)])
    if isinstance(value, functools.cached_property):
        return kind, iter([("get", value.func)])
    if isinstance(value, type):
        return f"class {value.__qualname__}", _of_class(value)
    if callable(getattr(value, "__wrapped__", None)) and type(value).__module__ == "functools":
        return kind, iter([("function", value.__wrapped__)])
    if kind.startswith("pandas.") and hasattr(value, "to_numpy"):
        return kind, _of_frame(value)
    if hasattr(value, "__array__") and not hasattr(value, "__torch_function__"):
        return kind, iter([("array", np.asarray(value))])
    return _of_object(value, kind)


def _numbered(values: Any) -> Parts:
    if all(type(one) in (int, float) for one in values):
        yield "all", repr(list(values))  # long lists of numbers at once
        return
    for index, one in enumerate(values):
        yield str(index), one


def _of_mapping(value: Mapping[Any, Any]) -> Parts:
    for place, (name, key) in enumerate(sorted(((_key(key), key) for key in value), key=lambda pair: pair[0])):
        if name.startswith(OBJECT):  # a way of its own, which two keys of one kind share otherwise
            name = f"{place} {name}"
            yield f"{name} key", key
        yield name, value[key]


def _of_set(value: set[Any] | frozenset[Any]) -> Parts:
    for place, (name, item) in enumerate(sorted(((_key(item), item) for item in value), key=lambda pair: pair[0])):
        yield str(place), item if name.startswith(OBJECT) else name


def _key(value: Any) -> str:
    """A key of a mapping or an item of a set as a word, by which they are sorted; of an object that of its kind."""
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, frozenset)):
        parts = sorted(map(_key, value)) if isinstance(value, frozenset) else [*map(_key, value)]
        return f"{OBJECT} " * any(part.startswith(OBJECT) for part in parts) + f"({','.join(parts)})"
    word = _word(value)
    if word is not None:
        return word
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{OBJECT} {named.__module__}.{named.__qualname__}"


def _of_frame(value: Any) -> Parts:
    yield "index", value.index.to_numpy() if hasattr(value, "index") else None
    if hasattr(value, "columns"):
        for place, name in enumerate(value.columns):
            yield f"{place} {name}", value.iloc[:, place].to_numpy()
    else:
        yield "values", value.to_numpy()


def _of_library(value: Any) -> bool:
    """Whether something is known by its name: a module or what one of the libraries defines."""
    if value is None or isinstance(value, types.ModuleType):
        return True
    if isinstance(value, str):
        root = value.split(".")[0]
        return root in LIBRARIES or root in sys.stdlib_module_names
    return isinstance(value, (type, types.FunctionType)) and _of_library(value.__module__ or "builtins")


def _of_function(value: types.FunctionType) -> Parts:
    cells = {name: _cell(cell) for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)}
    own = _of_library(value)
    if not own:
        yield "code", of_code(value.__code__)
        asked = looked_up(value.__code__)
        for name in sorted(asked.names):
            if name in value.__globals__:
                found = value.__globals__[name]
                yield f"global {name}", found
                if isinstance(found, types.ModuleType):
                    yield from _of_module(found, f"global {name}", value.__code__)
        for name in sorted(asked.modules):  # imported where it is called
            if isinstance(module := sys.modules.get(name), types.ModuleType):
                yield from _of_module(module, f"import {name}", value.__code__)
    for name in sorted(cells):
        yield f"closure {name}", cells[name]
    yield "defaults", value.__defaults__
    yield "named defaults", value.__kwdefaults__
    if value.__dict__ and not own:
        yield "attributes", {k: v for k, v in value.__dict__.items() if k != "__wrapped__"}


def _of_module(module: types.ModuleType, way: str, code: types.CodeType) -> Parts:
    """What the code may look up in a user's module."""
    if not _of_library(module.__name__):
        for attribute in sorted(looked_up(code).attributes):
            if hasattr(module, attribute):
                yield f"{way}.{attribute}", getattr(module, attribute)


def _cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _of_class(value: type) -> Parts:
    """The code of a user's class and of those that it comes from; annotations and the like do not enter."""
    yield "bases", [base for base in value.__mro__[1:] if base is not object]
    for name in sorted(vars(value)):
        item = vars(value)[name]
        kept = not name.startswith("__") or isinstance(item, types.FunctionType)
        slot = isinstance(item, (types.MemberDescriptorType, types.GetSetDescriptorType))
        if kept and not slot and not name.startswith("_abc_"):
            yield name, item


def _of_object(value: Any, kind: str) -> tuple[str, Parts | None]:
    state = state_of(value)
    if state is None:
        return f"{OPAQUE} {kind}", None
    return kind, iter([("class", type(value)), ("state", state)])
