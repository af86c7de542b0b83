"""What every sampler returns: draws, the normalising constant, the cost; and what is estimated and said of them."""

from samplers.draws.cost import Cost
from samplers.draws.divergent_steps import DivergentSteps
from samplers.draws.draws import Draws, Sampler
from samplers.draws.log_z import LogRatio, LogZ
from samplers.draws.points import INDEPENDENT, PARTICLES
from samplers.draws.weighted import largest_pareto_k
from targets.sampling_warning import SamplingWarning

__all__ = (
    "INDEPENDENT",
    "PARTICLES",
    "Cost",
    "DivergentSteps",
    "Draws",
    "LogRatio",
    "LogZ",
    "Sampler",
    "SamplingWarning",
    "largest_pareto_k",
)
