"""The denoisers of `samplers.denoisers`, by the path where they stood before."""

from samplers.denoisers import *  # noqa: F403
from samplers.denoisers import __all__ as __all__
