"""Settings as tensors and plain values, for checkpoints and files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from targets import MRFNoise, Target
from targets.noise import CorrelatedNoise, IsotropicNoise


def packed(value: Any) -> Any:
    """A dataclass of this package by name and fields, noise by its covariance or the couplings that it is made of; a
    target is kept elsewhere."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            "class": type(value).__name__,
            "fields": {f.name: packed(getattr(value, f.name)) for f in fields(value) if f.init},
        }
    if isinstance(value, tuple) and not all(isinstance(item, (int, float)) for item in value):
        return [packed(item) for item in value]
    if isinstance(value, IsotropicNoise):
        return {"class": "IsotropicNoise", "fields": {"sigma": value.sigma}}
    if isinstance(value, CorrelatedNoise):
        assert value.dim is not None
        variances = value.variances(value.dim)
        covariance = value.covariance(value.dim) if variances is None else variances
        return {"class": "CorrelatedNoise", "fields": {"covariance": covariance}}
    if isinstance(value, MRFNoise):
        return {"class": "MRFNoise", "fields": value.state()}
    if isinstance(value, Target):
        return None
    return value


def members(*families: type) -> dict[str, type]:
    """The classes of this package that are of these families and can be made, by name."""
    found: dict[str, type] = {}
    for kind in families:
        found |= members(*kind.__subclasses__())
        if kind.__module__.startswith("samplers.") and not inspect.isabstract(kind):
            found[kind.__name__] = kind
    return found


def unpacked(value: Any, kinds: Mapping[str, Callable[..., Any]], package: str) -> Any:
    """What `packed` was given, of these classes by name, which the package has; ValueError for another one."""
    if isinstance(value, list):
        return [unpacked(item, kinds, package) for item in value]
    if isinstance(value, dict) and value.keys() == {"class", "fields"}:
        if value["class"] not in kinds:
            raise ValueError(
                f"path: the sampler was made with a {value['class']}, which {package} does not have; files hold what "
                "this package has alone"
            )
        return kinds[value["class"]](**{name: unpacked(item, kinds, package) for name, item in value["fields"].items()})
    return value
