"""The denoiser of Markov fields by mean field, TAP or belief propagation in a few rounds, plain or learned."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import torch
from torch import Generator, Tensor, nn

from samplers.denoisers.base import Estimate, Finding, Memory
from samplers.denoisers.unrolled.laws import SiteLaw, check_field, check_kind, law_of
from samplers.denoisers.unrolled.learning import FieldFitting, noise_levels
from samplers.draws import Cost
from samplers.identity.contents import digest
from samplers.networks.unrolled import UnrolledBeliefPropagation, UnrolledMeanField, UnrolledTAP
from samplers.networks.unrolled_gaussian import UnrolledGaussianMessages, UnrolledJacobi
from targets import Gaussian, IsotropicNoise, Noise, Target
from targets.arguments import check_integer, positive, shown
from targets.counting import Counted, charge, plain
from targets.discrete import DiscreteTarget
from targets.noise import as_noise
from targets.way_to_truth import way_to_truth

Scheme = Literal["mean field", "TAP", "belief propagation"]
Maker = Callable[[int, int, int, Generator], nn.Module]
DISCRETE: dict[str, Maker] = {
    "mean field": UnrolledMeanField,
    "TAP": UnrolledTAP,
    "belief propagation": UnrolledBeliefPropagation,
}
GAUSSIAN: dict[str, Maker] = {"mean field": UnrolledJacobi, "belief propagation": UnrolledGaussianMessages}
WIDTH, CHANNELS = 8, 2


@dataclass(frozen=True, eq=False, repr=False)
class Unrolled(Finding[SiteLaw]):
    """E[X | y] of spins, Potts colours or a Gaussian field by a few rounds of messages between neighbours.

    A measurement enters through the fields alone (b + P y for spins), so that nothing is told how much noise there was,
    and any noise does that leaves X given y on a graph: any for spins and Gaussians, independent at each site for
    colours. `samplers.networks.unrolled` and `unrolled_gaussian` have the equations. Couplings are inputs and no
    weights: what was learned on a small field serves a large one.

    `Unrolled.plain` is the algorithm itself: belief propagation is exact on trees of at most `rounds` edges across,
    TAP to second order in the couplings at their fixed points, mean field to first, all biased elsewhere.
    `Unrolled.fit` learns weights from draws of the target, in minutes; what they have not learned is a bias. It gives
    no phi(y). draw: for spins and colours, sites independent as estimated, then `sweeps` heat-bath sweeps, which leave
    the law given y invariant; for Gaussians exact. A row whose estimate is not finite is not trusted. In float64. An
    estimate counts as `rounds` scores, a draw as one log-density or its sweeps beside. TypeError for other targets.
    Mei and Wu 2023, https://arxiv.org/abs/2309.11420.

    network: one of `samplers.networks.unrolled` or `unrolled_gaussian`. scheme: "mean field", "TAP" or "belief
    propagation". gaussian: for which kind of target. loss, plain_loss: after training and before, of the same
    measurements of draws held out; the loss of `fit`, whose least is not 0. cost: of the training.

        >>> from samplers.denoisers import Unrolled
        >>> from samplers.denoisers.spins import Enumeration
        >>> chain, noise, y = targets.Ising((5,), 0.5, periodic=False), targets.IsotropicNoise(1.0), torch.ones(1, 5)
        >>> found, exact = (kind.estimate(chain, y, noise) for kind in (Unrolled.plain(chain), Enumeration()))
        >>> bool((found.mean - exact.mean).abs().max() < 1e-6)
        True
    """

    network: nn.Module
    scheme: str
    gaussian: bool = False
    sweeps: int = 8
    loss: float = math.nan
    plain_loss: float = math.nan
    cost: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        check_integer(self.sweeps, "sweeps", 0)
        # float64 as of other denoisers of spins
        object.__setattr__(self, "network", copy.deepcopy(self.network).double().requires_grad_(False))

    @classmethod
    def plain(cls, target: Target, *, rounds: int = 16, scheme: Scheme = "belief propagation", sweeps: int = 8) -> Self:
        """The algorithm itself in so many rounds, for targets of this kind. ValueError for TAP of a Gaussian."""
        check_kind(plain(target))
        gaussian = isinstance(plain(target), Gaussian)
        generator = Generator(target.device)
        return cls(_maker(scheme, gaussian)(rounds, 0, 0, generator), scheme, gaussian, sweeps)

    @classmethod
    def fit(
        cls,
        target: Target,
        noise: tuple[float, float],
        *,
        shape: Noise | Tensor | None = None,
        draws: Tensor | None = None,
        scheme: Scheme = "belief propagation",
        rounds: int = 8,
        width: int | None = None,
        channels: int | None = None,
        seed: int = 0,
        iterations: int = 600,
        batch: int = 128,
        lr: float = 1e-2,
        levels: int = 32,
        sweeps: int = 8,
    ) -> Self:
        """Learned for noise sigma^2 S with sigma from noise[0] to noise[1], at so many levels; S = I without a shape.

        draws: (n, dim) of the target, by default 4096 of its exact sampler. width, channels: of the correction of
        messages, by default 8 and 2, or 0 for Gaussians, which have none. iterations, batch, lr: of Adam.
        """
        check_kind(plain(target))
        if not isinstance(noise, (tuple, list)) or len(noise) != 2:
            raise TypeError(f"noise: got {shown(noise)}, expected a smaller and a larger standard deviation")
        low, high = (positive(value, "noise") for value in noise)
        if not low < high:
            raise ValueError(f"noise: got {noise}, expected a smaller and a larger standard deviation")
        for name, value in (("iterations", iterations), ("batch", batch), ("levels", levels)):
            check_integer(value, name)
        begun, generator = time.perf_counter(), Generator(target.device).manual_seed(check_integer(seed, "seed", 0))
        target, gaussian = plain(target), isinstance(plain(target), Gaussian)
        width = width if width is not None else 0 if gaussian else WIDTH
        channels = channels if channels is not None else CHANNELS if width else 0
        network = _maker(scheme, gaussian)(rounds, width, channels, generator)
        x = _checked_draws(draws, target, generator).float()
        noises = noise_levels(low, high, levels, _shape(shape, target.dim))
        fitting = FieldFitting(network, target, noises, x, iterations, batch, positive(lr, "lr"), generator)
        before, after = fitting.learned()
        cost = Cost(0, 0, time.perf_counter() - begun)
        return cls(network, scheme, gaussian, sweeps, after, before, cost)

    # A denoiser

    def check(self, target: Target, noise: Noise) -> None:
        inner = plain(target)
        check_field(inner, noise)
        if isinstance(inner, Gaussian) is not self.gaussian:
            kinds = ("a PairwiseMRF or a Potts model", "a Gaussian")
            raise TypeError(
                f"target: got {inner.name}, expected {kinds[self.gaussian]}, of which the denoiser was made"
            )

    def find(self, target: Counted, noise: Noise) -> SiteLaw:
        return law_of(target.inner, noise)

    def _found(self, law: SiteLaw, y: Tensor) -> Tensor:
        if y.ndim != 2 or y.shape[1] != len(law.couplings):
            raise ValueError(f"y: got shape {tuple(y.shape)}, expected (n, {len(law.couplings)})")
        network = self.network if y.device.type == "cpu" else copy.deepcopy(self.network).to(y.device)
        result: Tensor = network(law.slots, law.couplings, law.potentials(y.double()))
        return result

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Memory = None
    ) -> Estimate:
        law = self.found(target, noise)
        charge(target, scores=self.rounds * len(y))
        mean = law.mean(self._found(law, y)).to(y.dtype)
        finite = mean.isfinite().all(-1)
        return Estimate(mean, trusted=None if bool(finite.all()) else finite)

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        law = self.found(target, noise)
        charge(target, scores=self.rounds * len(y))
        with torch.no_grad():
            return law.draw(target, y, self._found(law, y), self.sweeps, noise, generator)

    @property
    def rounds(self) -> int:
        """How many edges far a site sees."""
        return int(self.sizes["rounds"])

    @property
    def parameters(self) -> int:
        """How many weights there are."""
        return sum(weights.numel() for weights in self.network.parameters())

    @property
    def sizes(self) -> dict[str, int]:
        """Rounds, width and channels of the network."""
        found: dict[str, int] = self.network.sizes  # type: ignore[assignment]
        return found

    def describe(self) -> str:
        """With the first digits of a digest of the weights, by which a checkpoint knows it again."""
        weights = digest([self.network.state_dict(), self.sizes])
        return f"{type(self).__name__}({self.scheme}, {self.rounds} rounds, {weights[:8]})"

    __repr__ = describe

    # Files

    def state_dict(self) -> dict[str, Any]:
        """Everything, as tensors and plain values for torch.save; `Unrolled.from_state_dict` makes it again."""
        found = {name: getattr(self, name) for name in ("scheme", "gaussian", "sweeps", "loss", "plain_loss")}
        return {"network": self.network.state_dict(), "sizes": self.sizes, **found, "cost": asdict(self.cost)}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The denoiser that `state_dict` was taken of."""
        device = next(iter(state["network"].values())).device
        rounds, width, channels = (state["sizes"][name] for name in ("rounds", "width", "channels"))
        network = _maker(state["scheme"], state["gaussian"])(rounds, width, channels, Generator(device)).double()
        network.load_state_dict(state["network"])
        others = {name: value for name, value in state.items() if name not in ("network", "sizes", "cost")}
        return cls(network, cost=Cost(**state["cost"]), **others)


def _maker(scheme: str, gaussian: bool) -> Maker:
    """Of the network of a scheme; ValueError for another."""
    known = GAUSSIAN if gaussian else DISCRETE
    if scheme not in known:
        kind = " for a Gaussian" if gaussian else ""
        raise ValueError(f"scheme: got {shown(scheme)}{kind}, expected one of {sorted(known)}")
    return known[scheme]


def _shape(shape: Noise | Tensor | None, dim: int) -> Noise:
    """Noise of the shape S."""
    return IsotropicNoise(1.0) if shape is None else as_noise(shape, dim, "shape")


def _checked_draws(draws: Tensor | None, target: Target, generator: Generator) -> Tensor:
    """Draws as they come, or exact ones; ValueError where there is neither, or they do not fit."""
    if draws is None:
        if "sample" not in target.known:
            raise ValueError(
                f"draws: got None, and {target.name} has no exact sampler; expected draws (n, {target.dim})"
                + way_to_truth(target)
            )
        return target.sample(4096, generator=generator)
    draws = torch.as_tensor(draws, device=target.device)
    if draws.ndim != 2 or draws.shape[1] != target.dim or len(draws) < 10:
        raise ValueError(f"draws: got shape {tuple(draws.shape)}, expected (n, {target.dim}) with n of at least 10")
    if isinstance(target, DiscreteTarget):
        target.check_configuration(draws.to(target.dtype), "draws")
    elif not bool(draws.isfinite().all()):
        raise ValueError("draws: got values that are not finite, expected finite numbers")
    return draws
