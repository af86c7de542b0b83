"""Learned samplers from files, for the targets that they were made for."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Generator

from samplers.diffusion.fitted import Fitted
from samplers.diffusion.learned_sampler import LearnedSampler
from samplers.diffusion.objectives import Objective
from samplers.diffusion.packing import FORMAT, unpack_space
from samplers.diffusion.replay import Replay
from samplers.diffusion.training import Training
from samplers.draws import Cost
from samplers.identity import Known
from samplers.learning.files import read
from samplers.learning.packing import unpacked
from samplers.networks import NetworkSpec
from samplers.networks.flow import FlowNetwork
from samplers.path_measures.evaluation import Evaluation
from targets import Target

SETTINGS = (Replay, Training)


def kinds() -> dict[str, type]:
    """Every class of this package that a file may hold, by name."""
    found: list[type] = list(SETTINGS)
    waiting: list[type] = [LearnedSampler, Objective, NetworkSpec]
    while waiting:
        below = [kind for kind in waiting.pop().__subclasses__() if kind.__module__.startswith("samplers.")]
        found += below
        waiting += below
    return {kind.__name__: kind for kind in found}


def load(path: str | Path, target: Target) -> Fitted:
    """The sampler that `Fitted.save` wrote, for its target, on the target's device.

    Raises FileNotFoundError, and ValueError for another file and for another target.
    """
    content = read(path, FORMAT, "Fitted.save")
    found = content["target"]
    for name, own in (("name", target.name), ("dim", target.dim)):
        if found[name] != own:
            raise ValueError(f"target: got the {name} {own!r}, expected {found[name]!r}, for which {path} was made")
    target = target.to(dtype=getattr(torch, found["dtype"].removeprefix("torch.")))
    method, space = unpacked(content["method"], kinds(), "samplers.diffusion"), unpack_space(content["space"], target)
    other = Known.from_state(content["known"]).other(target)
    if other is not None:
        raise ValueError(
            f"target: got a {target.name} whose log-density at the points of {path}, or what it is made of, is not "
            f"that of the one for which it was made: {other}; for another density take load(...).with_target(target)"
        )
    generator = Generator(target.device).manual_seed(0)
    measure = method.build(space, space.seen(target), generator)
    if content["flow"]:
        measure.flow = FlowNetwork(target.dim, generator)
    measure.to(device=target.device, dtype=target.dtype)
    measure.load_state_dict(content["measure"])
    measure.speed_up(method.training.mixed_precision, method.training.compile)
    evaluation, untrained = content["evaluation"], content["untrained"]
    return Fitted(
        method=method,
        target=target,
        space=space,
        measure=measure.requires_grad_(False),
        **content["numbers"],
        history=content["history"],
        move_steps=content["move_steps"],
        notes=content["notes"],
        evaluation=None if evaluation is None else Evaluation(**evaluation),
        untrained=None if untrained is None else Evaluation(**untrained),
        cost=Cost(**content["cost"]),
    )
