"""The one list of methods, targets and priors that the tests of diffusion samplers run over; and random networks."""

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from annealing_cases import F64, gaussian

import targets
from samplers import Draws, LogZ, SamplingWarning
from samplers.diffusion import CMCD, DDS, DIS, GBS, MCD, PIS, SCLD, Fitted, NetworkSpec, ResidualMLP
from samplers.networks import ControlNetwork, FourierFeatures
from samplers.networks.linear import Linear
from samplers.path_measures.simulation import simulate_backward
from targets.mixture_blocks import Blocks
from targets.mixture_product import MixtureProduct

RESIDUAL = ResidualMLP(width=16, layers=1, features=4, local=2)


@dataclass(frozen=True)
class Tame(NetworkSpec):
    """N = V tanh(W [x, asinh(score)] + T(t)): bounded, so that weights have a variance whatever V, W and T are."""

    width: int = 16
    coordinates: ClassVar[str] = "full"

    def make(self, dim, generator):
        return _Tame(self, dim, generator)


class _Tame(ControlNetwork):
    def __init__(self, spec, dim, generator):
        super().__init__(dim)
        self.features = FourierFeatures(4, generator=generator)
        self.into = Linear(2 * dim, spec.width, generator)
        self.level = Linear(8, spec.width, generator, 0.5)
        self.out = Linear(spec.width, dim, generator, 0.0)

    def forward(self, time, x, score):
        h = self.into(torch.cat([x, score.asinh()], -1)) + self.level(self.features(time))[:, None]
        return self.out(h.tanh())


SMALL = Tame()


def tensor(*rows):
    return torch.tensor(rows, dtype=F64)


LINE = targets.GaussianMixture(tensor([-1.0], [0.9]), scales=[0.6, 0.8], weights=[0.3, 0.7], log_z=1.3, name="line")
SKEWED = targets.GaussianMixture(
    tensor([-0.6, 0.4], [0.7, -0.5]),
    scales=tensor([0.8, 0.7], [1.1, 1.0]),
    weights=[0.8, 0.2],
    log_z=-2.1,
    name="plane",
)
TARGETS = {"line": LINE, "plane": SKEWED}
PRIORS = {
    "line": gaussian(1, 1.4, 0.2),
    "plane": targets.Gaussian(tensor(0.1, -0.2), covariance=tensor([1.7, -0.5], [-0.5, 1.4])),
}
MIXTURES = {
    "line": targets.GaussianMixture(tensor([-1.0], [0.8]), scales=1.1, weights=[0.4, 0.6]),
    "plane": targets.GaussianMixture(tensor([-0.6, 0.6], [0.5, -0.6]), scales=1.1, weights=[0.6, 0.4]),
}
PRODUCT = MixtureProduct(
    [
        Blocks(
            torch.tensor([[1], [0]]),
            tensor([0.4, 0.6], [0.3, 0.7]),
            tensor([-0.5, 0.6], [0.7, -0.6])[..., None],
            torch.full((2, 2, 1, 1), 1.2, dtype=F64),
        )
    ]
)
METHODS = {"DDS": DDS, "PIS": PIS, "DIS": DIS, "MCD": MCD, "CMCD": CMCD, "GBS": GBS, "SCLD": SCLD}
REFERENCE, LANGEVIN = ("DDS", "PIS", "DIS"), ("MCD", "CMCD", "GBS", "SCLD")
MIXED = [name for name, kind in METHODS.items() if kind.takes_mixture]


def method(name, where="line", *, steps=6, mixture=False, **options):
    """A small one of that name, from a prior that is wider than the target of that name."""
    own = {"network": SMALL, "prior": (MIXTURES if mixture else PRIORS)[where]}
    if name == "SCLD":
        own["subtrajectories"] = min(3, steps)
    if name in REFERENCE:
        own["start"] = "reference"
    return METHODS[name](steps=steps, **(own | options))


@torch.no_grad()
def shaken(measure, seed=0, size=0.5, wider=True):
    """All parameters random: networks and gates that say something at every state, other schedules and priors.

    Steps and priors become wider, so that weights have a variance, or narrower, for that of their inverse.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in measure.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=F64)
        name = name.removeprefix("backward_")
        if name.startswith("control.network.out"):
            noise = 0.15 * noise
        elif name.startswith("control.gate"):
            noise = 0.02 * noise
        elif name.startswith("flow"):
            noise = 0.3 * noise
        elif name.startswith("control.network"):
            noise = 0.1 * noise
        elif name == "raw_temperatures":
            noise = 0.5 * noise
        else:  # stretches, step sizes, mean and scale of the prior
            noise = (0.1 if wider else -0.1) * noise.abs()
        parameter += size * noise.to(parameter)
    return measure


def untrained(sampler, target, seed=0, size=0.5, wider=True):
    """Fitted without any training, with random parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        fitted = sampler.fit(target, iterations=0, seed=seed)
    if "log_steps" in dict(fitted.measure.named_parameters()):
        fitted.measure.log_steps.data.fill_(math.log(0.06))
    shaken(fitted.measure, seed + 1, size, wider)
    return fitted


@dataclass
class Weights:
    """Z-hat of `replicates` runs from the weights of one batch of a fitted sampler."""

    fitted: Fitted
    replicates: int = 1
    adaptive: bool = False

    def sample(self, target, *, draws, seed):
        found = self.fitted.sample(target, draws=self.replicates * draws, seed=seed)
        return Draws(found.x, log_z=by_run(found.log_weights[0], self.replicates))


@dataclass
class InverseWeights:
    """1 / Z-hat of `replicates` runs: the mean of 1 / w over backward paths from exact draws of the target."""

    fitted: Fitted
    replicates: int = 1
    adaptive: bool = False

    def sample(self, target, *, draws, seed):
        generator = torch.Generator().manual_seed(seed)
        exact = self.fitted.target
        seen = self.fitted.space.seen(exact)
        u = seen.to_u(exact.sample(self.replicates * draws, generator=generator))
        log_w = simulate_backward(self.fitted.measure, seen, u, generator).log_weights
        return Draws(seen.to_x(u)[None], log_z=by_run(-log_w, self.replicates))


def by_run(log_w, runs):
    each = log_w.reshape(runs, -1)
    values = each.logsumexp(1) - math.log(each.shape[1])
    return LogZ(float(values.logsumexp(0)) - math.log(runs), math.nan, estimates=tuple(values.tolist()))


class Inverse(targets.Target):
    """What `InverseWeights` are compared with: a target of constant 1 / Z."""

    def __init__(self, target):
        super().__init__(target.dim, dtype=target.dtype, name=f"1 / Z of {target.name}")
        self._log_z = -target.log_z

    @property
    def log_z(self):
        return self._log_z
