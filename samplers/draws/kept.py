"""What a file or a folder of draws holds beside the points: the record of a run, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from samplers.draws.certificate import Certificate
from samplers.draws.cost import Cost
from samplers.draws.log_z import LogZ
from samplers.draws.moments import RunningMoments
from samplers.draws.points import PointSet
from targets.sampling_warning import overheard

AnyDraws = TypeVar("AnyDraws", bound=PointSet)
P = ParamSpec("P")

CERTIFICATE, DIVERGENCES = "certificate", "divergences_by_chain"


def record(draws: PointSet) -> dict[str, Any]:
    """The attributes of draws with all that `fields` and `certificate` need, in plain values."""
    kept = draws.attrs | {"cost": asdict(draws.cost)}
    if draws.log_z is not None:
        kept["log_z"] = dict(draws.log_z.__dict__)
    if draws.divergences is not None:
        kept[DIVERGENCES] = draws.divergences.tolist()
    if CERTIFICATE in draws.__dict__:  # else it has not been made
        kept[CERTIFICATE] = dict(draws.__dict__[CERTIFICATE].__dict__)
    return kept


def fields(kept: dict[str, Any]) -> dict[str, Any]:
    """The fields of draws that a record tells."""
    of_their_own = {"cost", "log_z", DIVERGENCES, CERTIFICATE}
    log_z, divergences = kept.get("log_z"), kept.get(DIVERGENCES)
    return {
        "attrs": {name: value for name, value in kept.items() if name not in of_their_own},
        "cost": Cost(**kept.get("cost", {})),
        "log_z": None if log_z is None else LogZ.from_record(log_z),
        "divergences": None if divergences is None else torch.tensor(divergences, dtype=torch.int64),
    }


def certified(draws: AnyDraws, kept: dict[str, Any]) -> AnyDraws:
    """The draws with the certificate of a record, where it has one."""
    if kept.get(CERTIFICATE) is not None:
        draws.__dict__[CERTIFICATE] = Certificate.from_record(kept[CERTIFICATE])
    return draws


def remembering(sample: Callable[P, AnyDraws]) -> Callable[P, AnyDraws]:
    """A verb whose draws keep what it has warned of on its way, by a pilot or in training too."""

    @wraps(sample)
    def kept(*args: P.args, **options: P.kwargs) -> AnyDraws:
        with overheard() as said:
            draws = sample(*args, **options)
        draws.remember(said)
        return draws

    return kept


def listed(moments: RunningMoments) -> dict[str, Any]:
    """Running moments in plain values, to the last digit."""
    state = moments.state_dict()
    return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in state.items()}


def moments(state: dict[str, Any]) -> RunningMoments:
    """What `listed` was given."""
    values = {name: torch.tensor(state[name], dtype=torch.float64) for name in ("mean", "squares")}
    made = RunningMoments(len(values["mean"]), dense=values["squares"].ndim == 2)
    made.load_state_dict({"count": int(state["count"]), **values})
    return made
