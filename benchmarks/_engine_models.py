"""The models of `engines.py`, each written for ours, NumPyro, PyMC and Stan as their users would, on the same data.

`MODELS` maps a name to a model. Packages are imported by the method that needs them, so that each engine runs alone.
"""

from __future__ import annotations

from typing import Any, Protocol

from _engine_regression import Regression
from _engine_response import Response
from _engine_schools import Schools


class Model(Protocol):
    """One model, four ways; on the same data."""

    def ours(self, compiled: bool) -> Any:
        """A `targets.Posterior`."""

    def numpyro(self) -> Any:
        """A NumPyro model, without arguments."""

    def pymc(self) -> Any:
        """A PyMC model."""

    def stan(self) -> tuple[str, dict[str, Any]]:
        """A Stan program and its data."""


MODELS: dict[str, Model] = {
    "eight schools": Schools(),
    "counts": Regression("Poisson", rows=240, groups=12, columns=2),
    "varying intercepts": Regression("Gaussian", rows=919, groups=85, columns=3),
    "German credit": Regression("Bernoulli", data="german_credit"),
    "sonar": Regression("Bernoulli", data="sonar"),
    "10,000 rows": Regression("Gaussian", rows=10_000, groups=50, columns=10),
    "item response": Response(students=400, questions=100),
    "2,000 parameters": Regression("Poisson", rows=6_000, groups=1_997, columns=2),
}
