"""R-hat, effective sample sizes and standard errors: ArviZ's, of values brought to a scale where its arithmetic holds.

ArviZ takes a range below 1e-15 for a constant, that of squares too, and squares overflow beyond 1e154. So variables of
an unusual scale are multiplied by a power of two first, which changes no digit, and what has their unit is multiplied
back.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from samplers.draws import records
from samplers.draws.ties import joined_draws
from targets import Variable

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Values = Mapping[str, Tensor]  # (chains, draws, *shape)

LEAST_DRAWS = 4  # of a chain, for R-hat and ESS
MOST_DRAWS, SCALARS = 200_000, 32  # of draws that are asked for no more than one ESS, the most that are looked at
USUAL = 10  # a range between 2^-10 and 2^10 stays as it is
UNITLESS = ("ess", "r_hat", "min_ss")  # beginnings of the names of columns without the unit of their variable
DECIMALS = {"r_hat": 2, "ess_bulk": 0, "ess_tail": 0}  # of a table, where they are not three


@dataclass(frozen=True)
class Scaled:
    """data: the values times 2^-exponent, a dataset in float64; exponents: of each variable, of its shape."""

    data: xr.Dataset
    exponents: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, values: Values, variables: Mapping[str, Variable] | None = None) -> Scaled:
        """Each scalar by its own range; its ties are joined, which ranks see and rounding must not break."""
        data = records.dataset({name: joined_draws(value) for name, value in values.items()}, variables or {}, {})
        exponents = {}
        for name in values:
            array = data[name].values
            exponents[name] = _exponent(array)
            if exponents[name].any():
                data[name] = data[name].copy(data=np.ldexp(array, -exponents[name]))
        return cls(data, exponents)

    def back(self, found: xr.Dataset) -> dict[str, np.ndarray]:
        """Of each variable, an estimate that has the unit of the variable, in that unit."""
        return {name: np.ldexp(found[name].values, exponent) for name, exponent in self.exponents.items()}


def _exponent(array: np.ndarray) -> np.ndarray:
    """Of the range of each scalar of (chains, draws, *shape), zero where it is usual, none, or not finite."""
    if not array.shape[0] * array.shape[1]:
        return np.zeros(array.shape[2:], dtype=np.int64)
    half_range = array.max((0, 1)) / 2 - array.min((0, 1)) / 2  # the range itself may overflow
    known = np.isfinite(half_range) & (half_range > 0)
    exponent = np.frexp(np.where(known, half_range, 1.0))[1]
    return np.asarray(np.where(np.abs(exponent) <= USUAL, 0, exponent))


def ess(values: Values, method: str) -> dict[str, np.ndarray]:
    """Effective sample size of every scalar by ArviZ's method; NaN of chains of fewer than four draws."""
    return _unitless("ess", values, method)


def least_ess(values: Tensor) -> float:
    """The least bulk ESS over the scalars of values (chains, draws, ...); NaN where none is known."""
    found = ess({"x": values.reshape(*values.shape[:2], -1)}, "bulk")["x"]
    known = found[np.isfinite(found)]
    return float(known.min()) if known.size else float("nan")


def ess_within(values: Tensor) -> float:
    """The effective draws of one scalar (chains, draws), were each chain to be judged by itself; their sum."""
    return float(np.nansum(ess({"x": values.mT[None]}, "bulk")["x"]))


def r_hat(values: Values, method: str) -> dict[str, np.ndarray]:
    """R-hat of every scalar by ArviZ's method; NaN of constants, of one chain and of fewer than four draws."""
    return _unitless("rhat", values, method)


def r_hat_by_chance(chains: int, draws: float, effective: float, tests: int, alarm: float) -> float:
    """The largest of so many R-hat of independent chains, exceeded with chance `alarm`.

    draws, effective: of half a chain. Of the 2 m halves of m chains R-hat^2 is about 1 - 1 / draws + F / effective with
    F ~ chi^2 / (2 m - 1).
    """
    from scipy.stats import chi2

    largest = chi2.isf(alarm / max(tests, 1), 2 * chains - 1) / (2 * chains - 1)
    return math.sqrt(1 + max(largest / max(effective, 1.0) - 1 / max(draws, 1.0), 0.0))


def mcse(values: Values, method: str) -> dict[str, np.ndarray]:
    """Monte Carlo standard error of every scalar by ArviZ's method, in its unit."""
    scaled = Scaled.of(values)
    if not _enough(scaled.data):
        return _unknown(scaled.data)
    with quiet():
        return scaled.back(records.import_arviz().mcse(scaled.data, method=method))


def _unitless(name: str, values: Values, method: str) -> dict[str, np.ndarray]:
    data = Scaled.of(values).data
    if not _enough(data) or (name == "rhat" and data.sizes["chain"] < 2):
        return _unknown(data)
    with quiet():
        found = getattr(records.import_arviz(), name)(data, method=method)
    return {str(key): np.asarray(array.values) for key, array in found.items()}


def _enough(data: xr.Dataset) -> bool:
    return data.sizes["draw"] >= LEAST_DRAWS


def _unknown(data: xr.Dataset) -> dict[str, np.ndarray]:
    return {str(name): np.full(array.shape[2:], np.nan) for name, array in data.items()}


def table(values: Values, variables: Mapping[str, Variable], **options: Any) -> Any:
    """`arviz.summary` without rounding, in the unit of the variables; options are ArviZ's.

    With `stat_funcs`, which are the caller's, and circular variables the values go to ArviZ as they are.
    """
    options = {**options, "round_to": "none"}
    scaled = Scaled.of(values, variables)
    if options.get("stat_funcs") or options.get("circ_var_names"):
        data = records.dataset({name: value.double() for name, value in values.items()}, variables, {})
        scaled = Scaled(data, dict.fromkeys(values, np.zeros((), dtype=np.int64)))
    found = _summary(scaled.data, options)
    if any(exponent.any() for exponent in scaled.exponents.values()):
        _multiply_back(found, _exponents(scaled, options))
    return found


def _summary(data: xr.Dataset, options: Mapping[str, Any]) -> Any:
    with quiet():
        return records.import_arviz().summary(records.to_arviz({"posterior": data}), **options)


def _exponents(scaled: Scaled, options: Mapping[str, Any]) -> Any:
    """The exponent of every scalar, as the mean in a table of the same form: its rows are in the same order."""
    kept = {name: value for name, value in options.items() if name not in ("stat_focus", "kind")}
    one = scaled.data.isel(chain=0, draw=0, drop=True)
    data = one.assign({n: one[n].copy(data=exponent.astype(float)) for n, exponent in scaled.exponents.items()})
    return _summary(data.expand_dims(chain=1, draw=LEAST_DRAWS), {**kept, "kind": "stats"})


def _multiply_back(found: Any, exponents: Any) -> None:
    """By powers of two, in place, in each of ArviZ's three forms of a table."""
    if not hasattr(found, "columns"):  # an xarray dataset with a dimension of the statistics
        (dim,) = set(exponents.dims) & {"metric", "summary"}
        for name, array in found.items():
            power = exponents[name].sel({dim: "mean"}).values
            for place, statistic in enumerate(found[dim].values):
                if _has_unit(statistic):
                    array[{dim: place}] = _times_power(array[{dim: place}].values, power)
    elif "mean" in exponents.columns:  # wide: a row for each scalar
        for column in filter(_has_unit, found.columns):
            found[column] = _times_power(found[column].to_numpy(), exponents["mean"].to_numpy())
    else:  # long: a row for each statistic and place, a column for each variable
        power = exponents.loc[["mean"]]
        for statistic in filter(_has_unit, dict.fromkeys(found.index)):
            for column in power.select_dtypes("float").columns:
                rows = found.loc[[statistic], column].to_numpy()
                found.loc[statistic, column] = _times_power(rows, power[column].fillna(0).to_numpy())


def _has_unit(statistic: Any) -> bool:
    return not str(statistic).startswith(UNITLESS)


def _times_power(values: np.ndarray, power: np.ndarray) -> np.ndarray:
    return np.ldexp(values, power.astype(np.int64))


def rounded(found: Any, round_to: int | str | None) -> Any:
    """A table to so many decimals, or significant digits ("3g"); by default three, two of R-hat and none of an ESS."""
    if round_to in ("none", "None"):
        return found
    if isinstance(round_to, str) and round_to.endswith("g"):
        digits = int(round_to[:-1])
        return _apply(found, lambda value: float(f"{value:.{digits}g}"))
    if round_to not in (None, "auto"):
        return found.round(int(round_to))
    if not hasattr(found, "columns"):  # xarray
        return found
    return found.round({column: DECIMALS.get(str(column), 3) for column in found.columns})


def _apply(found: Any, function: Any) -> Any:
    if not hasattr(found, "columns"):
        import xarray as xr

        return xr.apply_ufunc(function, found, vectorize=True)
    numbers = found.select_dtypes("float").columns
    made: pd.DataFrame = found.copy()
    made[numbers] = made[numbers].map(function)
    return made


@contextmanager
def quiet() -> Iterator[None]:
    """Without what ArviZ and NumPy say of constants, of one chain and of few draws: its callers say it in words."""
    own = getattr(records.import_arviz(), "_log", None)  # of 0.x, which `getLogger` does not find by its name
    loggers = [logging.getLogger(name) for name in ("arviz", "arviz.preview", "arviz_stats")]
    loggers += [own] if isinstance(own, logging.Logger) else []
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", "Shape validation failed|Array contains NaN", UserWarning)
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
