"""Mean field, TAP and belief propagation in a fixed number of rounds, as networks of few weights.

Sites i of a graph take states v; p(s) ~ exp(sum_i g_i(s_i) + sum over edges of K_ij 1[s_i = s_j]). From g and K a round
makes better guesses of the marginals p_i(v), and each round has weights of its own beside the same g and K:

    mean field          log p_i <- k log p_i + (1 - k) [g_i + a sum_j K_ij p_j]
    TAP                 the same, with r sum_j (a K_ij)^2 [p_j (1 - p_j) / 2 - p_j (p_i - p_i . p_j)] added in brackets
    belief propagation  u_{i -> j} <- k u_{i -> j} + (1 - k) log(1 + (e^{a K_ij} - 1) softmax(c_{i -> j})),
                        c_{i -> j} = g_i + sum_l u_{l -> i} - r u_{j -> i},      log p_i = g_i + w sum_j u_{j -> i}

all up to constants in v. With a = r = w = 1, where training starts, these are the algorithms themselves, damped by k.
`width`: of a small network beside them, one a round, which adds to what an edge says a function of both ends' states
and of `channels` numbers of its own that it hands on; nothing, where training starts. Sites, edges and states are
treated alike, so that relabelling them relabels the answer: with two states, turning all fields turns all means.
Mei and Wu 2023; Satorras and Welling 2021.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from samplers.networks.linear import Linear
from samplers.networks.slots import Slots
from targets.arguments import check_integer


class Correction(nn.Module):
    """(delta, z') = A silu(B at a slot + C at its site), delta zero at first; at every slot and state.

    at a slot: what stands there, and z, what was handed on to it; at a site: what stands there, and the sum of its z.
    """

    def __init__(self, slot: int, site: int, width: int, channels: int, last: bool, generator: Generator) -> None:
        super().__init__()
        self.slot = Linear(slot + channels, width, generator)
        self.site = Linear(site + channels, width, generator)
        self.out = Linear(width, 1, generator, 0.0)
        self.hand_on = Linear(width, channels, generator) if channels and not last else None

    def forward(self, slot: list[Tensor], site: list[Tensor], z: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(b, n, degree, q) and (b, n, q) each, and (b, n, degree, q, channels), to a slot's delta and z'."""
        there, here = torch.stack(slot, -1), torch.stack(site, -1)
        if z is not None:
            there, here = torch.cat([there, z], -1), torch.cat([here, z.sum(2)], -1)
        hidden = nn.functional.silu(self.slot(there) + self.site(here)[:, :, None])
        return self.out(hidden)[..., 0], None if self.hand_on is None else self.hand_on(hidden).tanh()


class UnrolledNetwork(nn.Module, ABC):
    """Rounds of a scheme with weights of their own: see the module. Its weights know no graph, and fit every one.

    rounds: how many, and so how many edges far a site sees. width: of the network in each round that corrects it, 0 for
    none. channels: numbers that it hands on beside each message. generator: of its weights.
    """

    start: ClassVar[tuple[float, ...]]  # of the weights of a round
    inputs: ClassVar[tuple[int, int]]  # of the correction, at a slot and at a site

    def __init__(self, rounds: int, width: int, channels: int, generator: Generator) -> None:
        super().__init__()
        self.sizes = {"rounds": rounds, "width": width, "channels": channels}
        for name, least in (("rounds", 1), ("width", 0), ("channels", 0)):
            check_integer(self.sizes[name], name, least)
        if channels and not width:
            raise ValueError(f"channels: got {channels} with width=0, expected 0, as nothing would hand them on")
        self.weights = nn.Parameter(torch.tensor(self.start, device=generator.device).repeat(rounds, 1))
        self.corrections = nn.ModuleList(
            Correction(*self.inputs, width, channels, k == rounds - 1, generator) for k in range(rounds if width else 0)
        )

    @abstractmethod
    def forward(self, slots: Slots, couplings: Tensor, potentials: Tensor) -> Tensor:
        """log p_i(v) up to a constant at each site, (b, n, q).

        couplings: K (n, degree) or (b, n, degree), as `Slots.on_edges` has it. potentials: g (b, n, q).
        """

    def _first(self, slots: Slots, potentials: Tensor) -> Tensor | None:
        """What corrections hand on, before the first round."""
        channels = self.sizes["channels"]
        return (
            potentials.new_zeros(*potentials.shape[:2], slots.ends.shape[1], potentials.shape[2], channels)
            if (channels)
            else None
        )

    def _corrected(
        self, k: int, slots: Slots, message: Tensor, there: list[Tensor], here: list[Tensor], z: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What an edge says in round k, corrected by what stands at slots and sites, and what it hands on."""
        if len(self.corrections):
            delta, z = self.corrections[k]([values.expand_as(message) for values in (message, *there)], here, z)
            message = message + _centred(delta)
            z = None if z is None else slots.exchanged(z * slots.present[..., None].to(z))
        return message * slots.present.to(message), z


class UnrolledMeanField(UnrolledNetwork):
    """Mean field, with TAP's reaction where `reaction` is set. Weights of a round: a, k (and r)."""

    start: ClassVar[tuple[float, ...]] = (1.0, 0.5)
    inputs = (3, 2)
    reaction: ClassVar[bool] = False

    def forward(self, slots: Slots, couplings: Tensor, potentials: Tensor) -> Tensor:
        couplings, z, total = couplings[..., None], self._first(slots, potentials), potentials
        own = _shares(potentials.softmax(-1))
        for k, (scale, keep, *reaction) in enumerate(self.weights):
            p = total.softmax(-1)
            there = slots.at_neighbours(p)
            message = scale * couplings * there
            if self.reaction:
                here = p[:, :, None]
                gap = 0.5 * (1 - there) - here + (here * there).sum(-1, keepdim=True)
                message = message + reaction[0] * (scale * couplings).square() * there * gap
            inputs = [couplings, _shares(there)], [_shares(p), own]
            message, z = self._corrected(k, slots, _centred(message), *inputs, z)
            total = keep * total + (1 - keep) * (potentials + message.sum(2))
        return total


class UnrolledTAP(UnrolledMeanField):
    """TAP: mean field, less what a site says to itself by way of its neighbours."""

    start = (1.0, 0.5, 1.0)
    reaction = True


class UnrolledBeliefPropagation(UnrolledNetwork):
    """Belief propagation. Weights of a round: a, k, r; the last w is one number.

    After as many rounds as the longest path has edges it is exact on a tree or a forest.
    """

    start = (1.0, 0.0, 1.0)
    inputs = (5, 2)

    def __init__(self, rounds: int, width: int, channels: int, generator: Generator) -> None:
        super().__init__(rounds, width, channels, generator)
        self.last = nn.Parameter(torch.ones((), device=generator.device))

    def forward(self, slots: Slots, couplings: Tensor, potentials: Tensor) -> Tensor:
        couplings, z = couplings[..., None], self._first(slots, potentials)
        received = sent = potentials.new_zeros(*potentials.shape[:2], slots.ends.shape[1], potentials.shape[2])
        own = _shares(potentials.softmax(-1))
        for k, (scale, keep, back) in enumerate(self.weights):
            total = potentials + received.sum(2)
            p = (total[:, :, None] - back * received).softmax(-1)
            inputs = [couplings, _shares(p), received, sent], [_shares(total.softmax(-1)), own]
            message, z = self._corrected(k, slots, said(scale * couplings, p), *inputs, z)
            sent = keep * sent + (1 - keep) * message
            received = slots.exchanged(sent)
        return potentials + self.last * received.sum(2)


def said(couplings: Tensor, p: Tensor) -> Tensor:
    """log(1 + (e^K - 1) p) less its mean over the states, (*batch, q); without overflow where |K| is large."""
    others = p.flip(-1) if p.shape[-1] == 2 else 1 - p
    low = (-couplings.abs()).exp()
    return _centred((low + (1 - low) * torch.where(couplings > 0, p, others)).log())


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(-1, keepdim=True)


def _shares(p: Tensor) -> Tensor:
    """q p - 1, of mean zero over the q states."""
    return p.shape[-1] * p - 1
