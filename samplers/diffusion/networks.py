"""The networks of `samplers.networks`, by the path where they stood before."""

from samplers.networks import *  # noqa: F403
from samplers.networks import __all__ as __all__
