"""A control of a Markov random field made of one small network for sites and one for edges.

    h_i = site(x_i, score_i, b_i, time)
    h_i <- h_i + sum over neighbours j of f(h_i, h_j, J_ij, time)      in each of `rounds` rounds, each with its own f
    u_i = w . h_i

In one round u_i = g(x_i, ..) + sum_j f(x_i, x_j, ..), a sum over cliques as the score of the field is. Gaussian noise
of width sigma couples sites that are no neighbours, ever farther for larger sigma; after r rounds u_i depends on the
sites within r edges of i, and on the score there. Every site and every edge has the same weights, and J and b are
inputs: the number of weights does not depend on the size of the field, and weights of a small one fit a large one.
Ehab 2023; Gottwald, Li, Marzouk and Reich 2025; Mei and Wu 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from samplers.networks.base import ControlNetwork, NetworkSpec
from samplers.networks.features import FourierFeatures
from samplers.networks.linear import Linear
from samplers.networks.slots import AtNeighbours, Slots
from targets import PairwiseMRF, RelaxedMRF
from targets._lattice import check_edges
from targets.arguments import as_double, check_integer

FREQUENCIES = 8


class Round(nn.Module):
    """sum_j f(h_i, h_j, J_ij, time), f with one hidden layer in which J_ij also multiplies a map of h_j."""

    def __init__(self, width: int, features: int, degree: int, generator: Generator) -> None:
        super().__init__()
        self.site = Linear(width, width, generator)
        self.neighbour = Linear(width, 2 * width, generator)
        self.coupling = Linear(1, width, generator)
        self.time = Linear(features, width, generator, 0.5)
        self.out = Linear(width, width, generator, 0.5 * max(1, degree) ** -0.5)

    def forward(self, h: Tensor, features: Tensor, graph: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """(s, n, dim, width) -> (s, n, dim, width)."""
        neighbours, ends, present, couplings = graph
        site = self.site(h) + self.time(features)[:, None, None]
        others = AtNeighbours.apply(self.neighbour(h), neighbours, ends, present)
        plain, coupled = others.chunk(2, -1)
        hidden = site[..., None, :] + plain + couplings * coupled + self.coupling(couplings)
        return self.out((nn.functional.silu(hidden) * present).sum(-2))


class CliqueControl(ControlNetwork):
    """See the module. The graph and its couplings are no part of the state dict, which fits fields of every size."""

    neighbours: Tensor
    ends: Tensor
    present: Tensor
    couplings: Tensor
    fields: Tensor

    def __init__(
        self, edges: Tensor, couplings: Tensor, fields: Tensor, width: int, rounds: int, generator: Generator
    ) -> None:
        dim, inputs = fields.shape
        super().__init__(dim)
        graph = _graph(dim, edges, couplings) | {"fields": fields.float()}
        for name, tensor in graph.items():
            self.register_buffer(name, tensor.to(generator.device), persistent=False)
        self.time = FourierFeatures(FREQUENCIES, generator=generator)
        features = self.time.outputs
        self.first = Linear(2 + inputs, width, generator)
        self.level = Linear(features, width, generator, 0.5)
        self.second = Linear(width, width, generator)
        degree = self.neighbours.shape[1]
        self.rounds = nn.ModuleList(Round(width, features, degree, generator) for _ in range(rounds))
        self.out = Linear(width, 1, generator, 0.0)

    def forward(self, time: Tensor, x: Tensor, score: Tensor) -> Tensor:
        """(s,), (s, n, dim), (s, n, dim) -> (s, n, dim)."""
        self.check(time, x, score)
        features = self.time(time)
        inputs = torch.cat([torch.stack([x, score], -1), self.fields.expand(*x.shape, -1)], -1)
        h = self.second(nn.functional.silu(self.first(inputs) + self.level(features)[:, None, None]))
        graph = (self.neighbours, self.ends, self.present, self.couplings)
        for messages in self.rounds:
            h = h + messages(h, features, graph)
        return self.out(h)[..., 0]


@dataclass(frozen=True, eq=False)
class CliqueNetwork(NetworkSpec):
    """A network for a pairwise Markov random field, of cliques: see the module. `of` reads the field from a target.

        u_i = g(x_i, score_i, b_i, time) + sum_j f(x_i, x_j, score_i, score_j, b_i, b_j, J_ij, time)    for rounds = 1

    edges: (m, 2), each pair of sites once. couplings: J, (m,) or one number. fields: b, (sites,), or (sites, k) for k
    numbers that tell sites apart; zero by default. width: of all layers. rounds: how many edges far a site sees.
    Work and memory grow with sites * largest degree * width. ValueError for what is no graph, for unequal lengths, and
    for a dim that is not the number of sites.

        >>> from samplers.networks import CliqueNetwork
        >>> chain = CliqueNetwork(edges=torch.tensor([[0, 1], [1, 2]]), couplings=torch.tensor([1.0, -1.0]), width=4)
        >>> chain.make(3, torch.Generator().manual_seed(0)).dim
        3
    """

    edges: Tensor
    couplings: Tensor
    fields: Tensor | None = None
    width: int = 16
    rounds: int = 1
    coordinates = "diagonal"

    def __post_init__(self) -> None:
        for name in ("width", "rounds"):
            check_integer(getattr(self, name), name)
        edges = torch.as_tensor(self.edges).cpu()
        fields = None if self.fields is None else as_double(self.fields, "fields").detach().cpu()
        if fields is not None and fields.ndim not in (1, 2):
            raise ValueError(f"fields: got shape {tuple(fields.shape)}, expected (sites,) or (sites, k)")
        sites = len(fields) if fields is not None else int(edges.max()) + 1 if edges.numel() else 0
        edges = check_edges(edges, sites)
        couplings = as_double(self.couplings, "couplings").detach().cpu()
        if couplings.shape not in ((), (len(edges),)):
            raise ValueError(
                f"couplings: got shape {tuple(couplings.shape)}, expected a number or ({len(edges)},), one an edge"
            )
        for name, value in {"edges": edges, "couplings": couplings.expand(len(edges)), "fields": fields}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, target: PairwiseMRF | RelaxedMRF, width: int = 16, rounds: int = 1) -> CliqueNetwork:
        """The network of a field of spins or of its relaxed density, on the edges of the field in both cases.

        Of a relaxed density the self-couplings D tell sites apart as well. Its score in w, A (tanh(Aw + b) - w), is of
        two rounds; in x it holds the inverse of A, and what that brings from afar is seen in `score` alone.
        """
        if isinstance(target, PairwiseMRF):
            return cls(target.edges, target.edge_couplings, target.fields, width, rounds)
        if not isinstance(target, RelaxedMRF):
            raise TypeError(f"target: got a {type(target).__name__}, expected a PairwiseMRF or its relaxed() density")
        mrf = target.mrf
        return cls(mrf.edges, mrf.edge_couplings, torch.stack([mrf.fields, target.shift], -1), width, rounds)

    def make(self, dim: int, generator: Generator) -> CliqueControl:
        """The network on the sites of the graph."""
        if self.fields is not None and dim != len(self.fields):
            raise ValueError(f"dim: got {dim}, expected {len(self.fields)}, the number of sites in fields")
        if len(self.edges) and dim <= int(self.edges.max()):
            raise ValueError(f"dim: got {dim}, expected at least {int(self.edges.max()) + 1}, for the sites in edges")
        fields = torch.zeros(dim, 1) if self.fields is None else self.fields.reshape(dim, -1)
        return CliqueControl(self.edges, self.couplings, fields, self.width, self.rounds, generator)


def _graph(n: int, edges: Tensor, couplings: Tensor) -> dict[str, Tensor]:
    """The tables of `AtNeighbours` and the couplings (n, degree, 1), zero where there is no neighbour."""
    slots = Slots.of(n, edges)
    tables = {name: getattr(slots, name) for name in ("neighbours", "ends", "present")}
    return tables | {"couplings": slots.on_edges(couplings).float()[..., None]}
