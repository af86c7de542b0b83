"""Cluster updates: bonds between sites that agree, then whole clusters at once.

    spins:  an edge with J_ij s_i s_j > 0 is opened with probability 1 - exp(-2 |J_ij|),
            a cluster C keeps its spins with probability sigmoid(2 sum_{i in C} b_i s_i), else all of them turn
    Potts:  an edge with s_i = s_j is opened with probability 1 - exp(-K_ij),
            a cluster C takes the value v with probability ~ exp(sum_{i in C} h_i[v])

Given the bonds the clusters are independent of one another, so that fields enter exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor
from torch.utils.weak import WeakIdKeyDictionary

from samplers.kernels import _choices
from samplers.kernels._clusters import Edges, clusters, sorted_edges
from samplers.kernels.base import Kernel
from samplers.kernels.metropolis import always, lazy, metropolis
from samplers.runs.state import Info, State, evaluate
from targets import Target
from targets.graph import GraphTarget

_edges = WeakIdKeyDictionary()  # of a target's edges: what is made of them once
_graphs = WeakIdKeyDictionary()  # of its couplings, which an annealed target has of its own


class Graph(NamedTuple):
    """Edges; which favour equal ends, and P(open) of each where its ends agree with that, (m,) in their order."""

    edges: Edges
    equal: Tensor
    probability: Tensor
    spins: bool


def graph_of(target: GraphTarget) -> Graph:
    """The graph of a target, kept as long as its couplings are."""
    listed, couplings, spins = target.edges, target.edge_couplings, _spins(target)
    if listed not in _edges:
        _edges[listed] = sorted_edges(listed, target.dim)
    edges, known = _edges[listed], _graphs.get(couplings)
    if known is None or known.edges is not edges or known.spins != spins:
        ordered = couplings[edges.order].double()
        known = Graph(edges, ordered > 0, -torch.expm1((-2 if spins else -1) * ordered.abs()), spins)
        _graphs[couplings] = known
    return known


@dataclass(frozen=True, eq=False)
class ClusterKernel(Kernel):
    """What cluster updates share: the target's graph, the bonds and the clusters that these join.

    The target states `edges` (m, 2), each once, `edge_couplings` (m,) and `fields`: (n,) for spins -1 and +1, with
    p ~ exp(sum_e J_e s_i s_j + sum_i b_i s_i); (n, q) for Potts, with p ~ exp(sum_e K_e [s_i = s_j] + sum_i h_i[s_i]).
    """

    reversible: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    discrete: ClassVar[bool] = True

    def check_target(self, target: Target) -> None:
        """TypeError for a target without a graph, ValueError for a Potts model with negative couplings."""
        super().check_target(target)
        graph = as_graph(target)
        if not _spins(graph) and bool((graph.edge_couplings < 0).any()):
            raise ValueError(
                f"target: {target.name} has a coupling of {float(graph.edge_couplings.min()):.6g}, and clusters of a "
                "Potts model need couplings of at least 0, which favour equal neighbours; expected Gibbs as the kernel"
            )

    def graph(self, target: Target) -> Graph:
        """Edges and the law of their bonds."""
        return graph_of(as_graph(target))

    def clusters(self, target: Target, x: Tensor, generator: Generator) -> Tensor:
        """The cluster of every site once bonds are drawn: numbers in 0 .. n - 1 for each chain, (chains, n)."""
        return self.joined(target, x, _choices.coin(self.graph(target).probability.expand(len(x), -1), generator))

    def joined(self, target: Target, x: Tensor, coins: Tensor) -> Tensor:
        """The same where coins (chains, m) say which edges open if their sites agree."""
        graph = self.graph(target)
        edges = graph.edges
        agree = (x.index_select(1, edges.first) == x.index_select(1, edges.second)) == graph.equal
        return clusters(coins & agree, edges)


@dataclass(frozen=True, eq=False)
class SwendsenWang(ClusterKernel):
    """Swendsen-Wang: every cluster drawn anew; for spins with couplings of either sign, and for Potts, with any fields.

    Bonds are opened between sites that agree with their coupling, with probability 1 - exp(-2 |J|) (Potts 1 - exp(-K));
    given the bonds each cluster takes its orientation (Potts: its value) from its exact law, in which the fields of
    its sites are summed. Leaves the target invariant and is reversible; nothing is rejected. Frustrated couplings and
    strong fields are right but slow to mix. A step costs O(chains (n + m)) for n sites and m edges.

    Raises TypeError for a target without a graph, ValueError for a Potts model with a negative coupling.
    Swendsen and Wang 1987, https://doi.org/10.1103/PhysRevLett.58.86; Edwards and Sokal 1988,
    https://doi.org/10.1103/PhysRevD.38.2009.

        >>> potts = targets.Potts((4, 4), states=3, coupling=1.0)
        >>> samplers.SwendsenWang().sample(potts, chains=4, draws=20, warmup=0, seed=0).x.unique()
        tensor([0., 1., 2.])
    """

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        x = self.redrawn(target, state.x, self.clusters(target, state.x, generator), generator)
        return always(state, evaluate(target, x, score=False))

    def redrawn(self, target: Target, x: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        """x with a new orientation or value of each cluster, (chains, n)."""
        logits = self.cluster_logits(target, x, labels)
        graph = as_graph(target)
        chosen = graph.values[_choices.category(logits, generator)].gather(1, labels)
        return chosen * x if _spins(graph) else chosen

    def cluster_logits(self, target: Target, x: Tensor, labels: Tensor) -> Tensor:
        """Log-law of each cluster, (chains, clusters, 2 or q): of a turn by -1 or +1 in spins, of a value in Potts."""
        graph = as_graph(target)
        fields = graph.fields.double()
        chains, most, q = len(x), int(labels.max()) + 1, len(graph.values)
        if not _spins(graph):
            member = labels[..., None].expand(-1, -1, q)
            return fields.new_zeros(chains, most, q).scatter_add_(1, member, fields.expand(chains, -1, -1))
        total = fields.new_zeros(chains, most)
        if bool(fields.any()):
            total.scatter_add_(1, labels, fields * x)
        return torch.stack([-total, total], -1)


@dataclass(frozen=True, eq=False)
class Wolff(ClusterKernel):
    """Wolff: the cluster of one site drawn at random is turned, or in Potts takes one of the other values.

    The cluster is grown by the bonds of Swendsen-Wang and turned with probability .9 min(1, exp(change of its fields)).
    The .9 is for fields of zero, where nothing else keeps a chain in place: strongly coupled spins, all of them one
    cluster, would turn at every step, and draws two steps apart would never differ in sign. Leaves the target invariant
    and is reversible. Large clusters are met in proportion to their size. All bonds are drawn and all clusters labelled
    to find this one, which is what vectorises over chains: a step costs as much as one of SwendsenWang, which turns all
    clusters.

    Raises TypeError for a target without a graph, ValueError for a Potts model with a negative coupling. Wolff 1989,
    https://doi.org/10.1103/PhysRevLett.62.361.

        >>> ising = targets.Ising((8, 8), coupling=0.44)
        >>> samplers.Wolff().sample(ising, chains=4, draws=20, warmup=0, seed=0).x.shape
        torch.Size([4, 20, 64])
    """

    stays: ClassVar[float] = 0.1

    def step(self, target: Target, state: State, generator: Generator) -> tuple[State, Info]:
        x = state.x
        labels = self.clusters(target, x, generator)
        seed = _choices.one_of(target.dim, (len(x), 1), generator, x.device)
        member = labels == labels.gather(1, seed)
        new, gain = self.changed(target, x, generator)
        proposal = evaluate(target, torch.where(member, new, x), score=False)
        log_ratio = lazy(torch.where(member, gain, 0.0).sum(-1), self.stays)
        return metropolis(state, proposal, log_ratio, generator)

    def changed(self, target: Target, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """What each site becomes if it is in the cluster, and what its field then gains, (chains, n) both."""
        graph = as_graph(target)
        fields, values = graph.fields.double(), graph.values
        if _spins(graph):
            return -x, -2 * fields * x
        q, old = len(values), x.long()
        new = (old + 1 + _choices.one_of(q - 1, (len(x), 1), generator, x.device)) % q
        fields = fields.expand(len(x), -1, -1)
        gain = fields.gather(-1, new[..., None]) - fields.gather(-1, old[..., None])
        return values[new], gain[..., 0]


def as_graph(target: Target) -> GraphTarget:
    """The target as what it is; TypeError for one without edges."""
    if not isinstance(target, GraphTarget):
        raise TypeError(
            f"target: {target.name} states no edges, edge_couplings, fields, and clusters are those of a graph; "
            "expected a PairwiseMRF, Ising or Potts, or Gibbs as the kernel"
        )
    return target


def _spins(graph: GraphTarget) -> bool:
    return graph.fields.ndim == 1
