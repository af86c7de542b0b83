"""Schroedinger bridges: the process between two laws that is closest to Brownian motion."""

from samplers.generative.bridges.bridge import Bridge, StaticBridge, pinned
from samplers.generative.bridges.fitted import FittedBridge
from samplers.generative.bridges.gaussian import GaussianBridge
from samplers.generative.bridges.iterative import IterativeMethod
from samplers.generative.bridges.markovian import MarkovianFitting
from samplers.generative.bridges.method import BridgeMethod, End, Found, Run
from samplers.generative.bridges.mixture_potential import MixturePotential
from samplers.generative.bridges.mixture_potentials import MixturePotentials
from samplers.generative.bridges.path import BridgeMeasure
from samplers.generative.bridges.path_bridge import PathBridge
from samplers.generative.bridges.point_potential import PointPotential
from samplers.generative.bridges.potential import Potential
from samplers.generative.bridges.proportional import ProportionalFitting
from samplers.generative.bridges.schroedinger_bridge import SchroedingerBridge
from samplers.generative.bridges.sinkhorn import Sinkhorn

__all__ = [
    "Bridge",
    "BridgeMeasure",
    "BridgeMethod",
    "End",
    "FittedBridge",
    "Found",
    "GaussianBridge",
    "IterativeMethod",
    "MarkovianFitting",
    "MixturePotential",
    "MixturePotentials",
    "PathBridge",
    "PointPotential",
    "Potential",
    "ProportionalFitting",
    "Run",
    "SchroedingerBridge",
    "Sinkhorn",
    "StaticBridge",
    "pinned",
]
