"""A base to start from, where neither prior nor base is given: a few particles and scouts find where the mass is."""

from samplers.annealing.pilot.base import Base
from samplers.annealing.pilot.rounds import PILOT, find_base

__all__ = ["PILOT", "Base", "find_base"]
