"""The code of a function: a word for what it does, and the names that it looks up."""

from __future__ import annotations

import dis
import functools
import types
from typing import Any, NamedTuple

from samplers.identity.words import hashed, words


class LookedUp(NamedTuple):
    """The globals that code looks up, the attributes, and the modules that it imports, nested functions included."""

    names: frozenset[str]
    attributes: frozenset[str]
    modules: frozenset[str]


@functools.cache
def looked_up(code: types.CodeType) -> LookedUp:
    """By its instructions."""
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
            inner = looked_up(constant)
            names |= inner.names
            attributes |= inner.attributes
            modules |= inner.modules
    return LookedUp(frozenset(names), frozenset(attributes), frozenset(modules))


def of_code(code: types.CodeType) -> str:
    """Bytecode with its constants and names, as a word; not where it stands, and no docstring's change is missed."""
    constants = [of_code(one) if isinstance(one, types.CodeType) else _constant(one) for one in code.co_consts]
    return hashed(f"{code.co_code!r}{constants}{code.co_names}{code.co_varnames}{code.co_freevars}")


def _constant(value: Any) -> str:
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(_constant, value))}"
    return words(value)
