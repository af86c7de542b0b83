"""Samplers with options, and which options the verb `sample` takes, whatever kind of callable it is."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samplers.draws.draws import Sampler

Choice = Sampler | tuple[Sampler, Mapping[str, Any]]  # alone, or with options of its own for `sample`
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Taken:
    """names: those it lists; others: whether it may take more, by `**options` or because Python cannot tell."""

    names: frozenset[str]
    others: bool

    def __contains__(self, name: str) -> bool:
        return self.others or name in self.names


def taken_by(sampler: Sampler) -> Taken:
    """The options that can be given by name; the target, which goes first, is none."""
    try:
        parameters = list(inspect.signature(sampler.sample).parameters.values())
    except (TypeError, ValueError):  # compiled code
        return Taken(frozenset(), True)
    if parameters and parameters[0].kind in (inspect.Parameter.POSITIONAL_ONLY, BY_NAME[0]):
        parameters = parameters[1:]
    names = frozenset(one.name for one in parameters if one.kind in BY_NAME)
    return Taken(names, any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters))
