"""The denoiser of few spins: the sum over all configurations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from samplers.denoisers.base import Estimate
from samplers.denoisers.spins.posterior import ExactSpinDenoiser, SpinPosterior, parts
from samplers.kernels import _choices
from targets import Noise, Target

MOST_SPINS = 16


@dataclass(frozen=True, eq=False)
class Enumeration(ExactSpinDenoiser):
    """Means, phi and draws from all 2^n configurations, for models of at most 16 spins and any noise.

    An estimate counts as one score and one log-density, a draw as one log-density.

        >>> from samplers.denoisers.spins import Enumeration
        >>> ising, noise = targets.Ising((3,), coupling=0.0), targets.IsotropicNoise(1.0)
        >>> Enumeration().estimate(ising, torch.tensor([[1.0, 0.5, -1.0]]), noise).mean.round(decimals=4)
        tensor([[ 0.7616,  0.4621, -0.7616]])
    """

    def check(self, target: Target, noise: Noise) -> None:
        super().check(target, noise)
        if target.dim > MOST_SPINS:
            raise ValueError(
                f"denoiser: {target.name} has {target.dim} spins, expected at most {MOST_SPINS} for Enumeration; "
                "TransferMatrix serves narrow lattices, GibbsMeans any model"
            )

    def told(self, posterior: SpinPosterior, y: Tensor) -> Estimate:
        states, base = _states(posterior)
        tilt = posterior.tilt(y.double())
        mean, log_z = torch.empty_like(tilt), torch.empty_like(tilt[:, 0])
        for part in parts(len(y), len(states)):
            logits = base + tilt[part] @ states.mT
            mean[part], log_z[part] = logits.softmax(-1) @ states, logits.logsumexp(-1)
        return Estimate(mean.to(y.dtype), posterior.log_density(y, tilt, log_z))

    def drawn(self, posterior: SpinPosterior, y: Tensor, generator: Generator) -> Tensor:
        states, base = _states(posterior)
        tilt, drawn = posterior.tilt(y.double()), torch.empty_like(y)
        for part in parts(len(y), len(states)):
            drawn[part] = states[_choices.category(base + tilt[part] @ states.mT, generator)].to(y.dtype)
        return drawn


def _states(posterior: SpinPosterior) -> tuple[Tensor, Tensor]:
    """All configurations and their log-densities in the model's own fields, in float64."""
    model = posterior.model
    return model.enumerate().double(), model._enumerated_log_prob
