"""What is exactly known of a density of one's own in one or two dimensions, found by quadrature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from targets.arguments import as_double, positive
from targets.base import Moments, Target, Variable
from targets.integrated import Integrated, integrated

LEAST, MOST = 1e-11, 1e-3  # tolerances


@dataclass(frozen=True)
class Accuracy:
    """How well what quadrature has found is known: the difference of two resolutions, of which the finer is used.

    log_z: in nats. moments: the largest of a mean or standard deviation, in standard deviations. draws: the distance in
    total variation between the law of a draw and the target, a bound from the last coefficients. mode_weights: the
    largest. boxes, evaluations: how many it took. left_out: what does not converge, and is therefore not stated, by
    name. not_a_number: points at which the density is NaN, which have no mass, as samplers reject them.

        >>> found = targets.with_truth(targets.LogDensity(lambda x: -x.square().sum(-1), dim=1)).accuracy
        >>> found.log_z < 1e-8, found.draws < 1e-7, found.left_out
        (True, True, {})
    """

    log_z: float
    moments: float
    draws: float
    mode_weights: float
    boxes: int
    evaluations: int
    left_out: dict[str, str]
    not_a_number: int


def with_truth(target: Target, *, modes: Any = None, tolerance: float = 1e-8) -> WithTruth:
    """The same density with what is exactly known of it, found by quadrature: one or two dimensions.

        log Z = log INT exp(log_prob(x)) dx,   E[g(x)] = INT g(x) exp(log_prob(x)) dx / Z

    The whole line or plane is mapped to a square, which is cut into boxes until in each of them the density is a
    polynomial of degree 15 an axis; every box is then cut once more, and what the two resolutions differ by is the
    error that `accuracy` states. Known afterwards: `log_z`; `mean`, `covariance`, and `moments` of every named and
    derived quantity that `constrain` gives; independent draws by inversion of these polynomials, whose law is off by
    `accuracy.draws` in total variation; `modes` and their weights. A mean or variance that does not exist, or not to
    this accuracy, is left out (`accuracy.left_out`). What else the target knows, its names and its prior stay.

    A mode's weight is the probability of its part of the space. On the line that is its basin of attraction: parts are
    cut where the density between two modes is lowest. In the plane a point is shared by the modes according to the
    parabolas that touch log p at each of them (of separate Gaussians these shares are the responsibilities):

        share of mode k at x  ~  exp(log p(m_k) - (x - m_k)' H_k (x - m_k) / 2)

    Where one of them is unlike a parabola (flat on top, a ring) each point belongs to the mode that steepest ascent
    from the nearest node of a scan leads to; the weights are then off by `accuracy.mode_weights`, at most 0.001.

    Where the mass lies is found by scans of 131,072 points on the line and 1024 x 1024 in the plane, from which paths
    climb. What is narrower than a scan's spacing (about 1/250 of the spread, more in the tails) can be missed where its
    own slopes reach no node: name such places in `modes=`, or in the `modes=` of a `LogDensity`.

    target: a density that can be evaluated in float64. modes: points (n, dim) near those that are to be counted; None
    takes those of the target, and all maxima with more than 1e-6 of the mass where it states none (not stated where
    there are more than 32, as along a ring). tolerance: of log Z, relative; moments are known to a hundred times that
    in standard deviations. Returns a `WithTruth`.

    ValueError for more than two dimensions, laws on configurations (small ones are enumerated anyway), no or infinite
    density, a density that is not normalisable or does not converge, and for a target that states another log Z.

        >>> from torch.distributions import Normal
        >>> y = torch.tensor([1.0, 3.0], dtype=torch.float64)
        >>> posterior = targets.Posterior(
        ...     lambda mu, s: Normal(mu[:, None], s[:, None]).log_prob(y).sum(-1) - mu.square() / 2 - s,
        ...     {"mu": targets.Real(), "s": targets.Positive()},
        ... )
        >>> truth = targets.with_truth(posterior)
        >>> round(truth.log_z, 6), {name: round(float(m.mean), 6) for name, m in truth.moments.items()}
        (-4.158893, {'mu': 0.922387, 's': 1.768163})
    """
    _check(target)
    tolerance = positive(tolerance, "tolerance")
    if not LEAST <= tolerance <= MOST:
        raise ValueError(f"tolerance: got {tolerance}, expected a number from {LEAST} to {MOST}")
    if modes is None:
        modes = target.modes if "modes" in target.known else None
    given = None if modes is None else _points(modes, target)
    starts = np.zeros((1, target.dim)) if given is None else np.concatenate([given, np.zeros((1, target.dim))])
    return WithTruth(target, integrated(target, given, starts, tolerance))


class WithTruth(Target):
    """A target with what quadrature has found of it; `with_truth` makes one.

    target: the density itself. found: of quadrature. accuracy: how well all of it is known.

        >>> truth = targets.with_truth(targets.LogDensity(lambda x: -x.square().sum(-1), dim=1))
        >>> sorted(truth.known)
        ['covariance', 'log_z', 'mean', 'mode_weights', 'modes', 'moments', 'sample']
    """

    def __init__(self, target: Target, found: Integrated) -> None:
        super().__init__(target.dim, dtype=target.dtype, device=target.device, name=target.name)
        self.target = target
        self.score_is_given = target.score_is_given
        self._found = found
        self.accuracy = Accuracy(
            log_z=found.log_z_error,
            moments=found.moments_error,
            draws=found.draws_error,
            mode_weights=0.0 if found.shares is None else found.shares.error,
            boxes=len(found.panels.low),
            evaluations=found.evaluations,
            left_out=dict(found.left_out),
            not_a_number=found.not_a_number,
        )

    # The density

    def log_prob(self, x: Tensor) -> Tensor:
        return self.target.log_prob(x)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.target.log_prob_and_score(x)

    def log_likelihood(self, x: Tensor) -> Tensor:
        return self.target.log_likelihood(x)

    def log_likelihood_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.target.log_likelihood_and_score(x)

    @property
    def has_likelihood(self) -> bool:
        return self.target.has_likelihood

    @property
    def prior(self) -> Target:
        return self.target.prior

    @property
    def variables(self) -> dict[str, Variable]:
        return self.target.variables

    def constrain(self, x: Tensor) -> dict[str, Tensor]:
        return self.target.constrain(x)

    # What is known

    @property
    def _unknown(self) -> frozenset[str]:
        found = self._found
        unknown = {"smoothed", "sample_given", "prior"} - self.target.known
        unknown |= set() if found.mean is not None else {"mean", "covariance"}
        unknown |= set() if found.moments else {"moments"}
        unknown |= set() if found.shares is not None else {"modes"}
        return frozenset(unknown | (found.left_out.keys() & {"mode_weights"}))

    @property
    def log_z(self) -> float:
        return self._found.log_z

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        shape = (n, 1 + self.dim)
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
        return self._here(self._found.panels.draw(uniform.cpu().numpy()))

    @property
    def mean(self) -> Tensor:
        return self._here(self._asked("mean", self._found.mean))

    @property
    def covariance(self) -> Tensor:
        return self._here(self._asked("covariance", self._found.covariance))

    @property
    def moments(self) -> dict[str, Moments]:
        found = self._asked("moments", self._found.moments or None)
        return {name: Moments(self._here(mean), self._here(sd)) for name, (mean, sd) in found.items()}

    @property
    def modes(self) -> Tensor:
        return self._here(self._asked("modes", self._found.shares).modes)

    @property
    def mode_weights(self) -> Tensor:
        shares = None if "mode_weights" in self._unknown else self._found.shares
        return self._here(self._asked("mode_weights", shares).weights)

    def mode_probabilities(self, x: Tensor) -> Tensor:
        shares = self._asked("modes", self._found.shares)
        points = x.detach().reshape(-1, self.dim).double().cpu().numpy()
        return torch.from_numpy(shares(points).T.copy()).to(x).reshape(*x.shape[:-1], -1)

    def smoothed(self, sigma: Any) -> Target:
        return self.target.smoothed(sigma)

    def sample_given(self, y: Tensor, noise: Any, *, generator: Generator) -> Tensor:
        return self.target.sample_given(y, noise, generator=generator)

    def _asked(self, name: str, value: Any) -> Any:
        if value is None:
            if name in self.accuracy.left_out:
                raise NotImplementedError(f"{self.name}: {name} is not known exactly: {self.accuracy.left_out[name]}")
            self._raise_unknown(name)
        return value

    def _here(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values)).to(dtype=self.dtype, device=self.device)


def _check(target: Any) -> None:
    if not isinstance(target, Target):
        raise TypeError(f"target: got {type(target).__name__}, expected a targets.Target such as LogDensity(fn, dim=2)")
    if target.discrete:
        raise ValueError(
            f"target: {target.name} is a law on configurations: up to 2^20 of them are enumerated anyway, and need no "
            "quadrature; expected a density"
        )
    if target.dim > 2:
        raise ValueError(f"target: got dimension {target.dim} for {target.name}, expected 1 or 2 for quadrature")
    if not target.has_density:
        raise ValueError(f"target: {target.name} has no log-density, and quadrature needs one")


def _points(modes: Any, target: Target) -> np.ndarray:
    points = as_double(modes, "modes").detach().cpu()
    if points.ndim != 2 or points.shape[1] != target.dim or len(points) == 0:
        raise ValueError(f"modes: got shape {tuple(points.shape)}, expected (modes, {target.dim}), at least one")
    with torch.no_grad():
        value = target.log_prob(points.to(target.device, target.dtype))
    if not bool(value.isfinite().all()):
        first = int((~value.isfinite()).nonzero()[0])
        raise ValueError(f"modes: the density of {target.name} is {float(value[first])} at {points[first].tolist()}")
    return points.numpy()


def without_truth(target: Target | None) -> Target | None:
    """The density that a user has written, whether `with_truth` was asked about it or not."""
    return target.target if isinstance(target, WithTruth) else target
