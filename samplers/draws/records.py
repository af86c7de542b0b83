"""The bridge to xarray, ArviZ (0.x and 1.x) and netCDF: groups of named arrays with attributes."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from samplers.draws.moments import RunningMoments
from samplers.draws.places import file_place, whole
from targets import Variable

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

WEIGHTED = "weighted_"  # before the names of groups that hold weighted points
FEWEST_IN_TAIL = 5
TORCH_DTYPE = "torch_dtype"  # attribute of an array that is held in another dtype


def dataset(values: Mapping[str, Tensor], variables: Mapping[str, Variable], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Arrays (chains, draws, *shape) as a dataset with dims (chain, draw, ...); structured attributes become JSON."""
    import numpy as np
    import xarray as xr

    arrays: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, value in values.items():
        variable = variables.get(name, Variable(tuple(value.shape[2:])))
        dims = variable.dims or tuple(f"{name}_dim_{i}" for i in range(value.ndim - 2))
        held, kept = held_as(value)
        arrays[name] = xr.DataArray(held, dims=("chain", "draw", *dims), attrs=kept)
        coords |= {
            dim: np.asarray(variable.coords.get(dim, np.arange(n)))
            for dim, n in zip(dims, value.shape[2:], strict=True)
        }
    for dim in ("chain", "draw"):
        if arrays:
            coords[dim] = np.arange(next(iter(arrays.values())).sizes[dim])
    return xr.Dataset(arrays, coords, {key: _plain(value) for key, value in attrs.items()})


def held_as(value: Tensor) -> tuple[np.ndarray, dict[str, str]]:
    """As an array, and what `tensor` must know of it: numbers of 16 bits, which files do not know, are held in 32."""
    value = value.detach().cpu()
    if value.dtype in (torch.bfloat16, torch.float16):
        return value.float().numpy(), {TORCH_DTYPE: str(value.dtype).removeprefix("torch.")}
    return value.numpy(), {}


def tensor(array: np.ndarray, attrs: Mapping[str, Any]) -> Tensor:
    """The tensor that `held_as` was given."""
    value = torch.from_numpy(array)
    return value.to(getattr(torch, attrs[TORCH_DTYPE])) if TORCH_DTYPE in attrs else value


def tensors(data: xr.Dataset) -> dict[str, Tensor]:
    """The variables of a dataset by name."""
    return {str(name): tensor(array.values, array.attrs) for name, array in data.items()}


def moments_dataset(moments: RunningMoments) -> xr.Dataset:
    """All that `moments` needs to have them again."""
    import xarray as xr

    state = moments.state_dict()
    held = {name: torch.as_tensor(state[name]).cpu().numpy() for name in ("mean", "squares")}
    dims = ("coordinate", "other_coordinate")
    return xr.Dataset({n: (dims[: a.ndim], a) for n, a in held.items()}, attrs={"count": moments.count})


def moments(data: xr.Dataset) -> RunningMoments:
    """What `moments_dataset` was given."""
    mean, squares = (torch.from_numpy(data[name].values) for name in ("mean", "squares"))
    made = RunningMoments(len(mean), dense=squares.ndim == 2)
    made.load_state_dict({"count": int(data.attrs["count"]), "mean": mean, "squares": squares})
    return made


def _plain(value: Any) -> str | int | float:
    """What netCDF can hold, which knows no truth values; `_structured` reads it back."""
    if isinstance(value, str):
        return json.dumps(value) if _is_json(value) else value
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else json.dumps(value)


def _is_json(text: str) -> bool:
    """Whether a text is to be read as JSON; one that only looks so is written as a JSON string."""
    return text.startswith(("{", "[", '"')) or text in ("true", "false", "null")


def attributes(data: xr.Dataset) -> dict[str, Any]:
    """Attributes with the structured ones read back."""
    return {str(key): _structured(value) for key, value in data.attrs.items()}


def _structured(value: Any) -> Any:
    if isinstance(value, str) and _is_json(value):
        return json.loads(value)
    return value.item() if hasattr(value, "item") else value


def import_arviz() -> Any:
    """The module arviz; 0.23 announces 1.0 by a FutureWarning at import, which is not about the user's code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import arviz
    return arviz


def arviz_1() -> bool:
    """Whether ArviZ is 1.x. By its version: it answers `hasattr` for names that it no longer has."""
    return int(import_arviz().__version__.split(".")[0]) >= 1


def pareto_k(log_weights: Tensor) -> float:
    """Pareto k-hat of log-weights (n,) by PSIS: `arviz.psislw` on ArviZ 0.x, `arviz_stats` on 1.x.

    Infinite where fewer than five weights stand out as a tail, or these are all the same, of which nothing can be said:
    ArviZ 1.x raises there, or gives NaN.
    """
    finite = log_weights[log_weights > -torch.inf].double().cpu().numpy()
    if len(finite) < 2:
        return math.inf
    tail = _tail(finite)
    if len(tail) < FEWEST_IN_TAIL or tail[0] == tail[-1]:
        return math.inf
    if not arviz_1():
        return float(import_arviz().psislw(finite)[1])
    from arviz_stats.base import array_stats  # type: ignore[import-not-found]

    k = float(array_stats.psislw(-finite)[1])  # it takes log-likelihoods, which are those weights negated
    return math.inf if math.isnan(k) else k


def _tail(log_weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The weights above the largest that belongs to the body, in rising order, with ArviZ's length of the tail."""
    import numpy as np

    n = len(log_weights)
    length = math.ceil(min(n / 5, 3 * math.sqrt(n)))
    ordered = np.sort(log_weights - log_weights.max())
    return ordered[ordered > max(ordered[-length - 1], math.log(np.finfo(float).tiny))]


def to_arviz(groups: Mapping[str, xr.Dataset]) -> Any:
    """InferenceData on ArviZ 0.x, an xarray DataTree on 1.x."""
    filled = {name: data for name, data in groups.items() if data.data_vars}
    if not arviz_1():
        return import_arviz().InferenceData(**filled)
    import xarray as xr

    return xr.DataTree.from_dict(filled)


def write(path: Path, groups: Mapping[str, xr.Dataset]) -> Path:
    """One netCDF file, a group each; written beside the path, whose folder is made, and moved there when complete."""
    path = file_place(path, "path")
    with whole(path) as partial:
        for name, data in groups.items():
            data.to_netcdf(partial, mode="a" if partial.exists() else "w", group=name, engine="h5netcdf")
    return path


def groups(path: Path) -> dict[str, xr.Dataset]:
    """The groups of a file that `write` wrote."""
    import h5netcdf
    import xarray as xr

    with h5netcdf.File(path, "r") as file:
        names = list(file.groups)
    return {name: xr.load_dataset(path, group=name, engine="h5netcdf") for name in names}


def warm_up() -> None:
    """Import what `write` imports when it is first called."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "nothing.nc", {"posterior": dataset({"x": torch.zeros(1, 1)}, {}, {})})


def read(path: Path) -> dict[str, xr.Dataset]:
    """The groups of a file that `Draws.save` wrote; ValueError for a file that is none."""
    if not path.exists():
        raise FileNotFoundError(f"path: {path} does not exist")
    try:
        found = groups(path)
        missing = {"sample_stats", "unconstrained_posterior"} - found.keys() - {n.removeprefix(WEIGHTED) for n in found}
        if missing:
            raise KeyError(f"no group {min(missing)}")
    except (OSError, KeyError) as error:
        raise ValueError(f"path: {path} is not a file written by Draws.save, or it is damaged ({error})") from error
    return found
