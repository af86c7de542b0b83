"""Graphs: the edges of a grid, colourings, and tables of neighbours."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from targets.arguments import shown


def check_shape(shape: int | Sequence[int], periodic: bool) -> tuple[int, ...]:
    """The sides of a lattice as a tuple; ValueError for none, for sides below one and for periodic sides of two."""
    sides = (shape,) if isinstance(shape, int) else tuple(int(side) for side in shape)
    if not sides or min(sides) < 1:
        raise ValueError(f"shape: got {shown(shape)}, expected one positive side or more")
    if periodic and 2 in sides:
        raise ValueError(
            f"shape: got {shown(shape)} with periodic=True: around a side of 2 two edges join the same pair of sites; "
            "expected sides of at least 3 (or of 1), or periodic=False"
        )
    return sides


def grid_edges(shape: Sequence[int], periodic: bool) -> tuple[Tensor, Tensor]:
    """Edges (m, 2), each once with the smaller site first, and the axis of each, (m,). Sites are numbered row by row.

    Axis by axis; along an axis the edge from each site to the next, in the order of the sites, in a torus with those
    that close it. A side of 1 has no edges.
    """
    sites = torch.arange(math.prod(shape)).reshape(tuple(shape))
    pairs, axes = [], []
    for axis, side in enumerate(shape):
        if side == 1:
            continue
        following = sites.roll(-1, axis)
        kept = side if periodic else side - 1
        pair = torch.stack([sites.narrow(axis, 0, kept), following.narrow(axis, 0, kept)], -1).reshape(-1, 2)
        pairs.append(pair.sort(-1).values)
        axes.append(torch.full((len(pair),), axis))
    if not pairs:
        return torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return torch.cat(pairs), torch.cat(axes)


def grid_colours(shape: Sequence[int], periodic: bool) -> tuple[Tensor, ...]:
    """A checkerboard of two colours, or of three where a periodic side is odd.

    A cycle of any length above 2 has a colouring c by 0, 1, 2; the sum of the c of all axes, modulo 3, changes along
    every edge.
    """
    odd = periodic and any(side % 2 and side > 1 for side in shape)
    total = torch.zeros(tuple(shape), dtype=torch.long)
    for axis, side in enumerate(shape):
        colour = torch.arange(side) % 2
        if odd and side % 2 and side > 1:
            colour[-1] = 2
        total = total + colour.reshape(-1, *(1,) * (len(shape) - axis - 1))
    total = (total % (3 if odd else 2)).flatten()
    return _classes(total)


def colouring(n: int, edges: Tensor) -> tuple[Tensor, ...]:
    """A greedy colouring in the order of a breadth-first search: two colours wherever two are enough."""
    around: list[list[int]] = [[] for _ in range(n)]
    for i, j in edges.tolist():
        around[i].append(j)
        around[j].append(i)
    colours = [-1] * n
    seen = [False] * n
    for root in range(n):
        if seen[root]:
            continue
        seen[root], queue = True, deque([root])
        while queue:
            site = queue.popleft()
            taken = {colours[other] for other in around[site]}
            colours[site] = next(colour for colour in range(n) if colour not in taken)
            for other in around[site]:
                if not seen[other]:
                    seen[other] = True
                    queue.append(other)
    return _classes(torch.tensor(colours))


def _classes(colours: Tensor) -> tuple[Tensor, ...]:
    classes = (torch.nonzero(colours == colour).flatten() for colour in range(int(colours.max()) + 1))
    return tuple(sites for sites in classes if len(sites))


def degrees(n: int, edges: Tensor) -> Tensor:
    """The number of edges at each site, (n,)."""
    return torch.bincount(edges.flatten(), minlength=n)


def incidence(n: int, edges: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """For each site its neighbours and the edges to them, both (n, width), width the largest degree.

    Sites with fewer neighbours are padded with themselves and with edge number m = len(edges).
    """
    m, degree = len(edges), degrees(n, edges)
    ends = torch.cat([edges[:, 0], edges[:, 1]])
    order = ends.argsort(stable=True)
    sites = ends[order]
    start = degree.cumsum(0) - degree
    column = torch.arange(2 * m, device=edges.device) - start[sites]
    neighbours = torch.arange(n, device=edges.device)[:, None].repeat(1, width)
    numbers = torch.full((n, width), m, device=edges.device)
    neighbours[sites, column] = torch.cat([edges[:, 1], edges[:, 0]])[order]
    numbers[sites, column] = order % m if m else order
    return neighbours, numbers


def check_edges(edges: Tensor, n: int) -> Tensor:
    """Edges (m, 2) with the smaller site first, in lexicographic order; ValueError for loops and repeated edges."""
    edges = torch.as_tensor(edges)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.is_floating_point():
        raise ValueError(f"edges: got shape {tuple(edges.shape)} of {edges.dtype}, expected integers (edges, 2)")
    edges = edges.long()
    if len(edges) and (int(edges.min()) < 0 or int(edges.max()) >= n):
        raise ValueError(f"edges: got sites {int(edges.min())} to {int(edges.max())}, expected 0 to {n - 1}")
    if bool((edges[:, 0] == edges[:, 1]).any()):
        raise ValueError("edges: got an edge from a site to itself, expected two different sites")
    ordered = edges.sort(-1).values
    keys = ordered[:, 0] * n + ordered[:, 1]
    if len(keys.unique()) != len(keys):
        raise ValueError("edges: got the same pair of sites twice, expected every edge once")
    return ordered
