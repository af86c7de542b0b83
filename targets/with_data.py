"""A model of named parameters that speaks of data: what is observed, what it predicts, what each datum weighs."""

from __future__ import annotations

from torch import Generator, Tensor

from targets.base import Variable
from targets.parametrised import Parametrised
from targets.predictive import Predictive
from targets.user_function import no_validation


class WithData(Parametrised):
    """Parameters with a `Predictive`, and names for the axes of the data."""

    _model: Predictive
    _dims: dict[str, tuple[str, ...]]

    @property
    def _data_shapes(self) -> dict[str, tuple[int, ...]]:
        return self._model.shapes | {name: tuple(y.shape) for name, y in self._model.observed.items()}

    @property
    def observed(self) -> dict[str, Tensor]:
        """The data that were given by `observed=`."""
        return dict(self._model.observed)

    @property
    def predictive(self) -> Predictive:
        """What `predictive=`, `observed=` and `pointwise=` say of data; without the functions it cannot tell."""
        return self._model

    @property
    def data_variables(self) -> dict[str, Variable]:
        """What is observed or predicted, by name, with the names of its axes."""
        return {key: self._variable(shape, self._dims.get(key)) for key, shape in self._data_shapes.items()}

    def predict(self, x: Tensor, *, generator: Generator) -> dict[str, Tensor]:
        """A draw of the data given each point, {name: (*batch, *shape)}; of `prior.sample`, the prior predictive."""
        if not self._model.predicts:
            raise NotImplementedError(f"{self.name}: has no predictive=, which its data would be drawn by")
        flat = x.reshape(-1, self.dim)
        with no_validation():
            drawn = self._model.draw(self.parameter_values(flat), generator)
        return {key: value.reshape(x.shape[:-1] + value.shape[1:]) for key, value in drawn.items()}

    def pointwise(self, x: Tensor) -> dict[str, Tensor]:
        """The log-likelihood of each observation, (*batch, dim) -> {name: (*batch, *shape)}."""
        if not self._model.has_terms:
            raise NotImplementedError(f"{self.name}: has no predictive= with observed=, and no pointwise=")
        flat = x.reshape(-1, self.dim)
        with no_validation():
            terms = self._model.terms(self.parameter_values(flat))
        return {key: value.reshape(x.shape[:-1] + value.shape[1:]) for key, value in terms.items()}
