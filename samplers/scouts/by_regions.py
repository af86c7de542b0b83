"""log Z of any draws, weighted or not, from the masses that scouts have measured in their regions.

    log Z = log sum_k mass_k a_k - log (share of the draws in any region)

a_k: the part of region k that lies in no larger one. The masses share no randomness with the draws. Of draws that miss
a mode it is the Z of what they represent: regions that they hardly enter are left out.
"""

from __future__ import annotations

import math

from samplers.scouts.regions import Regions
from samplers.scouts.sample import Sample

HARDLY = 0.1  # of the draws that a region should have, by what the one with the most of them has


def log_z_by_regions(regions: Regions, sample: Sample) -> tuple[float, float]:
    """log Z and its standard error; (NaN, infinity) where no draw lies in any region."""
    there = regions.inside(sample.x)
    share, _ = sample.share(there)
    if float(share.max()) == 0:
        return math.nan, math.inf
    ratio = share / (regions.log_mass - regions.log_mass.max()).exp()
    entered = (ratio > HARDLY * ratio[share.argmax()]).nonzero()[:, 0]
    held, held_error = sample.share(there[:, entered].any(1, keepdim=True))
    log_mass, error = regions.only(entered).total()
    if not math.isfinite(log_mass):
        return math.nan, math.inf
    return log_mass - math.log(float(held)), math.hypot(error, float(held_error / held))
