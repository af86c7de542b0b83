"""Samplers by the names that the command line uses, and targets by benchmark name or from a user's file."""

from __future__ import annotations

import ast
import difflib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samplers.annealing import AIS, SMC, AnnealedLangevin, ParallelTempering
from samplers.diffusion import CMCD, DDS, DIS, MCD, PIS, SCLD, LearnedSampler
from samplers.draws import Sampler
from samplers.kernels import (
    HMC,
    MALA,
    ULA,
    DiscreteLangevin,
    Gibbs,
    GibbsWithGradients,
    RandomWalkMetropolis,
    SwendsenWang,
    UnderdampedLangevin,
    Wolff,
)
from samplers.particles import GFSD, GFSF, SVGD, Blob
from samplers.peers import BlackjaxNUTS, BlackjaxTemperedSMC, Emcee, NumpyroNUTS
from samplers.smoothing import SLIPS, DiffusiveGibbs, JointMultimeasurement, SequentialMultimeasurement, WalkJump
from targets import Target, benchmark, benchmarks

SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "ais": AIS,
    "annealed-langevin": AnnealedLangevin,
    "blackjax-nuts": BlackjaxNUTS,
    "blackjax-smc": BlackjaxTemperedSMC,
    "blob": Blob,
    "cmcd": CMCD,
    "dds": DDS,
    "diffusive-gibbs": DiffusiveGibbs,
    "dis": DIS,
    "discrete-langevin": DiscreteLangevin,
    "emcee": Emcee,
    "gfsd": GFSD,
    "gfsf": GFSF,
    "gibbs": Gibbs,
    "gibbs-with-gradients": GibbsWithGradients,
    "hmc": HMC,
    "joint-multimeasurement": JointMultimeasurement,
    "mala": MALA,
    "mcd": MCD,
    "numpyro-nuts": NumpyroNUTS,
    "parallel-tempering": ParallelTempering,
    "pis": PIS,
    "random-walk": RandomWalkMetropolis,
    "scld": SCLD,
    "sequential-multimeasurement": SequentialMultimeasurement,
    "slips": SLIPS,
    "smc": SMC,
    "svgd": SVGD,
    "swendsen-wang": SwendsenWang,
    "ula": ULA,
    "underdamped": UnderdampedLangevin,
    "walk-jump": WalkJump,
    "wolff": Wolff,
}


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


def learned_sampler(name: str, settings: list[str] | None = None) -> LearnedSampler:
    """The sampler of that name, if it is one that is trained; ValueError with those that are."""
    found = sampler(name, settings)
    if not isinstance(found, LearnedSampler):
        names = [name for name, kind in SAMPLERS.items() if isinstance(kind, type) and issubclass(kind, LearnedSampler)]
        raise ValueError(f"--sampler: {name} is not trained before it draws, expected one of {', '.join(names)}")
    return found


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
