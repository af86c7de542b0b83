"""Posteriors of Stan programs, compiled by PyStan (extra `stan`)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from targets._elsewhere import Elsewhere, missing, point_by_point
from targets.base import Target, Variable

TRIES = 20  # random points at which a program may refuse before it is taken to refuse everywhere


class StanModel(Elsewhere):
    """The posterior of a Stan program given its data, in Stan's unconstrained coordinates.

        log p(x) = log joint at the parameters + log |d parameters / d x|, without the constants that Stan drops

    One point after the other, each about half a millisecond for small data: Stan reads its data at every call.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self._random = "_rng" in model.program_code
        super().__init__(self._count(), dtype=torch.float64, name=name)
        self._places = self._layout(self._accepted())

    @cached_property
    def _services(self) -> Any:
        """The compiled program. PyStan's own methods start a web server for each call of it."""
        from httpstan.models import import_services_extension_module

        try:
            return import_services_extension_module(self._model.model_name)
        except KeyError as error:
            raise ValueError(
                f"model: the program compiled for {self._model.model_name} is no longer in the cache of httpstan; "
                "build it again by stan.build"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_services"}

    def _count(self) -> int:
        """The number of unconstrained coordinates, which PyStan does not tell: the one that Stan takes."""
        sizes = np.cumsum([int(np.prod(dims)) for dims in self._model.dims])
        guesses = dict.fromkeys([*sizes.tolist(), *range(int(sizes[-1]) if len(sizes) else 0, 0, -1)])
        for count in guesses:
            try:
                self._services.log_prob(self._model.data, [0.0] * count, True)
            except RuntimeError as error:
                if "number of parameters does not match" in str(error):
                    continue
                raise
            except ValueError:  # the right number, at a point that Stan rejects
                pass
            return count
        raise ValueError("model: has no parameters, expected at least one")

    def _accepted(self) -> np.ndarray:
        """A point that Stan accepts; ValueError, with what Stan says, where it rejects every one that is tried."""
        random = np.random.default_rng(0)
        last = None
        for k in range(TRIES):
            point = random.uniform(-2, 2, self.dim) * bool(k)
            try:
                self._services.log_prob(self._model.data, point, True)
            except ValueError as error:
                last = error
            else:
                return point
        raise ValueError(f"model: Stan rejects the origin and {TRIES - 1} random points; the last with: {last}")

    def _layout(self, point: np.ndarray) -> dict[str, np.ndarray]:
        """For each variable, where its entries stand among the numbers that Stan writes, as an array of its shape."""
        written = len(self._written(point))
        places: dict[str, np.ndarray] = {}
        for key, dims in zip(self._model.param_names, self._model.dims, strict=True):
            start = sum(place.size for place in places.values())
            size = int(np.prod(dims))
            if start + size <= written:  # Stan writes the first index fastest
                places[key] = start + np.arange(size).reshape(tuple(dims), order="F")
        return places

    def _written(self, point: np.ndarray) -> list[float]:
        return self._services.write_array(self._model.data, point, True, not self._random)

    def _values(self, x: Tensor) -> Tensor:
        return point_by_point(lambda point: (self._value(point),), x, ((),))[0]

    def _values_and_scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def both(point: np.ndarray) -> tuple[float, list[float]]:
            return self._value(point), self._ask("log_prob_grad", point)

        value, score = point_by_point(both, x, ((), (self.dim,)))
        return value, score

    def _value(self, point: np.ndarray) -> float:
        return self._ask("log_prob", point)

    def _ask(self, function: str, point: np.ndarray) -> Any:
        try:
            return getattr(self._services, function)(self._model.data, point, True)
        except ValueError as error:  # std::domain_error: a proposal that Stan would reject
            raise FloatingPointError(str(error)) from error

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        flat = self._flat(x).detach()
        width = sum(place.size for place in self._places.values())

        def written(point: np.ndarray) -> tuple[list[float]]:
            try:
                return (self._written(point),)
            except ValueError as error:
                raise FloatingPointError(str(error)) from error

        (found,) = point_by_point(written, flat, ((width,),))
        return {key: found[:, place].reshape(x.shape[:-1] + place.shape) for key, place in self._places.items()}

    @property
    def variables(self) -> dict[str, Variable]:
        return {key: Variable(place.shape) for key, place in self._places.items()}


def from_stan(model: Any, *, name: str | None = None) -> Target:
    """The posterior of a Stan program built by PyStan 3: `from_stan(stan.build(program, data=data))`.

    Parameters, transformed parameters and generated quantities keep their names and shapes; generated quantities are
    left out where the program draws random numbers, for Stan would draw the same ones at every point. Constants that
    Stan drops (of `~` statements) are not in the log-density. A point that Stan rejects (`reject`, a scale of zero, a
    matrix that has no Cholesky factor) has the log-density NaN, which samplers reject and count; other errors of the
    program are raised. In double precision, one point after the other.

    The target can be sent to other processes of this machine, where it finds the compiled program in httpstan's cache.
    Raises ModuleNotFoundError with the command that installs PyStan where it is missing; TypeError for what is not a
    model of PyStan 3; ValueError for a program without parameters, or one that Stan rejects wherever it is tried.
    """
    try:
        import stan
    except ModuleNotFoundError as error:
        raise missing("from_stan", "PyStan", "stan") from error
    if not isinstance(model, stan.model.Model):
        raise TypeError(f"model: got {type(model).__name__}, expected what stan.build of PyStan 3 returns")
    return StanModel(model, name or f"stan {model.model_name.removeprefix('models/')}")
