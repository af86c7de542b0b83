"""Is this kernel right? Exact tests for pytest, for the kernels here and for a user's own.

Every check of a kernel starts from exact draws of a target, so that a correct one is rejected at most once in 100,000
runs whatever its seed, mixing and step size; `check_unbiased_z` is for samplers that estimate Z. Hypothesis strategies
are in `samplers.testing.strategies`. Names are imported from their modules when they are first used: the package alone
costs nothing, a check what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samplers.testing.discrete import (
        check_detailed_balance as check_detailed_balance,
        check_stationary as check_stationary,
        metropolis_matrix as metropolis_matrix,
        transition_matrix as transition_matrix,
    )
    from samplers.testing.evidence import check_unbiased_z as check_unbiased_z
    from samplers.testing.invariance import check_invariance as check_invariance
    from samplers.testing.leapfrog import LeapfrogReport as LeapfrogReport, check_leapfrog as check_leapfrog
    from samplers.testing.moves import MovesReport as MovesReport, check_moves as check_moves
    from samplers.testing.repeatable import check_repeatable as check_repeatable
    from samplers.testing.reversibility import check_reversible as check_reversible
    from samplers.testing.sequential_rule import Report as Report, sequential as sequential

_PLACES = {
    "discrete": "check_detailed_balance check_stationary metropolis_matrix transition_matrix",
    "evidence": "check_unbiased_z",
    "invariance": "check_invariance",
    "leapfrog": "LeapfrogReport check_leapfrog",
    "moves": "MovesReport check_moves",
    "repeatable": "check_repeatable",
    "reversibility": "check_reversible",
    "sequential_rule": "Report sequential",
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names.split()}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
