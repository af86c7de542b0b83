"""Networks on lattices with one mistake each; the checks of `patch_cases` reject them all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

import math

import torch
from bug_register import Bugs
from patch_cases import (
    check_convolution,
    check_gradients,
    check_images,
    check_levels,
    check_reach,
    check_start,
    check_translation,
)

from samplers.generative import local_network
from samplers.generative.local_network import _LocalNetwork
from samplers.networks.patches import Lattice, PatchLayer
from targets import IsotropicNoise

BUGS = Bugs()
bug = BUGS.add


def tables(patch, change):
    right = Lattice.within
    patch.setattr(Lattice, "within", lambda self, radius: change(self, radius, *right(self, radius)))


@bug("the gradient gathered at the same slots")
def same_slots(patch):
    def change(lattice, radius, neighbours, ends, present):
        return neighbours, neighbours * ends.shape[1] + torch.arange(ends.shape[1]), present

    tables(patch, change)
    return check_gradients


@bug("the site itself in place of those beyond an edge")
def filled_edges(patch):
    def change(lattice, radius, neighbours, ends, present):
        return neighbours, ends, torch.ones_like(present)

    tables(patch, change)
    return check_convolution


@bug("an open image that closes")
def closed(patch):
    right = Lattice.within
    patch.setattr(Lattice, "within", lambda self, radius: right(Lattice(self.shape, periodic=max(self.shape) > 2), 1))
    return check_reach


@bug("sites numbered column by column")
def columns(patch):
    def change(lattice, radius, neighbours, ends, present):
        order = torch.arange(lattice.sites).reshape(lattice.shape).permute(*reversed(range(len(lattice.shape))))
        return (
            order.reshape(-1)[neighbours],
            order.reshape(-1)[neighbours] * ends.shape[1] + ends % ends.shape[1],
            present,
        )

    tables(patch, change)
    return check_convolution


@bug("a neighbourhood in another order")
def mirrored(patch):
    tables(patch, lambda lattice, radius, *found: tuple(table.flip(1) for table in found))
    return check_convolution


@bug("weights of one axis for another")
def transposed(patch):
    def change(lattice, radius, neighbours, ends, present):
        side = round(math.sqrt(neighbours.shape[1]))
        return tuple(t.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2) for t in (neighbours, ends, present))

    tables(patch, change)
    return check_convolution


@bug("a place where none is asked for")
def placed(patch):
    right = PatchLayer.forward

    def forward(self, h, features, place=None):
        return right(self, h, features, torch.linspace(0, 1, h.shape[-2], dtype=h.dtype)[:, None])

    patch.setattr(PatchLayer, "forward", forward)
    return check_translation


@bug("images read with the channels last")
def channels_last(patch):
    patch.setattr(_LocalNetwork, "_at_sites", lambda self, x, channels: x.unflatten(-1, (-1, channels)))
    return check_images


@bug("the variance of the data in units of no noise")
def another_unit(patch):
    patch.setattr(local_network, "noise_of", lambda process: IsotropicNoise(1.0))
    return check_start


@bug("the level of the noise in place of its logarithm")
def linear_level(patch):
    right = _LocalNetwork._level

    def level(self, sigma):
        share = (sigma.clamp(self.low, self.high) - self.low) / (self.high - self.low)
        return right(self, self.low * (self.high / self.low) ** share)

    patch.setattr(_LocalNetwork, "_level", level)
    return check_levels


@bug("polynomials beyond the range of the noise")
def unclamped(patch):
    def level(self, sigma):
        place = 2 * (sigma / self.low).log() / math.log(self.high / self.low) - 1
        found = [torch.ones_like(place), place]
        while len(found) <= self.spec.degrees:
            found.append(2 * place * found[-1] - found[-2])
        return torch.cat(found[1:], -1)

    patch.setattr(_LocalNetwork, "_level", level)
    return check_levels
