"""The denoiser that is a network, trained on draws of the target or on its energy."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import torch
from torch import Generator, Tensor

from samplers.denoisers.automatic import Auto
from samplers.denoisers.base import Denoiser, Estimate, Memory
from samplers.denoisers.network import DenoisingNetwork
from samplers.denoisers.training import Training, on_draws, on_energy
from samplers.draws import Cost
from samplers.runs.starts import positions
from targets import CorrelatedNoise, IsotropicNoise, Noise, Target
from targets.arguments import as_double, check_integer, cholesky, positive
from targets.counting import Counted, plain

SIZES = ("low", "high", "width", "blocks")  # of the network, in files
FOUND = ("shape", "validation_loss", "own_error")


@dataclass(frozen=True, eq=False)
class Learned(Denoiser):
    """E[X | y] = D(y, sigma), a network, for noise N(0, sigma^2 S) with sigma in the range it was trained on.

    Made by `Learned.fit`. shape: S, None for the identity. It evaluates no density, and gives neither phi(y) nor draws;
    the mean is biased by what the network has not learned. validation_loss: mean square error of the residual F on
    examples held out (`samplers.denoisers.network`), where 1 is no better than a Gaussian of the target's
    mean and covariance; own_error: the part of it that is the error of the estimates it was trained on, None when
    trained on draws, whose part is not known. cost: of the training.

    network: of D.

        >>> from samplers.denoisers import Learned
        >>> target, generator = targets.Gaussian([0.0]), torch.Generator().manual_seed(0)
        >>> draws = target.sample(200, generator=generator)
        >>> denoiser = Learned.fit(target, (0.5, 2.0), draws=draws, iterations=2, width=8, blocks=1)
        >>> denoiser.estimate(target, torch.ones(3, 1), targets.IsotropicNoise(1.0)).mean.shape
        torch.Size([3, 1])
    """

    network: DenoisingNetwork
    shape: Tensor | None = None
    validation_loss: float = math.nan
    own_error: float | None = None
    cost: Cost = field(default_factory=Cost)

    @classmethod
    def fit(
        cls,
        target: Target,
        noise: tuple[float, float],
        *,
        shape: Tensor | None = None,
        draws: Tensor | None = None,
        denoiser: Denoiser | None = None,
        seed: int = 0,
        iterations: int = 4000,
        batch: int = 512,
        lr: float = 2e-3,
        width: int = 128,
        blocks: int = 3,
        rounds: int = 8,
        pool: int = 4096,
        levels: int = 32,
    ) -> Self:
        """A network for standard deviations from noise[0] to noise[1].

        draws (n, dim) alone: denoising score matching on them, no evaluation of the density. denoiser: regression on
        its estimates at measurements of `pool` points, anew in each of `rounds` rounds, `levels` levels of noise in
        each; the points are `draws` if given, else those that the network in training samples, and at first the
        denoiser's own draws at measurements of points from the prior or U[-2, 2]. Neither: the denoiser is Auto().
        Estimates that are not trusted are left out; RuntimeError where that leaves less than half at some
        level.
        """
        low, high = (positive(value, "noise") for value in noise)
        if not low < high:
            raise ValueError(f"noise: got {noise}, expected a smaller and a larger standard deviation")
        for name, value in (("iterations", iterations), ("batch", batch), ("width", width), ("blocks", blocks),
                            ("rounds", rounds), ("pool", pool), ("levels", levels)):  # fmt: skip
            check_integer(value, name)
        lr = positive(lr, "lr")
        if target.discrete and draws is None:
            raise TypeError(
                f"target: {target.name} is discrete, and training starts from points in R^{target.dim}; expected draws"
            )
        if draws is not None and (draws.shape[1:] != (target.dim,) or len(draws) < 10):
            raise ValueError(f"draws: got shape {tuple(draws.shape)}, expected (n, {target.dim}) with n of at least 10")
        begun = time.perf_counter()
        counted = Counted(plain(target))
        generator = Generator(target.device).manual_seed(seed)
        if draws is None and denoiser is None:
            denoiser = Auto()
        whitening = _Whitening(shape, target)
        asked = None if denoiser is None else denoiser.bind(counted, whitening.noise(high))

        def ask(u: Tensor, sigma: float) -> Estimate:
            assert asked is not None
            found = asked.estimate(counted, whitening.outer(u), whitening.noise(sigma), generator)
            return replace(found, mean=whitening.inner(found.mean), error=whitening.inner_error(found.error))

        with torch.no_grad():
            if draws is not None:
                x = draws.to(device=target.device, dtype=target.dtype)
            else:
                assert asked is not None
                x = positions(None, pool, plain(target), generator)
                y = x + whitening.noise(high).sample_like(x, generator)
                x = asked.draw(counted, y, whitening.noise(high), generator)
            u = whitening.inner(x)
        network = DenoisingNetwork(
            u.mean(0), torch.cov(u.mT.double()).reshape(target.dim, -1), low, high, generator, width, blocks
        )
        training = Training(network, iterations, batch, lr, generator)
        own = None
        if denoiser is None:
            loss = on_draws(training, u)
        else:
            if draws is not None:
                u = u[training.some(len(u), pool)]
            loss, own = on_energy(training, ask, u, draws is None, rounds, levels)
        cost = Cost(counted.log_probs, counted.scores, time.perf_counter() - begun)
        return cls(training.network, shape, loss, own, cost)

    def check(self, target: Target, noise: Noise) -> None:
        noise.check(target.dim)
        if len(self.network.mean) != target.dim:
            raise ValueError(f"target: got dimension {target.dim}, expected the network's {len(self.network.mean)}")
        _Whitening(self.shape, target).level(noise, target.dim)

    def estimate(
        self, target: Target, y: Tensor, noise: Noise, generator: Generator | None = None, memory: Memory = None
    ) -> Estimate:
        whitening = _Whitening(self.shape, target)
        low, high = self.network.low, self.network.high
        sigma = whitening.level(noise, target.dim)
        if not low * (1 - 1e-6) <= sigma <= high * (1 + 1e-6):
            raise ValueError(
                f"noise: got a standard deviation of {sigma:.6g}, expected one between {low:.6g} and {high:.6g}, "
                "where the network was trained"
            )
        with torch.no_grad():
            u = whitening.inner(y)
            return Estimate(whitening.outer(self.network(u, torch.full_like(u[:, 0], sigma))))

    def draw(self, target: Target, y: Tensor, noise: Noise, generator: Generator, memory: Memory = None) -> Tensor:
        raise NotImplementedError(
            "denoiser: a Learned one knows the mean of X given y and cannot draw X; use jump='mean', or a kernel on "
            "GivenMeasurements(target, y, noise), or another denoiser for the draws"
        )

    def describe(self) -> str:
        return f"Learned(validation loss {self.validation_loss:.3g})"

    def state_dict(self) -> dict[str, Any]:
        """Everything, as tensors and plain values for torch.save; `Learned.from_state_dict` makes it again."""
        found = {name: getattr(self, name) for name in FOUND}
        return {"network": self.network.state_dict(), **self.network.sizes, **found, "cost": asdict(self.cost)}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The denoiser that `state_dict` was taken of."""
        mean = state["network"]["mean"]
        sizes, generator = {name: state[name] for name in SIZES}, Generator(mean.device).manual_seed(0)
        network = DenoisingNetwork(mean, torch.eye(len(mean), device=mean.device), generator=generator, **sizes)
        network.load_state_dict(state["network"])
        found = {name: state[name] for name in FOUND}
        return cls(network.requires_grad_(False), cost=Cost(**state["cost"]), **found)


class _Whitening:
    """Coordinates u = L^-1 x in which noise of covariance sigma^2 L L' is isotropic; u = x where no shape is given."""

    def __init__(self, shape: Tensor | None, target: Target) -> None:
        self._shape = None if shape is None else as_double(shape, "shape").to(target.device)
        if self._shape is None:
            return
        if self._shape.shape != (target.dim, target.dim):
            raise ValueError(
                f"shape: got {tuple(self._shape.shape)}, expected a covariance ({target.dim}, {target.dim})"
            )
        self._factor = cholesky(self._shape, "shape")
        self._inverse = torch.linalg.inv(self._factor)

    def inner(self, x: Tensor) -> Tensor:
        return x if self._shape is None else x @ self._inverse.mT.to(x)

    def outer(self, u: Tensor) -> Tensor:
        return u if self._shape is None else u @ self._factor.mT.to(u)

    def inner_error(self, error: Tensor | None) -> Tensor | None:
        """Standard errors in u of what has independent ones in x."""
        if error is None or self._shape is None:
            return error
        return (error.square() @ self._inverse.mT.square().to(error)).sqrt()

    def noise(self, sigma: float) -> Noise:
        return IsotropicNoise(sigma) if self._shape is None else CorrelatedNoise(sigma**2 * self._shape)

    def level(self, noise: Noise, dim: int) -> float:
        """The sigma of noise sigma^2 S; ValueError for noise of another shape."""
        covariance = noise.covariance(dim)
        shape = torch.eye(dim, dtype=torch.float64) if self._shape is None else self._shape.to(covariance)
        ratio = float(covariance.trace() / shape.trace())
        if not torch.allclose(covariance, ratio * shape, rtol=1e-6, atol=1e-9 * ratio * float(shape.trace())):
            kind = "isotropic noise" if self._shape is None else "a multiple of the covariance it was trained on"
            raise ValueError(f"noise: got {noise}, expected {kind}")
        return math.sqrt(ratio)
