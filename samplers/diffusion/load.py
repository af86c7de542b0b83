"""Learned samplers from files, for the targets that they were made for."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Generator

from samplers.diffusion.fitted import FORMAT, Fitted
from samplers.diffusion.gradient import Objective
from samplers.diffusion.method import LearnedMethod
from samplers.diffusion.replay import Replay
from samplers.diffusion.settings import Training
from samplers.diffusion.space import Space
from samplers.draws import Cost
from samplers.identity import Known
from samplers.learning.files import read
from samplers.learning.packing import members, unpacked
from samplers.networks import NetworkSpec
from samplers.path_measures.evaluation import Evaluation
from targets import Target

FAMILIES = (LearnedMethod, Objective, NetworkSpec, Training, Replay)


def load(path: str | Path, target: Target) -> Fitted:
    """The sampler that `Fitted.save` wrote, for its target, on the target's device.

    Raises FileNotFoundError, and ValueError for another file and for another target.

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> target = targets.Gaussian([0.0, 1.0])
        >>> fitted = samplers.DDS(steps=4).fit(target, iterations=0, progress=False)
        >>> with TemporaryDirectory() as folder:
        ...     path = fitted.save(Path(folder) / "dds.pt")
        ...     again = samplers.load(path, target)
        >>> torch.equal(again.sample(draws=5, seed=1).x, fitted.sample(draws=5, seed=1).x)
        True
    """
    content = read(path, FORMAT, "Fitted.save")
    found = content["target"]
    for name, own in (("name", target.name), ("dim", target.dim)):
        if found[name] != own:
            raise ValueError(f"target: got the {name} {own!r}, expected {found[name]!r}, for which {path} was made")
    target = target.to(dtype=getattr(torch, found["dtype"].removeprefix("torch.")))
    method = unpacked(content["method"], members(*FAMILIES), "samplers.diffusion")
    space = Space.of_state(content["space"], target)
    other = Known.from_state(content["known"]).other(target)
    if other is not None:
        raise ValueError(
            f"target: got a {target.name} whose log-density at the points of {path}, or what it is made of, is not "
            f"that of the one for which it was made: {other}; for another density take load(...).with_target(target)"
        )
    generator = Generator(target.device).manual_seed(0)
    measure = method.measure(space, space.seen(target), generator, flow=content["flow"])
    measure.load_state_dict(content["measure"])
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
