"""Checks of bridges against exact answers; `seeded_bugs_bridges` puts mistakes in that they must reject."""

import math

import torch
from scipy import stats
from torch.func import grad, hessian, vmap

import targets
from samplers.generative.bridges import (
    GaussianBridge,
    MixturePotential,
    MixturePotentials,
    PointPotential,
    SchroedingerBridge,
    Sinkhorn,
    StaticBridge,
    pinned,
)
from samplers.generative.bridges.mixture_start import first_pieces
from samplers.generative.bridges.pieces import PieceParameters, Pieces
from samplers.generative.data import Samples

DOUBLE = torch.float64
ALPHA = 1e-5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=DOUBLE)


def covariance(dim, seed):
    root = normal(dim, dim + 2, seed=seed)
    return root @ root.mT / dim + 0.1 * torch.eye(dim, dtype=DOUBLE)


def gaussians(dim=3, noise=0.7):
    """The bridge between two Gaussians whose covariances do not commute."""
    m, n = normal(2, dim, seed=5)
    return GaussianBridge(m, covariance(dim, 1), n, covariance(dim, 2), noise)


def potential(dim=2, components=3, noise=0.6, axes=True, seed=3):
    """Some potential, with origins that are not 0."""
    generator = seeded(seed)
    randn = {"generator": generator, "dtype": DOUBLE}
    matrices = torch.stack([0.4 * covariance(dim, seed + k) for k in range(components)])
    return MixturePotential.of_matrices(
        noise,
        0.3 * torch.randn(components, **randn),
        torch.randn(components, dim, **randn),
        matrices if axes else matrices.diagonal(dim1=1, dim2=2),
        torch.randn(dim, **randn),
        torch.randn(dim, **randn),
    )


def conditional(psi, x):
    """pi(. | x) of a mixture potential at one x (dim,), as a target."""
    shares = psi.shares(x[None])[0]
    means = psi.end_origin + psi.shifts + (x - psi.origin) @ psi.matrices
    return targets.GaussianMixture(means, covariances=psi.noise * psi.matrices, weights=shares)


# Gaussians


def check_gaussian_plan():
    """Its margins, and -I / eps beside the diagonal of its precision: together they are the optimal plan's."""
    for noise in (0.05, 0.7, 20.0):
        bridge = gaussians(noise=noise)
        plan, dim = bridge.plan_covariance, 3
        a, s = bridge.start_covariance, bridge.slope
        close(s @ a @ s + noise * s, bridge.end_covariance)
        close(noise * torch.linalg.inv(plan)[:dim, dim:], -torch.eye(dim, dtype=DOUBLE), 1e-6)
        back = bridge.backward.matrices[0]
        close(bridge.end_covariance @ back, bridge.cross_covariance.mT)


def check_gaussian_quadrature():
    """The plan between two Gaussians on a fine grid, by Sinkhorn's iteration, which knows nothing of the formula."""
    bridge = GaussianBridge(*(torch.tensor(v, dtype=DOUBLE) for v in ([0.3], [[1.2]], [-1.0], [[0.5]])), 0.8)
    x = torch.linspace(-9, 9, 241, dtype=DOUBLE)
    a, b = (torch.softmax(-((x - m) ** 2) / (2 * v), 0).log() for m, v in ((0.3, 1.2), (-1.0, 0.5)))
    cost = (x[:, None] - x) ** 2 / (2 * 0.8)
    f, g = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(100):
        f = -(b + g - cost).logsumexp(1)
        g = -(a[:, None] + f[:, None] - cost).logsumexp(0)
    plan = (a[:, None] + f[:, None] + b + g - cost).exp()
    close((plan * (x[:, None] - 0.3) * (x + 1.0)).sum(), bridge.cross_covariance[0, 0])


def slope_of_drift(drift, dim):
    """D of a drift D x + d."""
    unit = torch.eye(dim, dtype=DOUBLE)
    return (drift(unit) - drift(torch.zeros_like(unit))).mT


def check_gaussian_flow():
    """The covariance obeys d Sigma / dt = D Sigma + Sigma D' + eps I, the mean dm / dt = b(m), for drifts both ways."""
    bridge, t, h = gaussians(), 0.3, 1e-4
    static = StaticBridge(bridge.forward, bridge.backward)
    now, before, after = (bridge.marginal(s) for s in (t, t - h, t + h))
    d = slope_of_drift(lambda x: static.drift(x, t, "forward"), 3)
    rate = d @ now.covariance + now.covariance @ d.mT + bridge.noise * torch.eye(3, dtype=DOUBLE)
    close((after.covariance - before.covariance) / (2 * h), rate, 1e-6)
    close((after.mean - before.mean) / (2 * h), static.drift(now.mean[None], t, "forward")[0], 1e-8)
    x = normal(4, 3, seed=9)  # Nelson's: the drifts of both directions add up to eps times the score
    close(static.drift(x, t, "forward") + static.drift(x, t, "backward"), bridge.noise * now.score(x))


# Potentials


def check_heat(axes=True):
    """h solves the backward heat equation, and the drift is eps grad log h with the way between the origins."""
    psi, x, t = potential(axes=axes), normal(5, 2, seed=8), torch.tensor(0.35, dtype=DOUBLE)

    def log_h(z, t):
        """In coordinates from the moving origin."""
        return psi.log_h((z + torch.lerp(psi.origin, psi.end_origin, t))[None], t)[0]

    def h(z, t):
        return log_h(z, t).exp()

    z = x - torch.lerp(psi.origin, psi.end_origin, t)
    step = 1e-5
    rate = torch.stack([(h(p, t + step) - h(p, t - step)) / (2 * step) for p in z])
    laplacian = torch.stack([hessian(h)(p, t).trace() for p in z])
    close(rate, -0.5 * psi.noise * laplacian, 1e-7)
    gradient = torch.stack([grad(log_h)(p, t) for p in z])
    close(psi.drift(x, float(t)), psi.noise * gradient + psi.end_origin - psi.origin)


def check_conditional(axes=True):
    """pi(y | x) as a ratio is the mixture that is drawn from, and the mean is its mean."""
    psi, x = potential(axes=axes), normal(4, 2, seed=6)
    y = normal(4, 2, seed=7)
    exact = torch.stack([conditional(psi, a).log_prob(b) for a, b in zip(x, y, strict=True)])
    close(psi.log_prob(y, x), exact)
    close(psi.mean(x), torch.stack([conditional(psi, a).mean for a in x]))
    mean_over_x = torch.stack([psi.log_prob(b.expand(4, 2), x).logsumexp(0) - math.log(4) for b in y])
    close(psi.log_marginal(y, x), mean_over_x)


def check_end_given_now():
    """The drift is (E[X_1 | X_t] - x) / (1 - t), by quadrature of psi times the heat kernel."""
    psi, t = potential(dim=1), 0.4
    y = torch.linspace(-12, 12, 4001, dtype=DOUBLE)[:, None] + psi.end_origin
    for x in normal(3, 1, seed=2):
        # psi(y) = v(y) exp(|y|^2 / 2 eps) belongs to the coordinates from the origins: x moves with them
        z, w = x - torch.lerp(psi.origin, psi.end_origin, t), y - psi.end_origin
        terms = psi.log_v(y) + (w.square() - (z - w).square() / (1 - t))[:, 0] / (2 * psi.noise)
        mean = terms.softmax(0) @ w
        close(psi.drift(x[None], t)[0], (mean - z) / (1 - t) + psi.end_origin - psi.origin)


def uniform(values, message):
    p = float(stats.kstest(values.numpy(), "uniform").pvalue)
    assert p > ALPHA, f"{message}: p = {p:.2g}"


def mixture_cdf(law, y):
    scales = law.component_factors.reshape(-1)
    z = (y[:, None] - law.modes[:, 0]) / scales
    return torch.special.ndtr(z) @ law.mode_weights


def check_draws():
    """Draws given x, by the distribution function of the mixture."""
    psi, x = potential(dim=1), torch.tensor([0.4], dtype=DOUBLE)
    y = psi.draw(x.expand(20_000, 1), seeded(4))[:, 0]
    uniform(mixture_cdf(conditional(psi, x), y), "draws of pi(y | x)")


def check_path():
    """X_t from x_0 has the density N(x; x_0, eps t) h(x, t) / h(x_0, 0), both ways and in between."""
    psi, x = potential(dim=1), torch.tensor([2.0], dtype=DOUBLE)
    static = StaticBridge(psi, psi)
    for direction, t in (("forward", 0.3), ("backward", 0.7)):
        paths = static.path(x.expand(20_000, 1), torch.tensor([0.1, t, 0.9]).double(), direction, seeded(2))
        found, moving = paths[1, :, 0], torch.lerp(psi.origin, psi.end_origin, 0.3)
        grid = torch.linspace(-9, 9, 6001, dtype=DOUBLE)[:, None] + moving
        free = -(((grid - moving) - (x - psi.origin)).square())[:, 0] / (2 * psi.noise * 0.3)
        share = (free + psi.log_h(grid, 0.3)).softmax(0).cumsum(0)
        at = torch.searchsorted(grid[:, 0].contiguous(), found).clamp_max(6000)
        low, high = share[(at - 1).clamp_min(0)], share[at]
        within = ((found - grid[(at - 1).clamp_min(0), 0]) / (grid[1, 0] - grid[0, 0])).clamp(0, 1)
        uniform(low + within * (high - low), f"{direction} paths")


def check_pinned():
    """Brownian bridges: covariance eps s (1 - t), at times given in order, and the ends themselves."""
    zero, times = torch.zeros(40_000, 1, dtype=DOUBLE), torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=DOUBLE)
    states = pinned(zero, zero + 3.0, times, 2.0, seeded(3))[..., 0]
    assert torch.equal(states[0], zero[:, 0])
    close(states[3], zero[:, 0] + 3.0)
    exact = 2.0 * torch.tensor([[0.2 * 0.8, 0.2 * 0.3], [0.2 * 0.3, 0.7 * 0.3]], dtype=DOUBLE)
    found = states[1:3] - 3.0 * times[1:3, None]
    products = found[:, None] * found
    error = products.std(-1) / math.sqrt(found.shape[1])
    assert float(((products.mean(-1) - exact) / error).abs().max()) < 5


def check_backward_time():
    """The backward drift at time t is that of the backward potential after 1 - t."""
    ahead, behind = potential(seed=3), potential(seed=4)
    static, x = StaticBridge(ahead, behind), normal(3, 2, seed=1)
    close(static.drift(x, 0.25, "backward"), behind.drift(x, 0.75))
    close(static.drift(x, 0.0, "forward"), ahead.mean(x) - x)


# Learning


def pieces(dim=2, components=3, diagonal=False):
    matrices = torch.stack([0.5 * covariance(dim, k) for k in range(components)])
    slopes = matrices.diagonal(dim1=1, dim2=2) if diagonal else matrices
    here, there = (normal(components, dim, seed=seed) for seed in (1, 2))
    return Pieces(here, there, slopes, 0.2 * normal(components, seed=3))


def moved(piece, noise):
    """Parameters that are not where they start."""
    made = PieceParameters(piece, noise, torch.ones(piece.here.shape[1], dtype=DOUBLE))
    with torch.no_grad():
        made.moved += 0.3 * normal(*made.moved.shape, seed=5)
        made.stretched += 0.1 * normal(*made.stretched.shape, seed=6)
    return made


def check_pieces(diagonal=False):
    """What is learned and what is made of it are the same potential."""
    made, zero, x = moved(pieces(diagonal=diagonal), 0.6), torch.zeros(2, dtype=DOUBLE), normal(6, 2, seed=4)
    psi = made.potential(zero, zero)
    with torch.no_grad():
        close(made.log_c(x), psi.log_c(x))
        close(made.log_v(x), psi.log_v(x))


def check_loss():
    """The gradient of the loss is zero on average, parameter by parameter, at the potential that made the plan."""
    made, zero = moved(pieces(), 0.6), torch.zeros(2, dtype=DOUBLE)
    x = normal(1500, 2, seed=7)
    y = made.potential(zero, zero).draw(x, seeded(8))
    parameters = {name: value.detach() for name, value in made.named_parameters()}

    def rows(term, points):
        def one(values, point):
            return torch.func.functional_call(made, values, (point[None],), {"term": term})[0]

        found = vmap(grad(one), in_dims=(None, 0))(parameters, points)
        return torch.cat([value.flatten(1) for value in found.values()], 1)

    made.forward = lambda points, term: getattr(made, term)(points)
    c, v = rows("log_c", x), rows("log_v", y)
    error = ((c.var(0) + v.var(0)) / len(x)).sqrt()
    used = error > 0  # what is above the diagonal of a root has no part
    z = (c.mean(0) - v.mean(0))[used] / error[used]
    assert float(z.abs().max()) < 5, z


def check_moments():
    """One component is the bridge between the Gaussians of the moments."""
    bridge = gaussians()
    start, end = (bridge.marginal(t).sample(500, generator=seeded(t)) for t in (0, 1))
    laws = [Samples(x - x.mean(0)) for x in (start, end)]
    (a, b) = (law.moments[1] for law in laws)
    zero = torch.zeros(3, dtype=DOUBLE)
    exact = GaussianBridge(zero, a, zero, b, 0.7)
    ahead, behind = first_pieces(*laws, 0.7, 1, False, seeded())
    close(ahead.slopes[0], exact.slope)
    close(behind.slopes[0], exact.backward.matrices[0])


def check_start():
    """What is started from, at a noise where pieces are far apart, is nearly the plan itself: the loss of its own rows
    is within a tenth of a nat of that of the planted one."""
    ends = targets.GaussianMixture(torch.tensor([[-4.0], [4.0]]).double(), scales=0.5)
    x, y = (ends.sample(1500, generator=seeded(k)) for k in (0, 1))
    laws = Samples(x - x.mean(0)), Samples(y - y.mean(0))
    ahead, _ = first_pieces(*laws, 0.5, 10, False, seeded())
    one, _ = first_pieces(*laws, 0.5, 1, False, seeded())
    a = torch.tensor([[[0.25]]], dtype=DOUBLE).expand(2, 1, 1)
    slope = GaussianBridge(a[0, 0], a[0], a[0, 0], a[0], 0.5).slope
    middle = torch.tensor([[-4.0], [4.0]], dtype=DOUBLE)
    # symmetric: both pieces weigh half in the middle of their own
    planted = Pieces(middle, middle, slope.expand(2, 1, 1), torch.zeros(2, dtype=DOUBLE))
    rows = laws[0].x, laws[1].x
    losses = [found.settled(0.5, *rows).loss(0.5, *rows) for found in (ahead, planted, one)]
    assert losses[0] < losses[1] + 0.1 < losses[2], losses


# Sinkhorn


def check_two_by_two():
    """Two rows at either end: the plan's odds are the root of exp(-(C_11 + C_22 - C_12 - C_21) / eps)."""
    x, y, noise = torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[0.5], [1.0]]).double(), 0.6
    fitted = SchroedingerBridge(noise=noise, method=Sinkhorn(tolerance=1e-12)).fit(x, y)
    squares = (x - y.mT).square() / 2
    odds = math.exp(-0.5 * float(squares[0, 0] + squares[1, 1] - squares[0, 1] - squares[1, 0]) / noise)
    exact = torch.tensor([[odds, 1.0], [1.0, odds]], dtype=DOUBLE) / (1 + odds)
    close(fitted.bridge.forward.shares(x), exact)
    close(fitted.bridge.backward.shares(y), exact.mT)
    close(fitted.mean(x), exact @ y)
    assert fitted.figures["error of the margins"] < 1e-11


def check_weighted_rows():
    """Rows of weights: margins are the weights, of samples of unequal sizes."""
    from samplers import Draws

    x, y = normal(7, 2, seed=1), normal(5, 2, seed=2) + 1
    w = normal(7, seed=3)
    draws = Draws(x[None], log_weights=w[None])
    fitted = SchroedingerBridge(noise=0.9, method=Sinkhorn(tolerance=1e-11)).fit(draws, y)
    first, last = fitted.bridge.backward.points, fitted.bridge.forward.points
    assert torch.equal(first, x)
    close(w.softmax(0) @ fitted.bridge.forward.shares(first), torch.full((5,), 0.2, dtype=DOUBLE))
    close(torch.full((5,), 0.2, dtype=DOUBLE) @ fitted.bridge.backward.shares(last), w.softmax(0))


def check_point_drift():
    """The drift is eps times the gradient of log sum_j exp(l_j - |x - y_j|^2 / (2 eps (1 - t)))."""
    psi, x = PointPotential(0.6, normal(4, seed=1), normal(4, 2, seed=2)), normal(3, 2, seed=3)

    def log_h(x):
        return (psi.log_weights - (x - psi.points).square().sum(1) / (2 * psi.noise * 0.6)).logsumexp(0)

    close(psi.drift(x, 0.4), psi.noise * vmap(grad(log_h))(x))


# Weights


TARGET = targets.GaussianMixture(torch.tensor([[-0.5], [1.0]]).double(), scales=0.6, log_z=0.8)
START = targets.Gaussian(torch.tensor([0.3]).double(), scale=0.8)


def wrong_bridge():
    """Wide enough for `TARGET`, whose potentials are no pair of a bridge: conditional laws of deviation one or more."""
    zero, one = torch.zeros(1, dtype=DOUBLE), torch.ones(1, 1, dtype=DOUBLE)
    two = torch.zeros(2, dtype=DOUBLE), torch.tensor([[-0.5], [0.7]], dtype=DOUBLE)
    ahead = MixturePotential(1.5, *two, torch.tensor([[0.8], [1.0]], dtype=DOUBLE), zero, zero)
    behind = MixturePotential(1.5, zero, 0.2 * one, 0.3 * one, zero, zero)
    return StaticBridge(ahead, behind)


def unbiased(w):
    error = float(w.std()) / math.sqrt(len(w))
    z = (float(w.mean()) - math.exp(TARGET.log_z)) / error
    assert abs(z) < 5, f"mean weight {float(w.mean()):.4f} +- {error:.4f}, expected {math.exp(TARGET.log_z):.4f}"


def check_weights_by_ends():
    """Mean weights of blocks of four starts, which a law of their own gave."""
    from samplers.generative.bridges import weighing

    x, bridge, generator = 2 * normal(4000, 1, seed=1), wrong_bridge(), seeded(2)
    w = []
    for block in x.split(4):
        y, log_ratio = weighing._by_ends(bridge, block, generator)
        w.append((TARGET.log_prob(y) + log_ratio).exp().mean())
    unbiased(torch.stack(w))


def check_weights_by_path():
    """Weights of pairs of ends."""
    x = START.sample(40_000, generator=seeded(1))
    y, log_ratio = wrong_bridge().walk(x, "forward", seeded(2))
    unbiased((TARGET.log_prob(y) + log_ratio - START.log_prob(x)).exp())


def planted(dim, components, noise, seed=0):
    """A start, a potential and with them a plan: (start, psi)."""
    generator = seeded(seed)
    start = targets.GaussianMixture(
        2.0 * torch.randn(3, dim, generator=generator).double(), scales=0.7, weights=[0.3, 0.3, 0.4]
    )
    shifts = 2.0 * torch.randn(components, dim, generator=generator).double()
    spreads = 0.3 + 0.5 * torch.rand(components, dim, generator=generator).double()
    zero = torch.zeros(dim, dtype=DOUBLE)
    return start, MixturePotential(noise, torch.zeros(components, dtype=DOUBLE), shifts, spreads, zero, zero)


def check_recovered(iterations=400):
    """KL of a learned plan from a planted one, beside that of the Gaussian one."""
    start, psi = planted(1, 2, 1.0)
    x = start.sample(8000, generator=seeded(1))
    y = psi.draw(x, seeded(2))
    fitted, plain = (
        SchroedingerBridge(noise=1.0, method=MixturePotentials(components=k)).fit(
            start.sample(8000, generator=seeded(5)), y, iterations=iterations, progress=False
        )
        for k in (12, 1)
    )
    exact = psi.log_prob(y, x)
    learned, gaussian = (float((exact - one.bridge.forward.log_prob(y, x)).mean()) for one in (fitted, plain))
    assert learned < 0.02 < gaussian, (learned, gaussian)
