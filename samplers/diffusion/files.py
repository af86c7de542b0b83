"""Learned samplers in files: everything but the target."""

from __future__ import annotations

import pickle
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator

from samplers.diffusion.record import pack_space, probes, unpack_space
from samplers.draws import Cost
from samplers.identity import Known, known
from samplers.networks.flow import FlowNetwork
from samplers.runs import checkpoint as checkpoints
from targets import Target

if TYPE_CHECKING:
    from samplers.diffusion.fitted import Fitted

FORMAT = "unnorm learned sampler 3"


def save(fitted: Fitted, path: Path) -> Path:
    """Write what `load` reads; returns the path."""
    method = fitted.method
    content = {
        "format": FORMAT,
        "method": _packed(method),
        "target": {"name": fitted.target.name, "dim": fitted.target.dim, "dtype": str(fitted.target.dtype)},
        "space": pack_space(fitted.space),
        "known": known(fitted.target, probes(fitted.space, fitted.target)).state_dict(),
        "measure": fitted.measure.state_dict(),
        "flow": fitted.measure.flow is not None,
        "move_steps": fitted.move_steps,
        "numbers": {"seed": fitted.seed, "iterations": fitted.iterations, "log_z": fitted.log_z},
        "history": fitted.history,
        "notes": fitted.notes,
        "evaluation": None if fitted.evaluation is None else asdict(fitted.evaluation),
        "untrained": None if fitted.untrained is None else asdict(fitted.untrained),
        "cost": asdict(fitted.cost),
    }
    checkpoints.save(path, content)
    return path


def load(path: str | Path, target: Target) -> Fitted:
    """The sampler that `Fitted.save` wrote, for its target, on the target's device.

    Raises FileNotFoundError, and ValueError for another file and for another target.
    """
    from samplers.diffusion.fitted import Fitted
    from samplers.path_measures.evaluation import Evaluation

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path: {path} does not exist")
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        known = content["format"] == FORMAT
    except (EOFError, KeyError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(f"path: {path} is not a file written by Fitted.save, or damaged ({error})") from error
    if not known:
        raise ValueError(f"path: {path} has the format {content['format']!r}, expected {FORMAT!r}")
    found = content["target"]
    for name, own in (("name", target.name), ("dim", target.dim)):
        if found[name] != own:
            raise ValueError(f"target: got the {name} {own!r}, expected {found[name]!r}, for which {path} was made")
    target = target.to(dtype=getattr(torch, found["dtype"].removeprefix("torch.")))
    method, space = _unpacked(content["method"]), unpack_space(content["space"], target)
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
    measure.control.speed_up(method.training.mixed_precision, method.training.compile)
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


def _packed(value: Any) -> Any:
    """A dataclass of this package by name and fields; a prior that was given is in the space, and stays out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            "class": type(value).__name__,
            "fields": {f.name: _packed(getattr(value, f.name)) for f in fields(value)},
        }
    if isinstance(value, Target):
        return None
    return value


def _unpacked(value: Any) -> Any:
    """What `_packed` was given."""
    if isinstance(value, dict) and value.keys() == {"class", "fields"}:
        import samplers.diffusion as package

        kind = getattr(package, value["class"], None)
        if kind is None:
            raise ValueError(
                f"path: the sampler was made with a {value['class']}, which samplers.diffusion does not have; files "
                "hold samplers and networks of this package alone"
            )
        return kind(**{name: _unpacked(item) for name, item in value["fields"].items()})
    return value
