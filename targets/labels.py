"""Names, dims and coordinate labels as ArviZ and netCDF can hold them, checked when a target is made."""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from targets.arguments import did_you_mean, shown

RESERVED = ("chain", "draw")

Shapes = Mapping[str, tuple[int, ...]]


def check_name(name: object, argument: str) -> str:
    """A name that ArviZ and netCDF can hold, or an error that names the argument."""
    if not isinstance(name, str):
        raise TypeError(f"{argument}: got the name {name!r}, expected a string")
    if not name.strip() or name != name.strip() or "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError(
            f"{argument}: got the name {name!r}, expected one without '/' and without spaces around it, which netCDF "
            "cannot hold"
        )
    if name in RESERVED:
        raise ValueError(f"{argument}: got the name {name!r}, which ArviZ keeps for the axes of draws; rename it")
    return name


def read_coords(coords: object) -> dict[str, list[Any]]:
    """Labels of each dim as plain lists."""
    if coords is None:
        return {}
    if not isinstance(coords, Mapping):
        raise TypeError(f"coords: got {type(coords).__name__}, expected a dict from dims to labels")
    return {check_name(dim, "coords"): _labels(labels, f"coords[{dim!r}]") for dim, labels in coords.items()}


def read_dims(dims: object, shapes: Shapes) -> dict[str, tuple[str, ...]]:
    """Names of the axes of quantities, of which the shapes are given; one word is the name of one axis."""
    if dims is None:
        return {}
    if not isinstance(dims, Mapping):
        raise TypeError(f'dims: got {type(dims).__name__}, expected a dict such as {{"effect": "school"}}')
    read = {}
    for name, axes in dims.items():
        if name not in shapes:
            raise ValueError(
                f"dims: got {name!r}, which is not derived, observed or predicted{did_you_mean(str(name), shapes)} "
                "Parameters have dims= of their own"
            )
        read[name] = (axes,) if isinstance(axes, str) else tuple(axes)
        if len(read[name]) != len(shapes[name]):
            raise ValueError(
                f"dims[{name!r}]: got {read[name]} for the shape {shapes[name]} of one draw, expected one name per axis"
            )
    return read


def _labels(labels: Any, argument: str) -> list[Any]:
    if isinstance(labels, (str, bytes, Mapping)):
        raise TypeError(f"{argument}: got {shown(labels)}, expected a sequence of labels")
    found = list(labels.tolist() if isinstance(labels, np.ndarray) and labels.dtype.kind in "iufUSb" else labels)
    moments = (datetime.date, np.datetime64)
    if found and all(isinstance(label, moments) for label in found):
        try:
            found = list(np.asarray(found, dtype="datetime64[ns]"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{argument}: {error}; expected dates without time zone") from error
    elif not any(all(isinstance(label, kind) for label in found) for kind in (str, numbers.Integral, numbers.Real)):
        raise TypeError(f"{argument}: got {found[:4]}, expected labels of one kind: strings, numbers or dates")
    else:
        found = [label.item() if isinstance(label, np.generic) else label for label in found]
    if any(label != label for label in found) or len(set(found)) < len(found):
        raise ValueError(f"{argument}: got a label twice or none, {_repeated(found)!r}; expected each once")
    return found


def _repeated(labels: Sequence[Any]) -> Any:
    seen: set[Any] = set()
    for label in labels:
        if label != label or label in seen:
            return label
        seen.add(label)
    raise AssertionError("asked for where each label is there once")


def check_axes(shapes: Shapes, dims: Mapping[str, tuple[str, ...] | None], coords: Mapping[str, Sequence[Any]]) -> None:
    """ValueError where axes, labels and variables cannot be one data set; shapes are those of one draw.

    Labels of no axis may be those of another model that shares them, where no named axis lacks its own.
    """
    lengths: dict[str, tuple[int, str]] = {}
    for name, shape in shapes.items():
        named = dims.get(name)
        axes = tuple(f"{name}_dim_{i}" for i in range(len(shape))) if named is None else named
        if named is not None:
            for dim in named:
                check_name(dim, f"dims of {name!r}")
        if len(set(axes)) < len(axes):
            raise ValueError(f"dims: got {axes} for {name!r}, expected a name of its own for each axis")
        for dim, length in zip(axes, shape, strict=True):
            if dim in shapes:
                raise ValueError(f"dims: got {dim!r} for {name!r}, which is the name of a variable too; rename one")
            if dim in coords and len(coords[dim]) != length:
                raise ValueError(
                    f"coords[{dim!r}]: got {len(coords[dim])} labels, expected {length}: {name!r} has the shape {shape}"
                )
            before, other = lengths.setdefault(dim, (length, name))
            if before != length:
                raise ValueError(
                    f"dims: {dim!r} has {before} entries in {other!r} and {length} in {name!r}; expected one length"
                )
    named_axes = {dim for axes in dims.values() for dim in axes or ()}
    unlabelled = named_axes - coords.keys()
    for dim in coords:
        if dim not in lengths and (unlabelled or not named_axes):
            raise ValueError(
                f"coords: got labels for {dim!r}, which is the name of no axis"
                f"{did_you_mean(dim, unlabelled or lengths)} Axes are named by dims="
            )
