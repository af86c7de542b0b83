"""Denoisers by name, and the one that fits a target where none is named."""

from __future__ import annotations

from collections.abc import Callable

from samplers.denoisers.automatic import Auto
from samplers.denoisers.base import Denoiser
from samplers.denoisers.closed_form import ClosedForm
from samplers.denoisers.grid import NoGrid
from samplers.denoisers.importance import Importance
from samplers.denoisers.quadrature import Quadrature
from targets import Noise, Target


def default_denoiser(target: Target, noise: Noise) -> Denoiser:
    """The closed form where there is one; for spins what sums over them; a grid in one or two dimensions; else Auto.

    A grid is looked for at once; where none covers and resolves the mass the choice is Auto.
    """
    if target.discrete:
        from samplers.denoisers.spins import default_spin_denoiser

        return default_spin_denoiser(target, noise)
    if {"smoothed", "sample_given"} <= target.known:
        return ClosedForm()
    if target.dim <= 2:
        grid = Quadrature()
        try:
            grid.prepare(target, noise)
        except NoGrid:
            return Auto()
        return grid
    return Auto()


def _smc(target: Target, noise: Noise) -> Denoiser:
    from samplers.denoisers.inner_smc import InnerSMC

    return InnerSMC()


def _chains(target: Target, noise: Noise) -> Denoiser:
    from samplers.denoisers.inner_chains import InnerChains

    return InnerChains()


NAMED: dict[str, Callable[[Target, Noise], Denoiser]] = {
    "auto": default_denoiser,
    "closed form": lambda target, noise: ClosedForm(),
    "quadrature": lambda target, noise: Quadrature(),
    "importance": lambda target, noise: Importance(),
    "smc": _smc,
    "chains": _chains,
}


def as_denoiser(denoiser: Denoiser | str, target: Target, noise: Noise) -> Denoiser:
    """A denoiser, or a new one of that name, checked against target and noise."""
    if isinstance(denoiser, str):
        if denoiser not in NAMED:
            raise ValueError(f"denoiser: got {denoiser!r}, expected a Denoiser or one of {sorted(NAMED)}")
        denoiser = NAMED[denoiser](target, noise)
    elif not isinstance(denoiser, Denoiser):
        raise TypeError(f"denoiser: got {type(denoiser).__name__}, expected a Denoiser or one of {sorted(NAMED)}")
    denoiser.check(target, noise)
    return denoiser
