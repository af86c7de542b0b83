"""The denoiser of spins by belief propagation: exact on trees, Bethe's approximation elsewhere.

u_{i -> j} = atanh(tanh J_ij tanh c_{i -> j}),    c_{i -> j} = h_i + sum over k != j of u_{k -> i}
m_i = tanh H_i,    H_i = h_i + sum_k u_{k -> i},    h = b + P y
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.denoisers.spins.fixed_points import FixedPoint
from samplers.denoisers.spins.posterior import log_two_cosh
from targets import PairwiseMRF


@dataclass(frozen=True, eq=False)
class BeliefPropagation(FixedPoint):
    """Messages on both directions of every edge, all updated at once, damped until they stand still.

    log Z ~ sum_i (1 - degree_i) log 2 cosh H_i + sum over edges of log sum_{s, s'} exp(J s s' + c s + c' s'): Bethe's
    free energy. Means, log Z and so phi are exact where the couplings left given y form a tree or a forest (any noise
    that is independent at each site keeps those of the model). Elsewhere the score of the log-density returned is
    still the estimated one. Bethe 1935, https://doi.org/10.1098/rspa.1935.0122; Yedidia, Freeman and Weiss 2005,
    https://doi.org/10.1109/TIT.2005.850085.

    damping, tolerance, iterations, sweeps: as of `MeanField`.

        >>> from samplers.denoisers.spins import BeliefPropagation, Enumeration
        >>> chain, noise = targets.Ising((5,), coupling=0.5, periodic=False), targets.IsotropicNoise(1.0)
        >>> found = BeliefPropagation().estimate(chain, torch.ones(1, 5), noise)
        >>> exact = Enumeration().estimate(chain, torch.ones(1, 5), noise)
        >>> bool((found.mean - exact.mean).abs().max() < 1e-6)
        True
    """

    def solve(self, model: PairwiseMRF, fields: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        ends = torch.cat([model.edges, model.edges.flip(-1)])  # from, to
        source, drain = ends.unbind(-1)
        couplings, edges = model.edge_couplings.repeat(2), len(model.edges)

        def cavities(u: Tensor) -> tuple[Tensor, Tensor]:
            full = fields.index_add(-1, drain, u)
            return full, full[:, source] - u.roll(edges, -1)

        def function(u: Tensor) -> Tensor:
            cavity = cavities(u)[1]
            return 0.5 * (log_two_cosh(couplings + cavity) - log_two_cosh(couplings - cavity))

        u, converged, done = self.fixed_point(function, fields.new_zeros(len(fields), 2 * edges))
        full, cavity = cavities(u)
        there, back = cavity.split(edges, -1)
        coupling = model.edge_couplings
        pairs = torch.logaddexp(coupling + log_two_cosh(there + back), log_two_cosh(there - back) - coupling)
        degrees = torch.bincount(source, minlength=model.dim)
        value = ((1 - degrees) * log_two_cosh(full)).sum(-1) + pairs.sum(-1)
        return full, value, converged, done + 1
