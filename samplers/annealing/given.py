"""Kernels and temperatures as they are given: one or several, or left open."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from samplers.kernels import HMC, Gibbs, Kernel
from samplers.kernels.base import check_kernel
from targets import Target


def checked_kernels(
    given: Kernel | Sequence[Kernel] | None, expected: int | None, needs: str
) -> Kernel | tuple[Kernel, ...] | None:
    """One kernel, or as many as `expected` in a tuple; TypeError for what is no kernel, ValueError for another number.

    needs: what a sequence needs, in words.
    """
    if given is None or isinstance(given, Kernel):
        return given
    kernels = tuple(given) if isinstance(given, Sequence) else (given,)  # a kernel's class, say
    for kernel in kernels:
        check_kernel(kernel)
    if len(kernels) != expected:
        raise ValueError(f"kernel: a sequence of kernels needs {needs}")
    return kernels


def as_tuple(given: Kernel | Sequence[Kernel] | None) -> tuple[Kernel, ...]:
    """The kernels that are given, however many."""
    if given is None:
        return ()
    return (given,) if isinstance(given, Kernel) else tuple(given)


def kernel_for(given: Kernel | Sequence[Kernel] | None, target: Target) -> Kernel:
    """The kernel, or the first of several; where none is given HMC, or Gibbs on discrete targets."""
    if given is None:
        return Gibbs() if target.discrete else HMC()
    return given if isinstance(given, Kernel) else given[0]


def rising(values: Sequence[float], argument: str) -> tuple[float, ...]:
    """Temperatures b_k, checked to rise from 0 to 1."""
    found = [float(b) for b in values]
    if len(found) < 2 or found[0] != 0 or found[-1] != 1 or not all(a < b for a, b in pairwise(found)):
        raise ValueError(f"{argument}: got {found[:3]} ... {found[-2:]}, expected increasing values from 0 to 1")
    return tuple(found)
