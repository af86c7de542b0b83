"""Linear Gaussian noising processes in closed form, and grids of times on them."""

from samplers.processes import grids
from samplers.processes.base import Process
from samplers.processes.linear import VE, VP, Brownian, OrnsteinUhlenbeck, SubVP

__all__ = ["VE", "VP", "Brownian", "OrnsteinUhlenbeck", "Process", "SubVP", "grids"]
