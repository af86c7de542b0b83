"""How long a run is and what it keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from targets.arguments import check_choice, check_integer


@dataclass(frozen=True)
class Plan:
    """How long a run is and what it keeps."""

    chains: int
    draws: int
    warmup: int
    thin: int
    seed: int
    keep: str

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("draws", 1), ("warmup", 0), ("thin", 1), ("seed", 0)):
            check_integer(getattr(self, name), name, least)
        check_choice(self.keep, "keep", ("draws", "moments"))

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.warmup + self.draws * self.thin

    def lengths(self, *, open_ended: bool) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued: without `draws` for a run that ends by itself."""
        return {name: value for name, value in asdict(self).items() if not (open_ended and name == "draws")}
