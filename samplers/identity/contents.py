"""What an object is made of, as digests: numbers, arrays, the code of functions, what they close over and look up.

The digest is that of the same object in another process: addresses, the order of dicts and sets, caches of properties
and what libraries are made of do not enter. Code enters as bytecode, so that comments and places in files do not.
"""

from __future__ import annotations

import dis
import functools
import hashlib
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
from torch.distributions import Distribution
from torch.distributions.utils import lazy_property

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
SKIPPED = {"name", "device"}  # of targets: compared as such, or free to change


def digest(value: Any) -> str:
    """One word for all that a value holds."""
    return _hash(repr(sorted(leaves(value).items())))


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


def _hash(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:32]


def words(value: Any) -> str:
    """repr without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def of_array(value: Tensor | np.ndarray) -> str:
    """An array's dtype, shape and bytes as a word, whatever device it is on."""
    if isinstance(value, Tensor):
        value = value.detach()
        if value.layout != torch.strided:
            value = value.to_dense()
        kind, shape = str(value.dtype).removeprefix("torch."), tuple(value.shape)
        value = value.resolve_conj().resolve_neg().cpu()
        if value.dtype == torch.bfloat16:  # which numpy does not know
            value = value.float()
        return f"{kind}{shape}{_hash(value.numpy().tobytes())}"
    return f"{value.dtype}{value.shape}{_hash(np.ascontiguousarray(value).tobytes())}"


def _word(value: Any) -> str | None:
    """What needs no looking into."""
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value) if type(value) in (bool, int, type(None)) else f"{type(value).__qualname__} {value!r}"
    if isinstance(value, (str, bytes, bytearray, Enum, PurePath)):
        return f"{type(value).__qualname__} {_hash(words(value))}"
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
        looked_up = _names(value.__code__)
        for name in sorted(looked_up):
            if name in value.__globals__:
                found = value.__globals__[name]
                yield f"global {name}", found
                if isinstance(found, types.ModuleType):
                    yield from _of_module(found, f"global {name}", value.__code__)
        for name in sorted(_instructions(value.__code__)[2]):  # imported where it is called
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
        for attribute in sorted(_attributes(code)):
            if hasattr(module, attribute):
                yield f"{way}.{attribute}", getattr(module, attribute)


def _cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


@functools.cache
def _instructions(code: types.CodeType) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The globals that code looks up, the attributes, and the modules that it imports."""
    names: set[str] = set()
    attributes: set[str] = set()
    modules: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(str(instruction.argval))
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"):
            attributes.add(str(instruction.argval))
        elif instruction.opname == "IMPORT_NAME":
            modules.add(str(instruction.argval))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _instructions(constant)
            names |= inner[0]
            attributes |= inner[1]
            modules |= inner[2]
    return frozenset(names), frozenset(attributes), frozenset(modules)


def _names(code: types.CodeType) -> frozenset[str]:
    """The globals that a function's code looks up, nested functions included."""
    return _instructions(code)[0]


def _attributes(code: types.CodeType) -> frozenset[str]:
    return _instructions(code)[1]


def of_code(code: types.CodeType) -> str:
    """Bytecode with its constants and names, as a word; not where it stands, and no docstring's change is missed."""
    constants = [of_code(one) if isinstance(one, types.CodeType) else _constant(one) for one in code.co_consts]
    return _hash(f"{code.co_code!r}{constants}{code.co_names}{code.co_varnames}{code.co_freevars}")


def _constant(value: Any) -> str:
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(_constant, value))}"
    return words(value)


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
    state = _state(value)
    if state is None:
        return f"{OPAQUE} {kind}", None
    return kind, iter([("class", type(value)), ("state", state)])


def _state(value: Any) -> Any:
    """The fields of an object, or what it would be copied by; None where neither is told."""
    kind = type(value)
    fields = dict(getattr(value, "__dict__", None) or {})
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                fields[slot] = getattr(value, slot)
    if fields or (hasattr(value, "__dict__") and _plain(kind)):
        return {name: item for name, item in fields.items() if not _cache(value, name, fields)}
    try:
        copied = value.__reduce_ex__(2)
    except Exception:  # locks, files, sockets, objects of C: they say that they cannot be copied
        return None
    if isinstance(copied, str):
        return copied
    return [list(part) if isinstance(part, Iterator) else part for part in copied]


def _plain(kind: type) -> bool:
    """Whether all classes that an object comes from are written in Python, so that no fields means none at all."""
    return all(base is object or not base.__flags__ & (1 << 8) for base in kind.__mro__)


def _cache(value: Any, name: str, fields: Mapping[str, Any]) -> bool:
    """Whether a field only keeps what follows from others."""
    from targets import Target

    if isinstance(value, Target) and name in SKIPPED:
        return True
    made = getattr(type(value), name, None)
    if isinstance(value, Distribution) and isinstance(getattr_static(type(value), name), lazy_property):
        return "_param" in fields or "_unbroadcasted_scale_tril" in fields
    return isinstance(made, functools.cached_property)


def getattr_static(kind: type, name: str) -> Any:
    """The class attribute itself, descriptors unasked."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None
