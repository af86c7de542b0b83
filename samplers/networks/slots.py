"""A graph as a table, with a row for each site and a slot for each of its edges, in which messages are kept.

Slot k of site i is the edge from i to its k-th neighbour; the other end of the same edge is a slot of the neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from targets._lattice import degrees, incidence


@dataclass(frozen=True, eq=False)
class Slots:
    """The table of a graph of n sites, with as many slots a site as the largest degree.

    neighbours: (n, degree), sites. ends: (n, degree), the number, in the flattened table, of the slot at the other end
    of the same edge. numbers: (n, degree), of the edges. present: (n, degree, 1), one for an edge. A slot without an
    edge has present zero, the site itself as neighbour, itself as other end, and the number of edges as its number.
    """

    neighbours: Tensor
    ends: Tensor
    numbers: Tensor
    present: Tensor

    @classmethod
    def of(cls, n: int, edges: Tensor) -> Self:
        """That of edges (m, 2), each pair of sites once."""
        m = len(edges)
        width = int(degrees(n, edges).max()) if m else 0
        neighbours, numbers = incidence(n, edges, width)
        present = numbers < m
        ends = torch.arange(n * width, device=edges.device)
        pairs = ends[present.flatten()][numbers[present].argsort()].reshape(m, 2)  # the two slots of each edge
        ends[pairs] = pairs.flip(-1)
        return cls(neighbours, ends.reshape(n, width), numbers, present[..., None].float())

    def on_edges(self, values: Tensor) -> Tensor:
        """A number for each edge at both of its slots, (*batch, m) -> (*batch, n, degree), zero without an edge."""
        padded = torch.cat([values, values.new_zeros(*values.shape[:-1], 1)], -1)
        return padded[..., self.numbers]

    def exchanged(self, sent: Tensor) -> Tensor:
        """What each slot receives, where each sends (b, n, degree, *c) to the other end of its edge."""
        return sent.flatten(1, 2).index_select(1, self.ends.flatten()).unflatten(1, self.ends.shape)

    def at_neighbours(self, h: Tensor) -> Tensor:
        """What stands at the neighbours, (*batch, n, width) -> (*batch, n, degree, width): see `AtNeighbours`."""
        found: Tensor = AtNeighbours.apply(h, self.neighbours, self.ends, self.present.to(h.dtype))
        return found

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        if self.ends.device == device:
            return self
        return type(self)(*(table.to(device) for table in vars(self).values()))


class AtNeighbours(torch.autograd.Function):
    """h (*batch, n, width) at the neighbours of each site, (*batch, n, degree, width).

    A graph is symmetric: the gradient is gathered as well, at the same edges seen from their other ends. It is added
    up in a fixed order, so that a run on a GPU can be repeated bit by bit; a sum by index has no order there. Slots
    without a neighbour hold the site itself; what is made of them must be discarded, and they have no gradient.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(h: Tensor, neighbours: Tensor, ends: Tensor, present: Tensor) -> Tensor:
        """neighbours (n, degree): sites. ends (n, degree): slots of the same edges. present (n, degree, 1): 1 or 0."""
        return h.index_select(-2, neighbours.flatten()).unflatten(-2, neighbours.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep the other ends for the gradient."""
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The sum of what arrives at the other ends."""
        ends, present = ctx.saved_tensors
        arrived = gradients[0].flatten(-3, -2).index_select(-2, ends.flatten()).unflatten(-2, ends.shape)
        return (arrived * present).sum(-2), None, None, None
