"""The figures of one target, one kind a file."""

from samplers.compare.report.figures.autocorrelation import autocorrelation
from samplers.compare.report.figures.convergence import convergence
from samplers.compare.report.figures.energy import energy
from samplers.compare.report.figures.marginals import marginals
from samplers.compare.report.figures.modes import modes
from samplers.compare.report.figures.picture import Picture
from samplers.compare.report.figures.plane import pairs, plane
from samplers.compare.report.figures.ranks import ranks
from samplers.compare.report.figures.weights import weights
from samplers.compare.report.scene import Scene
from samplers.compare.report.style import styled

KINDS = (plane, pairs, marginals, modes, energy, convergence, ranks, autocorrelation, weights)


def pictures(scene: Scene) -> list[Picture]:
    """All that this target and these runs have something to show in."""
    if not scene.runs:
        return []
    with styled():
        return [one for kind in KINDS if (one := kind(scene)) is not None]
