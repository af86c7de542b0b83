"""Denoisers by name, and the one that fits a target where none is named."""

from __future__ import annotations

from samplers.denoisers.automatic import Auto
from samplers.denoisers.base import Denoiser
from samplers.denoisers.closed_form import ClosedForm
from samplers.denoisers.grid import NoGrid
from samplers.denoisers.importance import Importance
from samplers.denoisers.inner_chains import InnerChains
from samplers.denoisers.inner_smc import InnerSMC
from samplers.denoisers.quadrature import Quadrature
from samplers.denoisers.spins import default_spin_denoiser
from targets import Noise, Target
from targets.arguments import shown
from targets.counting import plain

NAMED: dict[str, type[Denoiser]] = {
    "closed form": ClosedForm,
    "quadrature": Quadrature,
    "importance": Importance,
    "smc": InnerSMC,
    "chains": InnerChains,
}


def default_denoiser(target: Target, noise: Noise) -> Denoiser:
    """The closed form where there is one; for spins what sums over them; a grid in one or two dimensions; else Auto.

    A grid is looked for at once, and the denoiser bound to it; where none covers and resolves the mass the choice is
    Auto.
    """
    if target.discrete:
        return default_spin_denoiser(plain(target), noise)
    if {"smoothed", "sample_given"} <= plain(target).known:
        return ClosedForm()
    if target.dim <= 2:
        try:
            return Quadrature().bind(target, noise)
        except NoGrid:
            pass
    return Auto()


def as_denoiser(denoiser: Denoiser | str, target: Target, noise: Noise) -> Denoiser:
    """A denoiser, or a new one of that name, checked against target and noise."""
    names = sorted({"auto", *NAMED})
    if isinstance(denoiser, str):
        if denoiser not in names:
            raise ValueError(f"denoiser: got {shown(denoiser)}, expected a Denoiser or one of {names}")
        denoiser = default_denoiser(target, noise) if denoiser == "auto" else NAMED[denoiser]()
    elif not isinstance(denoiser, Denoiser):
        raise TypeError(f"denoiser: got {type(denoiser).__name__}, expected a Denoiser or one of {names}")
    denoiser.check(target, noise)
    return denoiser
