"""The denoiser of spins on narrow lattices: the sum over all configurations, row by row.

    E[s | y] = d log Z(h) / dh,    phi(y) = log Z(h) - (y'P y + tr P) / 2 + const,    h = b + P y

and draws by the messages of the same sum: the first row, then each given the one before it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Estimate
from samplers.denoisers.spins.posterior import ExactSpinDenoiser, SpinPosterior, parts
from samplers.kernels import _choices
from targets import Noise, PairwiseMRF, Target
from targets.transfer_matrix import MOST_SPREAD, Strip


@dataclass(frozen=True, eq=False)
class TransferMatrix(ExactSpinDenoiser):
    """Means by differentiating the log Z of a strip in its fields, and exact draws row by row, all in float64.

    For Ising models whose rows across the longest side have at most 12 sites, 10 on a torus, and noise that keeps
    their couplings or scales them: independent at each site, or `MRFNoise`. The time of one measurement grows as
    2^(3w/2) with the width w, 2^(5w/2) on a torus. A measurement so far out that the weights of a row might leave the
    range of float64 is not trusted. ValueError for other models and noise. An estimate counts as one score and one
    log-density, a draw as one log-density.

        >>> from samplers.denoisers.spins import Enumeration, TransferMatrix
        >>> ising, noise, y = targets.Ising((3, 4), coupling=0.3), targets.IsotropicNoise(1.0), torch.ones(1, 12)
        >>> found, exact = (kind.estimate(ising, y, noise) for kind in (TransferMatrix(), Enumeration()))
        >>> bool((found.mean - exact.mean).abs().max() < 1e-6)
        True
    """

    def check(self, target: Target, noise: Noise) -> None:
        super().check(target, noise)
        assert isinstance(target, PairwiseMRF)
        if SpinPosterior.of(target, noise).model._strip is None:
            raise ValueError(
                f"denoiser: {target.name} with {noise} is no lattice of at most 12 rows, 10 on a torus, of couplings "
                "that the transfer matrix can hold; expected another denoiser, such as GibbsMeans"
            )

    def told(self, posterior: SpinPosterior, y: Tensor) -> Estimate:
        strip = _strip(posterior, y.device)
        tilt = posterior.tilt(y.double())
        mean, log_z = torch.empty_like(tilt), torch.empty_like(tilt[:, 0])
        for part in parts(len(y), _numbers(strip)):
            with torch.enable_grad():
                sites = _tilted(strip, tilt[part]).requires_grad_()
                value = torch.func.vmap(strip._log_z, in_dims=(0, None, None))(sites, strip.across, strip.along)
                (shares,) = torch.autograd.grad(value.sum(), sites)
            mean[part, strip.place.flatten()] = (shares[..., 1] - shares[..., 0]).flatten(1)
            log_z[part] = value.detach()
        trusted = _representable(strip, tilt)
        found = posterior.log_density(y, tilt, log_z)
        return Estimate(mean.to(y.dtype), found, trusted=None if bool(trusted.all()) else trusted)

    def drawn(self, posterior: SpinPosterior, y: Tensor, generator: Generator) -> Tensor:
        strip = _strip(posterior, y.device)
        tilt, drawn = posterior.tilt(y.double()), torch.empty_like(y)
        for part in parts(len(y), _numbers(strip)):
            spins = 2.0 * _draws(strip, _tilted(strip, tilt[part]), generator) - 1
            drawn[part, strip.place.flatten()] = spins.flatten(1).to(y.dtype)
        return drawn


def work(strip: Strip) -> int:
    """Products of numbers in one evaluation, about."""
    states = len(strip.rows)
    return strip.length * int(states**1.5) * (states if strip.cyclic else 1)


def _numbers(strip: Strip) -> int:
    """Numbers held for one measurement."""
    states = len(strip.rows)
    return 8 * strip.length * states * (states if strip.cyclic else 1)


def _strip(posterior: SpinPosterior, device: torch.device) -> Strip:
    """The posterior without its tilt, on the device of the measurements."""
    strip = posterior.model._strip
    assert strip is not None
    if device == strip.site.device:
        return strip
    moved = copy.copy(strip)
    for name in ("site", "across", "along", "row_edges", "pair", "place", "rows"):
        setattr(moved, name, getattr(strip, name).to(device))
    return moved


def _tilted(strip: Strip, tilt: Tensor) -> Tensor:
    """Site weights with each measurement's fields added, (n, T, w, 2)."""
    own = tilt[:, strip.place]
    return strip.site + torch.stack([-own, own], -1)


def _representable(strip: Strip, tilt: Tensor) -> Tensor:
    """`Strip.representable` with each measurement's fields, (n,)."""
    site = _tilted(strip, tilt)
    reach = float(strip.pair.max() - strip.pair.min())
    inside = (site.amax(-1) - site.amin(-1)).sum(-1) + reach * strip.across.abs().sum(-1)
    between = reach * strip.along.abs().sum(-1)
    spread = inside.amax(-1) + (between.amax() if len(between) else 0.0)
    return spread < (MOST_SPREAD / 2 if strip.cyclic else MOST_SPREAD)


def _draws(strip: Strip, sites: Tensor, generator: Generator) -> Tensor:
    """One draw for each set of site weights (n, T, w, 2): the numbers 0 and 1 of its spins, (n, T, w)."""
    n, last = len(sites), strip.length - 1
    by_row = torch.func.vmap(torch.func.vmap(strip._row), in_dims=(0, None))
    weights = by_row(sites, strip.across)  # (n, T, *split)
    message = sites.new_ones(n, *strip.split)
    states = []
    if strip.cyclic:  # the first row by its share of Z, and what it says to the last one
        closing = torch.func.vmap(lambda site: strip._closing(site, strip.across, strip.along)[0])(sites)
        states.append(_choices.category(closing.log(), generator))
        message = _across(strip, last, states[0])
        message = (message - message.amax((1, 2), keepdim=True)).exp()
    messages = [message]  # to each row from all after it
    for t in range(last, 0, -1):
        weight = weights[:, t]
        message, _ = strip._carry(message * (weight - weight.amax((1, 2), keepdim=True)).exp(), strip.along[t - 1])
        message = message / message.amax((1, 2), keepdim=True)
        messages.append(message)
    messages.reverse()
    if not states:
        states.append(_choices.category((weights[:, 0] + messages[0].log()).flatten(1), generator))
    for t in range(1, strip.length):
        logits = _across(strip, t - 1, states[-1]) + weights[:, t] + messages[t].log()
        states.append(_choices.category(logits.flatten(1), generator))
    return strip.rows[torch.stack(states, 1)]


def _across(strip: Strip, t: int, state: Tensor) -> Tensor:
    """Log weights of the couplings from row t in the given states (n,) to every state of the next, (n, *split)."""
    first, second = strip._factors(strip.along[t])
    return first[state // strip.split[1]][:, :, None] + second[state % strip.split[1]][:, None, :]
