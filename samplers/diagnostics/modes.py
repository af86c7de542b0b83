"""Mixing between modes: of the label of the mode that each draw is in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.draws import Draws, estimates
from samplers.draws.moments import ROWS
from samplers.draws.points import LOAD
from samplers.draws.ties import precision, tied
from targets.way_to_truth import way_to_truth


@dataclass(frozen=True)
class ModeMixing:
    """Of every mode: weights, the share of the draws; r_hat and ess of the indicator of being in it, (modes,).

    crossings: mean number of changes of mode in a chain. Of a mode that all draws or none are in there is no R-hat,
    which is NaN, and not one effective draw.

        >>> from samplers.diagnostics import mode_mixing
        >>> modes = targets.GaussianMixture([[-4.0], [4.0]], scales=1.0)
        >>> x = torch.tensor([-4.0, 4.0]).repeat(2, 10)[..., None]
        >>> mixing = mode_mixing(samplers.Draws(x, target=modes))
        >>> mixing.weights, mixing.crossings
        (tensor([0.5000, 0.5000], dtype=torch.float64), 19.0)
    """

    weights: Tensor
    r_hat: Tensor
    ess: Tensor
    crossings: float

    @property
    def worst_r_hat(self) -> float:
        """The largest R-hat, infinite where chains sit in different modes for good, NaN where no mode has one."""
        known = self.r_hat[~self.r_hat.isnan()]
        return float(known.max()) if len(known) else math.nan

    @property
    def least_ess(self) -> float:
        """The least ESS of a mode's indicator."""
        return float(self.ess.min())


def mode_mixing(draws: Draws) -> ModeMixing:
    """R-hat and ESS of the indicators of the target's modes, (chains, draws) of zeros and ones.

    Each draw goes to the mode most probable for it, half-way between modes to the first of them. ESS of a coordinate
    can be large while a chain never leaves its mode: the indicator's is what counts for the weights of modes. Weighted
    draws are resampled. ValueError where the target of the draws has no modes.
    """
    target = draws.target
    if target is None:
        raise ValueError(f"draws: came without a target, whose modes are asked for; {LOAD}")
    if "modes" not in target.known or len(target.modes) < 2:
        raise ValueError(
            f"draws: got draws of a target without known modes, expected one with at least two{way_to_truth(target)}"
        )
    draws = draws.unweighted()
    chains, count = draws.x.shape[:2]
    flat = draws.x.reshape(-1, target.dim)
    labels = torch.cat([_likeliest(target.mode_probabilities(part)) for part in flat.split(ROWS)])
    labels = labels.reshape(chains, count).cpu()
    found = [_of_indicator((labels == mode).double()) for mode in range(len(target.modes))]
    weights, r_hat, ess = torch.tensor(found, dtype=torch.float64).mT.contiguous()
    changes = float((labels[:, 1:] != labels[:, :-1]).double().sum(1).mean()) if count > 1 else math.nan
    return ModeMixing(weights, r_hat, ess, changes)


def _of_indicator(inside: Tensor) -> tuple[float, float, float]:
    """Mean, R-hat and ESS of zeros and ones (chains, draws)."""
    share = float(inside.mean())
    if bool((inside == inside[:, :1]).all()):  # every chain stays inside, or outside: no variance within chains
        return share, math.nan if bool((inside == inside[0, 0]).all()) else math.inf, 0.0
    # ranks of zeros and ones say no more than they do
    r_hat, ess = estimates.r_hat({"inside": inside}, "split"), estimates.ess({"inside": inside}, "mean")
    return share, float(r_hat["inside"]), float(ess["inside"])


def _likeliest(shares: Tensor) -> Tensor:
    """The mode with the largest share (points, modes), of those tied for it the first.

    A share is the exponential of energies whose rounding it multiplies, hence half of the digits.
    """
    largest = shares.max(-1, keepdim=True).values
    return tied(shares, largest, math.sqrt(precision(shares))).to(torch.uint8).argmax(-1)
