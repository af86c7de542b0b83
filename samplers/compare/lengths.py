"""What the length of a run is for a sampler, and what is left open for a budget to decide."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from samplers.draws import Sampler
from samplers.draws.signature import taken_by
from samplers.kernels import Kernel

SAMPLES = 16  # of a teacher, for an iteration of what learns from them
GIVEN = "{}: given beside a budget, expected to be left open: it is what the budget decides"


class Lengths:
    """What the length of a run is for a sampler: iterations where it learns or moves particles, else draws.

    A third of a chain's steps are warmup, and what learns from a teacher gets SAMPLES for each iteration. What stands
    behind `**options` is not known before it is tried: draws and warmup are, or iterations where draws are given.
    """

    def __init__(self, sampler: Sampler, given: Mapping[str, Any]) -> None:
        taken = taken_by(sampler)
        named = next((name for name in ("iterations", "draws") if name in taken.names), None)
        if named is None and not taken.others:
            raise ValueError(
                f"sampler: {type(sampler).__name__}.sample takes neither draws= nor iterations= by name, which is what "
                f"a budget decides; it takes {', '.join(sorted(taken.names)) or 'no options'}"
            )
        length = named or ("draws" if "draws" not in given else "iterations")
        if length in given:
            raise ValueError(GIVEN.format(length))
        beside, known = ("warmup", taken) if length == "draws" else ("samples", taken.names)
        self.free = [length] + [beside] * (beside in known and beside not in given)
        self.guessed = {name for name in self.free if name not in taken.names}
        self.most_chains = _chains(sampler) if "chains" not in given else None

    def options(self, size: int) -> dict[str, int]:
        """How to ask for a run of that size."""
        found = {name: size for name in self.free}
        if "warmup" in found:
            found["warmup"] = max(1, size // 2)
        if "samples" in found:
            found["samples"] = SAMPLES * size
        return found

    def without_guess(self, error: Exception) -> bool:
        """Whether there was a guess to give up; ValueError where a refused one was all there is."""
        if "warmup" in self.guessed:
            self.guessed.remove("warmup")
            self.free.remove("warmup")
            return True
        if isinstance(error, TypeError) and any(f"'{name}'" in str(error) for name in self.guessed):
            if "iterations" in self.guessed:
                raise ValueError(GIVEN.format("draws")) from error
            raise ValueError(
                f"sampler: what takes its **options refuses draws= ({error}); a budget decides draws= or iterations="
            ) from error
        return False


def _chains(sampler: Sampler) -> int | None:
    """How many chains a kernel runs where it is not told; None of another sampler."""
    if not isinstance(sampler, Kernel):
        return None
    chains = inspect.signature(sampler.sample).parameters.get("chains")
    return chains.default if chains is not None and isinstance(chains.default, int) else None
