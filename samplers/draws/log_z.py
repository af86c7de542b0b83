"""An estimate of log Z."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LogZ:
    """An estimate of log Z with its standard error and, where the method gives them, stochastic bounds.

    E[lower] <= log Z <= E[upper]; each is beyond log Z by more than b nats with probability at most exp(-b).
    estimates: those of independent replicates, where there were several; value is the log of their mean Z.

    value, standard_error: in nats. lower, upper: None where the method gives none.

        >>> samplers.LogZ(value=-1.5, standard_error=0.1).upper is None
        True
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
