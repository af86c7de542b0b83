"""Samplers by the names that the command line uses, and targets by benchmark name or from a user's file."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import samplers
from samplers import generative, peers
from samplers.diffusion import LearnedSampler
from samplers.draws import Draws, Sampler
from samplers.generative import ScoreDiffusion
from samplers.generative.bridges.fitted import FORMAT as BRIDGE
from samplers.generative.conditional import ConditionalDiffusion
from samplers.generative.trained import FORMAT
from samplers.learning.files import read
from targets import Target, benchmark, benchmarks

SHORT = {
    "BlackjaxTemperedSMC": "blackjax-smc",
    "RandomWalkMetropolis": "random-walk",
    "UnderdampedLangevin": "underdamped",
}


def _by_name() -> dict[str, Callable[..., Sampler]]:
    """Every public sampler that can be made without arguments: AnnealedLangevin is annealed-langevin."""
    found: dict[str, Callable[..., Sampler]] = {}
    for package in (samplers, peers):
        for name in package.__all__:
            kind = getattr(package, name)
            if not isinstance(kind, type) or not hasattr(kind, "sample") or inspect.isabstract(kind):
                continue
            if all(argument.default is not argument.empty for argument in inspect.signature(kind).parameters.values()):
                found[SHORT.get(name) or re.sub("(?<=[a-z])(?=[A-Z])", "-", name).lower()] = kind
    return dict(sorted(found.items()))


SAMPLERS = _by_name()


def sampler(name: str, settings: list[str] | None = None) -> Sampler:
    """The sampler of that name, with hyper-parameters from "key=value" texts; ValueError for unknown ones."""
    if name not in SAMPLERS:
        near = difflib.get_close_matches(name, SAMPLERS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"sampler: no sampler {name!r}{hint} Known: {', '.join(SAMPLERS)}")
    values: dict[str, Any] = {}
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set: got {setting!r}, expected key=value")
        try:
            values[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[key] = text
    try:
        return SAMPLERS[name](**values)
    except TypeError as error:
        raise ValueError(f"--set: {name} does not take these settings ({error})") from error


LEARNED = (LearnedSampler, ScoreDiffusion)


def learned_sampler(name: str, settings: list[str] | None = None) -> LearnedSampler | ScoreDiffusion:
    """The sampler of that name, if it is one that is trained; ValueError with those that are."""
    found = sampler(name, settings)
    if not isinstance(found, LEARNED):
        names = [name for name, kind in SAMPLERS.items() if isinstance(kind, type) and issubclass(kind, LEARNED)]
        raise ValueError(f"--sampler: {name} is not trained before it draws, expected one of {', '.join(names)}")
    return found


def draw_from_file(path: Path, target: Target, **options: Any) -> Draws:
    """Weighted draws for the target by a sampler that was trained, or a bridge, that was written to a file."""
    if read(path, None, "`unnorm fit`")["format"] in (FORMAT, BRIDGE):
        model = generative.load(path, target.device)
        if isinstance(model, ConditionalDiffusion):
            raise ValueError(f"path: {path} holds a conditional model, whose law of x is known given a condition alone")
        return model.weigh(target, **options)
    return samplers.load(path, target).sample(**options)


def load_target(text: str) -> Target:
    """A benchmark by name, or the Target (or function that returns one) `name` of a user's file as `file.py:name`."""
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py"):
        if text.endswith(".py"):
            raise ValueError(f"target: got {text!r}, expected {text}:NAME with the name of a Target in that file")
        return benchmark(text)
    if not Path(path).exists():
        raise ValueError(f"target: {path} does not exist")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise ValueError(f"target: {path} defines no {name!r}")
    found = getattr(module, name)
    found = found() if callable(found) and not isinstance(found, Target) else found
    if not isinstance(found, Target):
        raise ValueError(f"target: {text} is a {type(found).__name__}, expected a targets.Target")
    found.name = name
    return found


def descriptions() -> list[tuple[str, str, str]]:
    """(kind, name, description) of everything that can be named."""
    rows = [("target", name, entry.description) for name, entry in benchmarks().items()]
    rows += [("sampler", name, (kind.__doc__ or "").partition("\n")[0]) for name, kind in SAMPLERS.items()]
    return rows
