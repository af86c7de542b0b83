"""Checks of the closest Gaussians against closed forms, quadrature and perturbation; seeded bugs must fail them."""

import math
from functools import cache

import numpy as np
import torch
from scipy import integrate, special, stats

import targets
from samplers.diagnostics import closest_gaussian, fourier_bounds, quantile_gaussian, transported_gaussian

F64 = torch.float64
COIN = torch.tensor([[-1.0], [1.0]], dtype=F64)
MIXTURE = targets.GaussianMixture(torch.tensor([[-3.0], [2.0]], dtype=F64), scales=[0.4, 1.5], weights=[0.3, 0.7])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def weighted(seed, n=7, dim=1):
    """A small random law: points, and log-weights that are not normalised."""
    generator = seeded(seed)
    x = torch.randn(n, dim, generator=generator, dtype=F64).exp() * 2 - 1
    return x, 3 + torch.randn(n, generator=generator, dtype=F64)


def deviation(gaussian):
    return float(gaussian.covariance[0, 0].double().sqrt())


def close(a, b, tolerance=1e-7):
    assert abs(a - b) <= tolerance, f"{a!r} is not {b!r}"


def check_scales_in_closed_form():
    """Coin, uniform, exponential and two-point laws: s is known on paper."""
    close(deviation(closest_gaussian(COIN, "w2")), math.sqrt(2 / math.pi), 1e-12)
    p, low, high = 0.2, -1.0, 4.0
    two = torch.tensor([[high], [low]], dtype=F64)
    found = closest_gaussian(two, "w2", log_weights=torch.tensor([p, 1 - p], dtype=F64).log())
    close(float(found.mean), p * high + (1 - p) * low, 1e-12)
    close(deviation(found), (high - low) * stats.norm.pdf(stats.norm.ppf(1 - p)), 1e-12)
    found = quantile_gaussian(
        lambda u: 1.0 if u > 0.5 else -1.0, lambda u: 3 + 2 * u, lambda u: 1.0 + 2.5 * float(special.ndtri(u))
    )
    for i, (mean, scale) in enumerate([(0, math.sqrt(2 / math.pi)), (4, 1 / math.sqrt(math.pi)), (1, 2.5)]):
        close(float(found.mean[i]), mean)
        close(float(found.covariance[i, i].sqrt()), scale)


def w2_squared(x, shares, mean, scale):
    """W_2^2 of weighted points on the line and N(mean, scale^2): over the cell of each point, in closed form."""
    order = x.argsort()
    x, edges = x[order], np.concatenate([[0.0], np.cumsum(shares[order])])
    edges[-1] = 1.0
    z = stats.norm.ppf(edges)
    first = -np.diff(stats.norm.pdf(z))  # int z phi over each cell
    ends = np.where(np.isfinite(z), z, 0.0) * stats.norm.pdf(z)
    second = np.diff(edges) - np.diff(ends)  # int z^2 phi
    centred = x - mean
    return float((centred**2 * np.diff(edges) - 2 * scale * centred * first + scale**2 * second).sum())


def check_w2_of_points_is_least():
    """Of random weighted points no Gaussian nearby is nearer; the least distance is Var - s^2."""
    for seed in range(5):
        x, log_weights = weighted(seed)
        found = closest_gaussian(x, "w2", log_weights=log_weights)
        shares = log_weights.softmax(0).numpy()
        mean, scale = float(found.mean), deviation(found)

        def at(mean, scale, x=x, shares=shares):
            return w2_squared(x[:, 0].numpy(), shares, mean, scale)

        variance = deviation(closest_gaussian(x, log_weights=log_weights)) ** 2
        close(at(mean, scale), variance - scale**2, 1e-10)
        for step in (0.01, -0.01):
            assert at(mean + step, scale) > at(mean, scale)
            assert at(mean, scale + step) > at(mean, scale)


def check_mixture_by_quadrature():
    """s of a mixture by the quantile formula with quantiles found by bisection, and by adaptive quadrature."""
    weights, means, scales = np.array([0.3, 0.7]), np.array([-3.0, 2.0]), np.array([0.4, 1.5])

    def height(x):
        return stats.norm.pdf(stats.norm.ppf(float(weights @ stats.norm.cdf((x - means) / scales))))

    expected = sum(integrate.quad(height, a, b, limit=200)[0] for a, b in [(-12, -3), (-3, 0), (0, 3), (3, 14)])
    close(deviation(closest_gaussian(MIXTURE, "w2")), expected, 1e-7)
    far = targets.GaussianMixture([[-1e3], [1e3]], scales=1e-3, weights=[0.5, 0.5])  # a coin of 1,000
    assert abs(deviation(closest_gaussian(far, "w2")) / (1e3 * math.sqrt(2 / math.pi)) - 1) < 1e-5


def check_products_by_blocks():
    gaussian = targets.Gaussian(torch.tensor([1.0, 2.0], dtype=F64), covariance=[[2.0, 0.5], [0.5, 1.0]])
    found = closest_gaussian(targets.Product(MIXTURE, gaussian), "w2")
    assert found.mean.tolist()[1:] == [1.0, 2.0]
    torch.testing.assert_close(found.covariance[1:, 1:], gaussian.covariance, rtol=1e-12, atol=0)
    close(float(found.covariance[0, 0].sqrt()), deviation(closest_gaussian(MIXTURE, "w2")), 1e-12)
    assert not found.covariance[0, 1:].any()


def check_kl_of_points_is_least():
    """E_p[log N] is greatest at the moments: any change of mean or covariance makes the cross entropy larger."""
    x, log_weights = weighted(3, n=30, dim=3)
    shares = log_weights.softmax(0)
    found = closest_gaussian(x, log_weights=log_weights)

    def cross_entropy(mean, covariance):
        return -float(shares @ targets.Gaussian(mean, covariance=covariance).log_prob(x))

    least = cross_entropy(found.mean, found.covariance)
    generator = seeded(0)
    for _ in range(20):
        change = 0.02 * torch.randn(3, 3, generator=generator, dtype=F64)
        turned = torch.eye(3, dtype=F64) + change
        assert cross_entropy(found.mean + change[0], found.covariance) > least
        assert cross_entropy(found.mean, turned @ found.covariance @ turned.mT) > least


def check_kl_of_targets_are_their_moments():
    mixture = targets.GaussianMixture([[-2.0, 0.0], [2.0, 1.0]], covariances=[[1.0, 0.3], [0.3, 0.5]])
    spins = targets.Ising((3, 3), coupling=0.2)
    for target in (mixture, spins, MIXTURE):
        found = closest_gaussian(target)
        torch.testing.assert_close(found.mean, target.mean)
        torch.testing.assert_close(found.covariance, target.covariance)


@cache
def frequencies(dim):
    generator = seeded(11)
    directions = torch.nn.functional.normalize(torch.randn(40 if dim > 1 else 1, dim, generator=generator, dtype=F64))
    return directions, torch.cat([torch.tensor([1e-3], dtype=F64), torch.linspace(0.01, 30, 6000, dtype=F64)])


def d2(x, shares, gaussian):
    """The supremum over a fine grid of frequencies, which is below d_2; the first frequency shows the limit at 0."""
    directions, radii = frequencies(x.shape[1])
    directions = torch.cat([directions, torch.linalg.eigh(covariance_between(x, shares, gaussian))[1].mT])
    radii = radii / (x.square().sum(1).max() + gaussian.covariance.trace()).sqrt() * 3
    centred = (x - gaussian.mean) @ directions.mT
    ratios = []
    for along, u in zip(centred.mT, directions, strict=True):
        theta = radii[:, None] * along
        transform = torch.complex(theta.cos() @ shares, theta.sin() @ shares)
        own = (-0.5 * radii.square() * (u @ gaussian.covariance @ u)).exp()
        ratios.append((transform - own).abs() / radii.square())
    return float(torch.stack(ratios).max())


def covariance_between(x, shares, gaussian):
    centred = x - shares @ x
    return (shares[:, None] * centred).mT @ centred - gaussian.covariance


def check_d2_lies_between_its_bounds():
    """On random small laws of one and two dimensions, beside Gaussians of their mean and several covariances."""
    for seed in range(12):
        dim = 1 + seed % 2
        x, log_weights = weighted(seed, n=2 + seed % 5 if dim == 1 else 4 + seed, dim=dim)
        x = x * 10 ** (seed % 3 - 1)
        shares = log_weights.softmax(0)
        moments = closest_gaussian(x, log_weights=log_weights)
        others = [targets.Gaussian(moments.mean, covariance=c * moments.covariance) for c in (0.3, 1.0, 2.5)]
        if dim == 1:
            others.append(closest_gaussian(x, "w2", log_weights=log_weights))
        for gaussian in others:
            bounds = fourier_bounds(x, gaussian, log_weights=log_weights)
            found = d2(x, shares, gaussian)
            assert bounds.lower <= found * (1 + 1e-4) + 1e-8, (seed, bounds, found)
            assert found <= bounds.upper, (seed, bounds, found)


def check_d2_of_gaussians_is_half_the_difference():
    a = targets.Gaussian(torch.zeros(2, dtype=F64), covariance=[[2.0, 0.3], [0.3, 1.0]])
    b = targets.Gaussian(torch.zeros(2, dtype=F64), covariance=[[1.0, 0.0], [0.0, 3.0]])
    half = 0.5 * float(torch.linalg.eigvalsh(a.covariance - b.covariance).abs().max())
    assert fourier_bounds(a, b) == (half, half)
    xi = torch.linspace(-4, 4, 201, dtype=F64)
    grid = torch.cartesian_prod(xi, xi)
    grid = grid[grid.norm(dim=1) > 1e-6]
    forms = [torch.exp(-0.5 * torch.einsum("ni,ij,nj->n", grid, g.covariance, grid)) for g in (a, b)]
    largest = float(((forms[0] - forms[1]).abs() / grid.square().sum(1)).max())
    assert 0.98 * half < largest <= half


def check_transport_bounds_from_above():
    """Of four corners, independent coins: the distance is 2 (1 - 2 / pi), and what is found is near and above."""
    corners = torch.cartesian_prod(COIN[:, 0], COIN[:, 0])
    least = 2 * (1 - 2 / math.pi)
    found = transported_gaussian(corners, points=128, seed=1)
    exact = 2 - 2 * 2 * math.sqrt(2 / math.pi) + 2  # of N(0, I), the moments
    assert found.squared > least - 4 * found.standard_error
    assert found.moments_squared > exact - 4 * found.moments_error
    assert found.squared < found.moments_squared
    assert found.squared < 1.4 * least
    assert 0.4 < float(found.gaussian.covariance.diagonal().min()) < 1.0
