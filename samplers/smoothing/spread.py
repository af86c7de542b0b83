"""What is known of how far a target spreads: X = U + N(0, tau^2 I), U within R of a centre.

From closed form for Gaussians, mixtures of Gaussians and their products; by theorems on spins for random fields; else
from draws, exact ones or those of a pilot run (`samplers.smoothing.pilot`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from samplers.draws import Cost
from samplers.smoothing.concavity import threshold
from samplers.smoothing.probes import probed_threshold
from targets import Gaussian, GaussianMixture, Ising, PairwiseMRF, Product, Target
from targets.discrete import DiscreteTarget

GAP = 1e-10  # of the squared radius: how closely the smallest ball is found
BALL_STEPS = 10_000
DRAWS = 2048
MOST_ENUMERATED, MOST_DENSE = 16, 4096  # spins: for the covariance, for the spectrum of J


@dataclass(frozen=True)
class Spread:
    """mean (dim,) and covariance (dim, dim) of X in float64, and R and tau of the hardest part of it.

    concave_from: the sigma from which on Y is log-concave, by R and tau or, below that, as probes tell.
    finest: the smallest standard deviation of any part, in any direction, which decides m. origin: in words, what R
    and tau are. parts: of how many independent parts the target consists. draws: those of a pilot run, (n, dim).
    """

    mean: Tensor
    covariance: Tensor
    radius: float
    tau: float
    concave_from: float
    finest: float
    origin: str
    parts: int = 1
    cost: Cost = field(default_factory=Cost)
    remarks: tuple[str, ...] = ()
    draws: Tensor | None = None

    @property
    def variances(self) -> Tensor:
        """The eigenvalues of the covariance, (dim,)."""
        return torch.linalg.eigvalsh(self.covariance).clamp_min(0)

    @property
    def probed(self) -> bool:
        """Whether probes tell more than R and tau."""
        return self.concave_from < threshold(self.radius, self.tau)


def enclosing_ball(points: Tensor) -> tuple[Tensor, float]:
    """Centre and radius of the smallest ball around points (k, dim), by pairwise Frank-Wolfe steps on its dual:

    max over weights of sum_i w_i |p_i|^2 - |sum_i w_i p_i|^2;   weight goes from the nearest point to the farthest

    The radius is that of a ball that holds all points, whatever the number of steps.
    """
    weights = torch.full((len(points),), 1 / len(points), dtype=points.dtype, device=points.device)
    centre = points.mean(0)
    best = (centre, math.inf)
    for _ in range(BALL_STEPS):
        squares = (points - centre).square().sum(1)
        far = int(squares.argmax())
        if float(squares[far]) < best[1]:
            best = (centre, float(squares[far]))
        if float(squares[far] - weights @ squares) <= GAP * float(squares[far]):
            break
        near = int(torch.where(weights > 0, squares, torch.inf).argmin())
        apart = points[far] - points[near]
        step = min(float(weights[near]), float((squares[far] - squares[near]) / (2 * apart @ apart)))
        weights[far] += step
        weights[near] -= step
        centre = centre + step * apart
    return best[0], math.sqrt(best[1])


def of_components(means: Tensor, covariances: Tensor) -> tuple[float, float]:
    """R and tau of a mixture of Gaussians, means (k, dim) and covariances (k, dim, dim).

    tau^2 is the smallest eigenvalue of all, R the radius of the smallest ball around the means.

    Where the covariances S_k differ, U keeps S_k - tau^2 I of them, a Gaussian and not bounded: the largest eigenvalue
    of that is added to the squared distance of its mean. One Gaussian has R = 0: it is log-concave as it is.
    """
    eigenvalues = torch.linalg.eigvalsh(covariances)
    tau = math.sqrt(float(eigenvalues.min()))
    if len(means) == 1:
        return 0.0, tau
    centre, radius = enclosing_ball(means)
    if bool(torch.isclose(covariances, covariances[:1], rtol=1e-6, atol=1e-12).all()):
        return radius, tau
    left = eigenvalues[:, -1] - tau**2
    return math.sqrt(float(((means - centre).square().sum(1) + left).max())), tau


def hardest(parts: list[tuple[float, float]]) -> tuple[float, float]:
    """R and tau of the part that needs the most noise."""
    return max(parts, key=lambda part: (threshold(*part), -part[1]))


def in_closed_form(target: Target, whiten: Tensor | None, seed: int) -> Spread | None:
    """The spread of Gaussians, mixtures and their products; None for other targets.

    whiten: W (dim, dim), where R and tau are asked of W X; no probes are made then. The bound by R and tau is the best
    there is for one component or two of the same covariance; draws with that seed probe the others.
    """
    factors, known = target.factors if isinstance(target, Product) else [target], (Gaussian, GaussianMixture)
    mixtures = [factor.to("cpu", torch.float64) for factor in factors if isinstance(factor, known)]
    if len(mixtures) < len(factors) or (whiten is not None and len(factors) > 1):
        return None
    components = [_components(mixture, whiten) for mixture in mixtures]
    parts, sizes = [of_components(*one) for one in components], [len(means) for means, _ in components]
    radius, tau = hardest(parts)
    least = threshold(radius, tau)
    if max(sizes) > 2 and whiten is None:
        generator = Generator().manual_seed(seed)
        least = max(
            probed_threshold(mixture.sample(DRAWS, generator=generator), threshold(*part), generator)
            for mixture, part in zip(mixtures, parts, strict=True)
        )
    double = target.to("cpu", torch.float64)
    finest, origin = min(part[1] for part in parts), _in_words(sizes, radius, tau)
    return Spread(double.mean, double.covariance, radius, tau, least, finest, origin, len(factors))


def _components(mixture: Gaussian | GaussianMixture, whiten: Tensor | None) -> tuple[Tensor, Tensor]:
    """Means (k, dim) and covariances (k, dim, dim), of W X where W is given."""
    if isinstance(mixture, Gaussian):
        means, covariances = mixture.mean[None], mixture.covariance[None]
    else:
        means, factors = mixture.modes, mixture.component_factors
        covariances = torch.diag_embed(factors**2) if factors.ndim == 2 else factors @ factors.mT
    return (means, covariances) if whiten is None else (means @ whiten.mT, whiten @ covariances @ whiten.mT)


def _in_words(sizes: list[int], radius: float, tau: float) -> str:
    if max(sizes) == 1:
        return f"The target is Gaussian, its smallest standard deviation {tau:.3g}"
    which = f"The means of the {sizes[0]} components"
    if len(sizes) > 1:
        which = f"In the hardest of its {len(sizes)} independent parts the means of the components"
    return (
        f"{which} lie within R = {radius:.4g} of their centre and each has a standard deviation "
        f"of at least tau = {tau:.3g}"
    )


def of_spins(target: DiscreteTarget) -> Spread:
    """The spread of a law on values^dim; tau = 0. R^2 is what bounds the covariance of X given any measurement.

    Of spins it is the largest eigenvalue of the covariance without fields where no coupling is negative, which any
    fields only lower (Ding, Song and Sun 2023); 1 / (1 - w), w < 1 the width of the spectrum of J (Bauerschmidt and
    Bodineau 2019); n, as for all spins. The smallest that is known is taken.
    """
    half = float(target.values.max() - target.values.min()) / 2
    middle = float(target.values.max() + target.values.min()) / 2
    double = target.to("cpu", torch.float64)
    mean = double.mean if "mean" in double.known else torch.full((target.dim,), middle, dtype=torch.float64)
    if "covariance" in double.known and target.dim <= MOST_ENUMERATED:
        covariance = double.covariance
        covariance = covariance + 1e-9 * float(covariance.diagonal().max()) * torch.eye(target.dim, dtype=torch.float64)
    else:
        covariance = half**2 * torch.eye(target.dim, dtype=torch.float64)
    square, finest = half**2 * target.dim, float(target.values.double().sort().values.diff().min()) / 2
    origin = "X lies within R = {:.4g} of a centre"
    if isinstance(double, PairwiseMRF):
        square, origin = min(_spin_bounds(double))
        pull = torch.zeros(target.dim, dtype=torch.float64)
        for end in double.edges.mT:
            pull.index_add_(0, end, double.edge_couplings.abs())
        finest = 1 / math.sqrt(max(1.0, float(pull.max())))
    radius = math.sqrt(square)
    return Spread(mean, covariance, radius, 0.0, radius, finest, "On configurations " + origin.format(radius))


def _spin_bounds(mrf: PairwiseMRF) -> list[tuple[float, str]]:
    """Bounds of the eigenvalues of Cov(s) in any fields, each with its reason."""
    words = "Cov(X | y) is at most R^2 = {:.4g}^2 I, "
    bounds = [(float(mrf.dim), words + "as for any spins")]
    if mrf.dim <= MOST_DENSE:
        spectrum = torch.linalg.eigvalsh(mrf.couplings_matrix())
        width = float(spectrum[-1] - spectrum[0])
        if width < 1:
            bounds.append((1 / (1 - width), words + f"for the spectrum of J has the width {width:.3g} < 1"))
    if bool((mrf.edge_couplings >= 0).all()):
        reason = words + "its largest eigenvalue without fields, for no coupling is negative"
        if mrf.dim <= MOST_ENUMERATED:
            covariance = PairwiseMRF(mrf.couplings_matrix()).covariance
            bounds.append((float(torch.linalg.eigvalsh(covariance)[-1]), reason))
        elif isinstance(mrf, Ising) and mrf.periodic:
            free = Ising(mrf.shape, mrf.coupling, dtype=torch.float64)
            if "sample" in free.known:
                # correlations are positive and the same along the torus: the leading eigenvector is constant
                bounds.append((mrf.dim * free.mean_square_magnetisation, reason))
    return bounds
