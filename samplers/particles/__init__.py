"""Interacting particles: deterministic flows of many points towards the target."""

from samplers.particles.base import Swarm
from samplers.particles.blob import Blob
from samplers.particles.gfsd import GFSD
from samplers.particles.gfsf import GFSF
from samplers.particles.method import ParticleMethod
from samplers.particles.svgd import SVGD

__all__ = ["GFSD", "GFSF", "SVGD", "Blob", "ParticleMethod", "Swarm"]
