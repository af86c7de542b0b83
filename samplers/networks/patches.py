"""A network on a lattice in which a site sees its neighbourhood alone, with the same weights at every site.

    h_i = s_1(A_1 (x_j)_{j in N(i)} + B_1 f + p_i),   h_i <- h_i + C_l s_l(A_l (h_j)_{j in N(i)} + B_l f),  l = 2, ..
    s_l(u) = silu(u) (1 + G_l f),   u_i = D h_i

f: features of the noise level and of what else is the same for all sites; N(i) of a layer of radius r: the sites of
the box of side 2r + 1 around i, those beyond an open edge zero. A site depends on those within the sum of the radii.
Radii (1, 0) in two dimensions give a function of nine pixels, (1, 1, 1) a convolutional network. D is zero at first.
LeCun, Bottou, Bengio and Haffner 1998; s_l with G is the feature-wise modulation of Perez et al. 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from samplers.networks.cliques import AtNeighbours
from samplers.networks.linear import Linear
from targets.arguments import check_integer


@dataclass(frozen=True)
class Lattice:
    """Sites of a lattice, numbered row by row, and which are within a radius of which.

    shape: the sides. periodic: whether each axis closes. ValueError for no side, and for sides below 1.

        >>> from samplers.networks.patches import Lattice
        >>> Lattice((3, 3)).within(1)[2].sum(1)[:, 0]
        tensor([4., 6., 4., 6., 9., 6., 4., 6., 4.])
    """

    shape: Sequence[int]
    periodic: bool = False

    def __post_init__(self) -> None:
        sides = (self.shape,) if isinstance(self.shape, int) else tuple(self.shape)
        if not sides:
            raise ValueError("shape: got no side, expected one or more")
        object.__setattr__(self, "shape", tuple(check_integer(side, "shape") for side in sides))

    @property
    def sites(self) -> int:
        """How many."""
        return math.prod(self.shape)

    def size(self, radius: int) -> int:
        """The number of sites in a neighbourhood that no edge cuts."""
        return int(math.prod(1 if side == 1 else 2 * radius + 1 for side in self.shape))

    def check_radius(self, radius: int, argument: str = "radius") -> None:
        """ValueError for a radius around which a periodic side would meet itself."""
        narrow = [side for side in self.shape if 1 < side < 2 * radius + 1]
        if self.periodic and narrow:
            raise ValueError(
                f"{argument}: got {radius} around a periodic side of {narrow[0]}, expected at most "
                f"{(narrow[0] - 1) // 2}: farther a site is met twice"
            )

    def within(self, radius: int) -> tuple[Tensor, Tensor, Tensor]:
        """The tables of `AtNeighbours`: sites within the radius, (sites, size), in the order of their offsets, the
        slots of the same pairs seen from their other ends, and which are there, (sites, size, 1).

        ValueError for a radius around which a periodic side would meet itself.
        """
        self.check_radius(radius)
        reach = [torch.arange(1) if side == 1 else torch.arange(-radius, radius + 1) for side in self.shape]
        offsets = torch.stack(torch.meshgrid(*reach, indexing="ij"), -1).reshape(-1, len(self.shape))
        ranges = [torch.arange(side) for side in self.shape]
        places = torch.stack(torch.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(self.shape))
        moved, sides = places[:, None] + offsets, torch.tensor(self.shape)
        inside = torch.full(moved.shape[:2], True) if self.periodic else ((moved >= 0) & (moved < sides)).all(-1)
        strides = torch.tensor([math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))])
        own, slots = torch.arange(self.sites)[:, None], torch.arange(len(offsets))
        neighbours = torch.where(inside, (moved % sides * strides).sum(-1), own)
        # the offset of slot k is minus that of the k-th from the end
        ends = neighbours * len(offsets) + torch.where(inside, slots.flip(0), slots)
        return neighbours, ends, inside[..., None].float()


class SiteLinear(nn.Module):
    """A linear map of its own at every site, (*batch, sites, inputs) -> (*batch, sites, outputs)."""

    def __init__(self, sites: int, inputs: int, outputs: int, generator: Generator, scale: float = 1.0) -> None:
        super().__init__()
        shape = (sites, outputs, inputs)
        weight = torch.randn(shape, generator=generator, dtype=torch.float32, device=generator.device)
        self.weight = nn.Parameter(weight * scale / math.sqrt(inputs))
        self.bias = nn.Parameter(weight.new_zeros(sites, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Site by site."""
        return torch.einsum("...si,soi->...so", x, self.weight) + self.bias


class PatchLayer(nn.Module):
    """s(A (h_j)_{j in N(i)} + B f) of the module, (n, sites, inputs) -> (n, sites, outputs)."""

    neighbours: Tensor
    ends: Tensor
    present: Tensor

    def __init__(
        self,
        lattice: Lattice,
        radius: int,
        inputs: int,
        outputs: int,
        features: int,
        generator: Generator,
        *,
        shared: bool = True,
        modulated: bool = True,
    ) -> None:
        super().__init__()
        self.radius = radius
        for name, table in zip(("neighbours", "ends", "present"), lattice.within(radius), strict=True):
            self.register_buffer(name, table.to(generator.device), persistent=False)
        seen = lattice.size(radius) * inputs
        self.patch: nn.Module = (
            Linear(seen, outputs, generator) if shared else SiteLinear(lattice.sites, seen, outputs, generator)
        )
        self.level = Linear(features, outputs, generator, 0.5)
        self.gain = Linear(features, outputs, generator, 0.5) if modulated else None

    def forward(self, h: Tensor, features: Tensor, place: Tensor | None = None) -> Tensor:
        """place: (sites, outputs), added before the nonlinearity."""
        if self.radius:
            h = (AtNeighbours.apply(h, self.neighbours, self.ends, self.present) * self.present).flatten(-2)
        u = self.patch(h) + self.level(features)[..., None, :]
        u = nn.functional.silu(u if place is None else u + place)
        return u if self.gain is None else u * (1 + self.gain(features)[..., None, :])


class PatchNetwork(nn.Module):
    """See the module: (n, sites, inputs) and features (n, features) -> (n, sites, outputs), zero until it is trained.

    lattice: a `Lattice`. inputs, outputs: numbers at a site. features: of f. width: of h. radii: of the layers, 0 for
    the site alone. shared: the same A, C and D at every site, else its own at each. place: p_i, learned; else none.
    modulated: with G, else s = silu. generator: of the weights. ValueError for sizes below 1, radii below 0, and none.
    Perez, Strub, de Vries, Dumoulin and Courville 2018, https://arxiv.org/abs/1709.07871.

        >>> from samplers.networks.patches import Lattice, PatchNetwork
        >>> generator = torch.Generator().manual_seed(0)
        >>> nine = PatchNetwork(Lattice((8, 8)), inputs=1, outputs=1, features=2, width=16, generator=generator)
        >>> nine(torch.ones(5, 64, 1), torch.ones(5, 2)).shape, sum(p.numel() for p in nine.parameters())
        (torch.Size([5, 64, 1]), 913)
    """

    def __init__(
        self,
        lattice: Lattice,
        *,
        inputs: int,
        outputs: int,
        features: int,
        width: int,
        generator: Generator,
        radii: Sequence[int] = (1, 0),
        shared: bool = True,
        place: bool = False,
        modulated: bool = True,
    ) -> None:
        super().__init__()
        for name, size in (("inputs", inputs), ("outputs", outputs), ("features", features), ("width", width)):
            check_integer(size, name)
        self.lattice, self.radii = lattice, check_radii(radii)
        sizes = [inputs, *[width] * (len(self.radii) - 1)]
        layers = [
            PatchLayer(lattice, r, size, width, features, generator, shared=shared, modulated=modulated)
            for r, size in zip(self.radii, sizes, strict=True)
        ]
        self.layers = nn.ModuleList(layers)

        def linear(size: int, scale: float) -> nn.Module:
            if shared:
                return Linear(width, size, generator, scale)
            return SiteLinear(lattice.sites, width, size, generator, scale)

        self.back = nn.ModuleList(linear(width, 0.5) for _ in self.radii[1:])
        self.out = linear(outputs, 0.0)
        self.place = nn.Parameter(torch.zeros(lattice.sites, width, device=generator.device)) if place else None

    @property
    def reach(self) -> int:
        """How far a site sees."""
        return sum(self.radii)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """(n, sites, inputs), (n, features) -> (n, sites, outputs)."""
        first, *later = self.layers
        h = first(x, features, self.place)
        for layer, back in zip(later, self.back, strict=True):
            h = h + back(layer(h, features))
        found: Tensor = self.out(h)
        return found


def check_radii(radii: Sequence[int]) -> tuple[int, ...]:
    """As a tuple of integers; ValueError for none and for some below 0."""
    found = tuple(check_integer(radius, "radii", 0) for radius in ((radii,) if isinstance(radii, int) else radii))
    if not found:
        raise ValueError("radii: got none, expected the radius of each layer")
    return found
