"""An estimate of log Z, and the difference of two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from samplers.draws import html
from samplers.draws.wording import digits, in_words, plus_minus


@dataclass(frozen=True, repr=False)
class LogRatio:
    """log (Z / Z') with its standard error, of two independent estimates: what `a.log_z - b.log_z` is.

    Of two posteriors it is the log Bayes factor. value, standard_error: in nats; the error is NaN where an estimate
    states none.

        >>> samplers.LogZ(value=-1.5, standard_error=0.03) - samplers.LogZ(value=-3.0, standard_error=0.04)
        LogRatio(1.500 +- 0.050)
    """

    value: float
    standard_error: float

    def __repr__(self) -> str:
        return f"LogRatio({_stated(self.value, self.standard_error)})"

    def __str__(self) -> str:
        return f"log (Z / Z') {_stated(self.value, self.standard_error)}"

    def _repr_html_(self) -> str:
        return html.block("", html.paragraph(str(self)))


@dataclass(frozen=True, repr=False)
class LogZ:
    """An estimate of log Z with its standard error and, where the method gives them, stochastic bounds.

    E[lower] <= log Z <= E[upper]; each is beyond log Z by more than b nats with probability at most exp(-b).
    estimates: those of independent replicates, where there were several; value is the log of their mean Z.

    value, standard_error: in nats. lower, upper: None where the method gives none. The error is that of the mass which
    the run has reached: of a mode that it missed it knows nothing. `draws.certificate` searches for such modes, and may
    miss them too.

    `a.log_z - b.log_z` is a `samplers.draws.LogRatio`, with the error sqrt(e_a^2 + e_b^2). This takes the two for
    independent: of two runs with seeds or targets of their own. Of estimates that share a run, its particles or its
    training, the error is another one, mostly a smaller one, which nothing here tells. An exactly known log Z, such as
    `target.log_z`, is a number. ArithmeticError where an estimate is taken from itself, or is not finite: a Z of zero
    has no ratio. TypeError for what states no log Z.

        >>> samplers.LogZ(value=-1.5, standard_error=0.1).upper is None
        True
        >>> print(samplers.LogZ(0.4561, 0.0031, estimates=(0.4530, 0.4561, 0.4592)))
        log Z 0.4561 +- 0.0031, from three independent estimates
        >>> samplers.LogZ(0.4561, 0.0031) - 0.45
        LogRatio(0.0061 +- 0.0031)
    """

    value: float
    standard_error: float
    lower: float | None = None
    upper: float | None = None
    estimates: tuple[float, ...] | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> LogZ:
        """From what JSON has made of the fields."""
        estimates = record.get("estimates")
        return cls(**record | {"estimates": None if estimates is None else tuple(estimates)})

    def __sub__(self, other: object) -> LogRatio:
        if other is self:
            raise ArithmeticError("log_z: got one estimate twice, expected those of two runs")
        return _difference(self, other)

    def __rsub__(self, other: object) -> LogRatio:
        return _difference(other, self)

    def __repr__(self) -> str:
        return f"LogZ({_stated(self.value, self.standard_error)}{self._bounds()})"

    def __str__(self) -> str:
        said = f"log Z {_stated(self.value, self.standard_error)}"
        if self.estimates is not None and len(self.estimates) > 1:
            said += f", from {in_words(len(self.estimates))} independent estimates"
        return said + self._bounds()

    def _bounds(self) -> str:
        named = {"lower": self.lower, "upper": self.upper}
        return "".join(f"; {n} bound {digits(v, self.standard_error)}" for n, v in named.items() if v is not None)

    def _repr_html_(self) -> str:
        return html.block("", html.paragraph(str(self)))


def _stated(value: float, error: float) -> str:
    return f"{value:.4g}, of unknown error" if math.isnan(error) else plus_minus(value, error)


def _difference(first: object, second: object) -> LogRatio:
    (a, a_error), (b, b_error) = _value_and_error(first), _value_and_error(second)
    return LogRatio(a - b, math.hypot(a_error, b_error))


def _value_and_error(one: object) -> tuple[float, float]:
    """Of an estimate, or of a number, which is exact."""
    if isinstance(one, LogZ):
        value, error = one.value, one.standard_error
    elif isinstance(one, Real) and not isinstance(one, bool):
        value, error = float(one), 0.0
    else:
        came = "None, as of draws that state no log Z" if one is None else type(one).__name__
        raise TypeError(f"log_z: got {came}, expected a LogZ, or a number where log Z is exactly known")
    if not math.isfinite(value):
        raise ArithmeticError(f"log_z: got {value}, expected a finite value: nothing can be taken from it")
    return value, error
