"""Couplings of two chains with lag: how fast a kernel mixes, measured at run time, and expectations without bias."""

from samplers.diagnostics.couplings import gibbs, proposals, swendsen_wang, walk_jump
from samplers.diagnostics.couplings.base import Coupling, couples, coupling_of
from samplers.diagnostics.couplings.categories import maximal
from samplers.diagnostics.couplings.gaussians import reflection_maximal
from samplers.diagnostics.couplings.meetings import Bound, MeetingTimes, meeting_times
from samplers.diagnostics.couplings.unbiased import Unbiased
from samplers.diagnostics.couplings.with_random_walk import WithRandomWalk

__all__ = [
    "Bound",
    "Coupling",
    "MeetingTimes",
    "Unbiased",
    "WithRandomWalk",
    "couples",
    "coupling_of",
    "maximal",
    "meeting_times",
    "reflection_maximal",
]

_ = (gibbs, proposals, swendsen_wang, walk_jump)  # they register their couplings
