"""Draws by a pair of path measures, with the weights of their paths: whole paths, or particles resampled on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from samplers.annealing.evidence import estimate
from samplers.draws import LogZ
from samplers.path_measures.base import PathMeasure
from samplers.path_measures.evaluation import weigh
from samplers.path_measures.simulation import simulate, simulate_backward
from samplers.path_measures.subtrajectories import Resampling, simulate_subtrajectories
from targets import Target

CHUNK = 1 << 20  # numbers in a batch of states


@dataclass(frozen=True, eq=False)
class Ends:
    """Of n paths: u (n, dim), log gamma there (n,), log w (n,), where NaN was no weight; log_z; stats of each path."""

    u: Tensor
    log_prob: Tensor
    log_w: Tensor
    log_z: LogZ
    stats: dict[str, Tensor]


def chunk(dim: int) -> int:
    """Paths that are simulated at a time."""
    return max(256, CHUNK // dim)


def whole_paths(measure: PathMeasure, target: Target, n: int, generator: Generator) -> Ends:
    """Independent paths; target: in the coordinates of the measure."""
    parts, size = [], chunk(target.dim)
    for begin in range(0, n, size):
        paths = simulate(measure, target, min(size, n - begin), generator)
        parts.append((paths.last_point.x[0], paths.last_point.log_prob[0], paths.log_weights))
    u, log_prob, log_w = (torch.cat(part) for part in zip(*parts, strict=True))
    log_w = torch.where(log_w < torch.inf, log_w, -torch.inf)
    return Ends(u, log_prob, log_w, weigh(log_w), {})


def backward_weights(measure: PathMeasure, target: Target, u: Tensor, generator: Generator) -> Tensor:
    """log w (n,) of paths that run backwards from points u (n, dim) of the target."""
    parts = [simulate_backward(measure, target, part, generator).log_weights for part in u.split(chunk(target.dim))]
    return torch.cat(parts)


def resampled_paths(
    measure: PathMeasure,
    target: Target,
    n: int,
    generator: Generator,
    resampling: Resampling,
    step_sizes: Tensor | None = None,
) -> Ends:
    """Paths resampled after subtrajectories, with their families as a statistic, from which log Z has its error."""
    ensemble = simulate_subtrajectories(measure, target, n, generator, resampling=resampling, step_sizes=step_sizes)
    log_z = replace(estimate(ensemble.cloud), lower=ensemble.log_z)
    return Ends(ensemble.x, ensemble.log_prob, ensemble.log_w, log_z, ensemble.cloud.families)
