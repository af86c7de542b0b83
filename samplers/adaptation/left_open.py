"""What a kernel leaves to be found: by warmup, or at every temperature of an annealed run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class LeftOpen:
    """step_size, trajectory_length: whether they are to be found. mass: "auto", "diagonal" or "dense", None if given.
    metric: "diagonal", "low-rank" or "dense" where it is to be found from draws and scores; mass is then None.

    Asked of the fields that a kernel has, whatever its class: step_size=None is to be tuned where the kernel declares
    a target_acceptance, trajectory_length=None where steps are open too. A step size that is given leaves the mass
    matrix open: the identity is asked for by name.
    """

    step_size: bool
    mass: str | None
    trajectory_length: bool
    metric: str | None = None

    @classmethod
    def of(cls, kernel: Any) -> Self:
        """That of a kernel."""
        given = {field.name: getattr(kernel, field.name) for field in fields(kernel)}
        step, mass = given.get("step_size", "none"), given.get("inverse_mass_matrix")
        metric = given.get("metric")
        if not isinstance(mass, str) or mass == "identity" or metric is not None:
            mass = None
        length = given.get("trajectory_length", "none") is None and given.get("steps") is None
        return cls(step is None and kernel.target_acceptance is not None, mass, length, metric)
