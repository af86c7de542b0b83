"""Bulk, tail and mean ESS and R-hat of many scalars at once, as ArviZ defines them, for looks at a run on its way.

ArviZ takes scalars one by one, 20 ms for each of 16,000 values, which a short run cannot spend on every look: here
they are some ten times as fast. Tables and verdicts keep to ArviZ (`samplers.draws.estimates`); a test holds the two
equal. Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021; Geyer 1992.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

TAILS = (0.05, 0.95)


class Effective:
    """What (scalars, chains, draws) finite values, at least four draws, are worth; each property is (scalars,).

    Unlike in `samplers.draws.estimates`, ties that rounding has broken are not joined.
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values.detach().double().contiguous()

    @cached_property
    def bulk(self) -> Tensor:
        """ESS of the ranks."""
        return _ess(self._scores)

    @cached_property
    def tail(self) -> Tensor:
        """The smaller one of the ESS of both indicators, of the 5 % and of the 95 % quantile."""
        ordered = _sorted(self.values)
        bounds = (_quantile(ordered, p)[:, None, None] for p in TAILS)
        return torch.stack([_ess(_split((self.values <= bound).double())) for bound in bounds]).amin(0)

    @cached_property
    def mean(self) -> Tensor:
        """The ESS of the mean, whose standard error is sd / sqrt(ESS)."""
        centred = self.values - self.values.mean((1, 2), keepdim=True)
        size = centred.abs().amax((1, 2), keepdim=True)
        return _ess(_split(centred / torch.where(size > 0, size, 1.0)))  # so that squares stay within range

    @cached_property
    def r_hat(self) -> Tensor:
        """The larger one of the R-hats of ranks and of ranks of the distance from the median."""
        split = _split(self.values)
        middle = _quantile(_sorted(split), 0.5)[:, None, None]
        bulk, folded = _r_hat(self._scores), _r_hat(_normal_scores((split - middle).abs()))
        return torch.where(folded > bulk, folded, bulk)  # of two values there is no distance from the median

    @cached_property
    def _scores(self) -> Tensor:
        return _normal_scores(_split(self.values))


def _split(values: Tensor) -> Tensor:
    """Each chain as its two halves, without the draw in the middle of an odd number."""
    half = values.shape[-1] // 2
    return torch.cat([values[..., :half], values[..., -half:]], 1)


def _sorted(values: Tensor) -> Tensor:
    """Over all chains of a scalar, (scalars, n); NumPy's sort is several times as fast as torch's."""
    flat = values.flatten(1)
    return torch.from_numpy(np.sort(flat.cpu().numpy(), axis=-1)) if flat.device.type == "cpu" else flat.sort(-1).values


def _normal_scores(values: Tensor) -> Tensor:
    """Phi^-1((rank - 3/8) / (n + 1/4)), ties with their mean rank, over all chains of a scalar."""
    flat = values.flatten(1)
    n = flat.shape[-1]
    order = torch.from_numpy(np.argsort(flat.cpu().numpy(), axis=-1)).to(flat.device)
    ordered = flat.gather(-1, order)
    place = torch.arange(n, device=flat.device).expand(ordered.shape)
    other = ordered[:, 1:] != ordered[:, :-1]
    first, last = torch.zeros_like(ordered, dtype=torch.long), torch.full_like(ordered, n - 1, dtype=torch.long)
    first[:, 1:] = torch.where(other, place[:, 1:], 0)
    last[:, :-1] = torch.where(other, place[:, :-1], n - 1)
    double = first.cummax(-1).values + last.flip(-1).cummin(-1).values.flip(-1)  # of places from 0
    ranks = torch.arange(2 * n - 1, dtype=torch.float64, device=flat.device) / 2 + 1
    scores = torch.special.ndtri((ranks - 0.375) / (n + 0.25))[double]
    return torch.empty_like(scores).scatter_(-1, order, scores).view(values.shape)


def _quantile(ordered: Tensor, p: float) -> Tensor:
    """By linear interpolation between neighbours of (scalars, n), which are in order."""
    n = ordered.shape[-1]
    place = n * p + (1 - p)  # from 1 on, and rounded as in scipy.stats.mstats.mquantiles, which ArviZ asks
    low = min(max(math.floor(place), 1), n - 1)
    share = place - low
    return (1 - share) * ordered[:, low - 1] + share * ordered[:, low]


def _r_hat(values: Tensor) -> Tensor:
    n = values.shape[-1]
    between, within = values.mean(-1).var(-1), values.var(-1).mean(-1)
    return ((n * between / within + n - 1) / n).sqrt()


def _ess(values: Tensor) -> Tensor:
    """chains * draws / tau, tau = -1 + 2 sum of the autocorrelations of Geyer's initial monotone sequence."""
    _, chains, n = values.shape
    covariance = _autocovariance(values)
    within = covariance[:, 0] * n / (n - 1)
    total = covariance[:, 0] + (values.mean(-1).var(-1) if chains > 1 else 0.0)
    rho = 1 - (within[:, None] - covariance) / total[:, None]
    rho[:, 0] = 1.0
    tau, most = _tau(rho), chains * n
    found = most / tau.clamp_min(1 / math.log10(most))
    constant = values.flatten(1).amax(-1) - values.flatten(1).amin(-1) < 1e-15
    return torch.where(constant, float(most), found)


def _autocovariance(values: Tensor) -> Tensor:
    """The mean over the chains, (scalars, draws), by the Fourier transform."""
    n = values.shape[-1]
    length = 1 << (2 * n - 1).bit_length()
    transform = torch.fft.rfft(values - values.mean(-1, keepdim=True), n=length)
    power = (transform.real.square() + transform.imag.square()).mean(1)
    return torch.fft.irfft(power, n=length)[:, :n] / n


def _tau(rho: Tensor) -> Tensor:
    """-1 + 2 sum of rho (scalars, draws) while sums of two neighbours are positive, each no larger than the one before.

    As in ArviZ: of the two neighbours that end the sequence, the first is counted once if it is positive.
    """
    n = rho.shape[-1]
    pairs = rho[:, 0 : n - n % 2].unflatten(-1, (-1, 2)).sum(-1)
    most = max(0, (n - 3) // 2)  # the last pair that is looked at
    place = torch.arange(pairs.shape[-1], device=rho.device)
    ends = torch.where((pairs <= 0) | (place >= most), place, len(place)).amin(-1)
    counted = torch.where(place < ends[:, None], pairs.cummin(-1).values, 0.0).sum(-1)
    even, both = (value.gather(-1, index[:, None])[:, 0] for value, index in ((rho, 2 * ends), (pairs, ends)))
    last = torch.where((even > 0) | ((both >= 0) & (ends > 0)), even, 0.0)
    return -1 + 2 * counted + last
