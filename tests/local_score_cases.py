"""Unrolled denoisers of Markov fields: fields, exact answers beside them, and checks that seeded bugs must fail."""

import math

import torch

import targets
from samplers.denoisers import ClosedForm, Unrolled
from samplers.denoisers.spins import TAP, BeliefPropagation, Enumeration, MeanField, TransferMatrix
from samplers.denoisers.unrolled.laws import law_of
from samplers.networks.slots import Slots
from samplers.networks.unrolled import UnrolledBeliefPropagation, UnrolledMeanField, UnrolledTAP
from targets import CorrelatedNoise, IsotropicNoise, MRFNoise

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


# Fields


def tree_edges(n, seed=0):
    generator = seeded(seed)
    return torch.tensor([[int(torch.randint(site, (), generator=generator)), site] for site in range(1, n)])


def on_edges(edges, values, n):
    matrix = torch.zeros(n, n, dtype=F64)
    matrix[edges[:, 0], edges[:, 1]] = values
    return matrix + matrix.mT


def spins_on(edges, n, scale=1.0, seed=1):
    return targets.PairwiseMRF(on_edges(edges, scale * normal(len(edges), seed=seed), n), 0.7 * normal(n, seed=2))


def colours_on(edges, n, scale=1.0, q=3, seed=1):
    settings = {"states": q, "coupling": scale * normal(len(edges), seed=seed), "edges": edges, "dtype": F64}
    return targets.Potts(n, fields=0.7 * normal(n, q, seed=2), **settings)


def gaussian_on(edges, n):
    precision = on_edges(edges, normal(len(edges), seed=1), n)
    precision += torch.diag(precision.abs().sum(-1) + 0.2 + normal(n, seed=3).abs())
    return targets.Gaussian(normal(n, seed=2), covariance=torch.linalg.inv(precision))


LOOPS = torch.tensor([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [1, 4]])
TREES = {
    "spins on a tree": spins_on(tree_edges(9), 9),
    "spins on a forest": spins_on(tree_edges(9)[[0, 1, 3, 4, 6]], 9),
    "a strip of spins": targets.Ising((1, 40), 0.6, normal(1, 40), periodic=False, dtype=F64),
    "an antiferromagnet": targets.Ising((12,), -0.8, 0.3, periodic=False, dtype=F64),
    "colours on a tree": colours_on(tree_edges(7), 7, 1.5),
    "a chain of colours": targets.Potts((6,), 4, -0.9, normal(6, 4), periodic=False, dtype=F64),
    "two colours": colours_on(tree_edges(8, 4), 8, q=2),
    "a Gaussian on a tree": gaussian_on(tree_edges(12), 12),
}
NOISES = {
    "isotropic": lambda n: IsotropicNoise(0.9),
    "weak": lambda n: IsotropicNoise(0.1),
    "variances": lambda n: CorrelatedNoise(torch.linspace(0.3, 1.4, n, dtype=F64)),
}
EXACT = [(name, noise) for name in TREES for noise in NOISES]


def measurements(target, noise, n=5, seed=5):
    x = target.sample(n, generator=seeded(seed)).to(F64)
    return x + noise.sample_like(x, seeded(seed + 1))


def exact_mean(target, y, noise):
    """E[X | y] by the transfer matrix, closed form, or all configurations and the density of the noise as a matrix."""
    if isinstance(target, targets.Gaussian):
        return ClosedForm().estimate(target, y, noise).mean
    if isinstance(target, targets.Ising):
        return TransferMatrix().estimate(target, y, noise).mean
    s = target.enumerate()
    law = torch.distributions.MultivariateNormal(torch.zeros(target.dim, dtype=F64), noise.covariance(target.dim))
    return (target.log_prob(s) + law.log_prob(y[:, None] - s)).softmax(-1) @ s


def check_exact_on_trees(name, noise):
    """Untrained, to rounding."""
    target = TREES[name]
    noise = NOISES[noise](target.dim)
    y = measurements(target, noise)
    found = Unrolled.plain(target, rounds=target.dim).estimate(target, y, noise)
    torch.testing.assert_close(found.mean, exact_mean(target, y, noise), rtol=1e-9, atol=1e-9)
    assert found.trusted is None


def check_shape_of_the_field(kind):
    """Noise of the field's own shape leaves no couplings: one round is exact on any graph."""
    if kind == "spins":
        target = spins_on(LOOPS, 5)
        noise, model = MRFNoise(target), target
    else:
        target = gaussian_on(LOOPS, 5)
        precision = torch.linalg.inv(target.covariance)
        model = targets.PairwiseMRF(torch.diag(precision.diagonal()) - precision)
        noise = MRFNoise(model)
    y = measurements(target, noise)
    plain = Unrolled.plain(target, rounds=1)
    exact = Enumeration().estimate(target, y, noise).mean if kind == "spins" else exact_mean(target, y, noise)
    torch.testing.assert_close(plain.estimate(target, y, noise).mean, exact, rtol=1e-9, atol=1e-9)
    more = noise.scaled(2.0)  # half of the couplings, or twice the noise of a Gaussian: a graph again
    y = measurements(target, more)
    many = Unrolled.plain(target, rounds=300, scheme="belief propagation")
    spins = kind == "spins"
    exact = BeliefPropagation().estimate(target, y, more).mean if spins else exact_mean(target, y, more)
    torch.testing.assert_close(many.estimate(target, y, more).mean, exact, rtol=1e-7, atol=1e-7)


# Expansions in the couplings

ORDERS = {
    "mean field": (UnrolledMeanField, 1),
    "TAP": (UnrolledTAP, 2),
    "belief propagation": (UnrolledBeliefPropagation, 2),
}
FIXED = {"mean field": MeanField, "TAP": TAP, "belief propagation": BeliefPropagation}


def marginals(couplings, potentials, edges):
    """p_i(v) of exp(g + K 1[s = s']) by enumeration."""
    n, q = potentials.shape
    s = torch.cartesian_prod(*[torch.arange(q)] * n)
    value = potentials[torch.arange(n), s].sum(-1) + ((s[:, edges[:, 0]] == s[:, edges[:, 1]]) * couplings).sum(-1)
    return torch.stack([(value.softmax(0)[:, None] * (s == v)).sum(0) for v in range(q)], -1)


def check_order(scheme, q):
    """On a graph with a triangle the error falls with the power of the couplings that the scheme leaves out first."""
    network, order = ORDERS[scheme]
    potentials, couplings, slots = normal(5, q, seed=3), normal(6, seed=4), Slots.of(5, LOOPS)
    net = network(60, 0, 0, seeded()).double()
    errors = []
    for share in (0.04, 0.02):
        found = net(slots, slots.on_edges(share * couplings), potentials[None]).softmax(-1)[0]
        errors.append(float((found - marginals(share * couplings, potentials, LOOPS)).abs().max().detach()))
    assert round(math.log2(errors[0] / errors[1])) == order + 1


def check_fixed_point(scheme):
    """Many rounds are the damped iteration of the house, at a coupling where it converges."""
    target, noise = targets.Ising((4, 5), 0.2, 0.1, dtype=F64), IsotropicNoise(1.1)
    y = measurements(target, noise)
    found = Unrolled.plain(target, rounds=120, scheme=scheme).estimate(target, y, noise).mean
    torch.testing.assert_close(found, FIXED[scheme]().estimate(target, y, noise).mean, rtol=1e-7, atol=1e-7)


# Symmetries, with weights that are anything


def shaken(network, size=0.3, seed=7):
    """The network with noise on all weights, in float64."""
    generator = seeded(seed)
    with torch.no_grad():
        for weights in network.double().parameters():
            weights += size * torch.randn(weights.shape, generator=generator, dtype=F64)
    return network


SHAKEN = {
    scheme: lambda kind=kind, rounds=3: shaken(kind(rounds, 4, 2, seeded())) for scheme, (kind, _) in ORDERS.items()
}


def check_relabelling(scheme):
    """Sites and states in another order give the answer in that order."""
    net, (edges, n, q) = SHAKEN[scheme](), (tree_edges(8), 8, 3)
    edges = torch.cat([edges, torch.tensor([[5, 7]])]) if [5, 7] not in edges.tolist() else edges
    couplings, potentials = normal(len(edges), seed=1), normal(4, n, q, seed=2)
    slots = Slots.of(n, edges)
    found = net(slots, slots.on_edges(couplings), potentials)
    sites, states = torch.randperm(n, generator=seeded(3)), torch.randperm(q, generator=seeded(4))
    place = sites.argsort()  # site i stands at place[i] in the new order
    order = torch.randperm(len(edges), generator=seeded(5))
    again = Slots.of(n, place[edges][order].sort(-1).values)
    moved = net(again, again.on_edges(couplings[order]), potentials[:, sites][..., states])
    torch.testing.assert_close(moved, found[:, sites][..., states])


def check_other_components(scheme):
    """A star far away, which has more slots, changes nothing."""
    net, edges = SHAKEN[scheme](), LOOPS
    couplings, potentials = normal(6, seed=1), normal(2, 5, 3, seed=2)
    slots = Slots.of(5, edges)
    alone = net(slots, slots.on_edges(couplings), potentials)
    star = torch.tensor([[5, 6 + k] for k in range(7)])
    wide = Slots.of(13, torch.cat([edges, star]))
    both = net(wide, wide.on_edges(torch.cat([couplings, torch.ones(7, dtype=F64)])), torch.cat(
        [potentials, normal(2, 8, 3, seed=9)], 1
    ))  # fmt: skip
    torch.testing.assert_close(both[:, :5], alone)


def check_reach(scheme):
    """A site hears of those within as many edges as there are rounds, and of no others."""
    n = 9
    edges = torch.stack([torch.arange(n - 1), torch.arange(1, n)], -1)
    slots, potentials = Slots.of(n, edges), normal(1, n, 2).requires_grad_()
    found = SHAKEN[scheme]()(slots, slots.on_edges(normal(n - 1, seed=1)), potentials)
    (gradient,) = torch.autograd.grad(found[0, 4, 0], potentials)
    heard = (gradient[0].abs() > 0).any(-1).nonzero().flatten().tolist()
    assert heard == list(range(1, 8))


# Learning

LEARNED = {
    "spins": lambda: targets.Ising((3, 4), 0.4, normal(3, 4, seed=8) / 4, dtype=F64),
    "colours": lambda: targets.Potts((3, 3), 3, 0.9, normal(9, 3, seed=8) / 4, dtype=F64),
    "a Gaussian": lambda: gaussian_on(targets._lattice.grid_edges((4, 4), True)[0], 16),
}
SETTINGS = {
    "spins": {"rounds": 2, "iterations": 40, "batch": 32, "width": 6, "channels": 1, "lr": 0.03},
    "colours": {"rounds": 2, "iterations": 40, "batch": 32, "width": 6, "channels": 1, "lr": 0.03},
    "a Gaussian": {"rounds": 3, "iterations": 60, "batch": 64, "lr": 0.03},
}


def fitted(kind, **settings):
    target = LEARNED[kind]()
    draws = target.sample(2000, generator=seeded(11))
    return target, Unrolled.fit(target, (0.5, 4.0), draws=draws, **SETTINGS[kind] | settings)


def errors(denoiser, target, noise, n):
    """Squares, summed over the sites, at measurements of fresh exact draws, (n,)."""
    y = measurements(target, noise, n, seed=21)
    return (denoiser.estimate(target, y, noise).mean - exact_mean(target, y, noise)).square().sum(-1)


def check_learning(kind):
    """The error against exact answers falls: the paired difference is positive by more than 5 standard errors."""
    target, learned = fitted(kind)
    plain, noise = Unrolled.plain(target, rounds=learned.rounds), IsotropicNoise(1.5)
    gain = errors(plain, target, noise, 100) - errors(learned, target, noise, 100)
    assert float(gain.mean() / (gain.std() / len(gain) ** 0.5)) > 5
    assert learned.loss < learned.plain_loss


def check_given_others(kind):
    """What is learned from has the mean of what is to be known: over exact draws of X given y, within 5 errors."""
    target, noise = LEARNED[kind](), IsotropicNoise(1.5)
    law, y = law_of(target, noise), measurements(target, noise, 1)
    if kind == "a Gaussian":
        x = target.sample_given(y.expand(4000, -1), noise, generator=seeded(31))
        wanted = law.given_others(x, law.potentials(y).expand(4000, -1, -1))
    else:
        s = target.enumerate()
        joint = target.log_prob(s) - 0.5 * noise.square(y - s)
        x = s[torch.multinomial(joint.softmax(0), 4000, replacement=True, generator=seeded(31))]
        wanted = law.given_others(x, law.potentials(y).expand(4000, -1, -1)) @ law.values
    gap = (wanted.mean(0) - exact_mean(target, y, noise)[0]) / (wanted.std(0) / 4000**0.5)
    assert float(gap.abs().max()) < 5


def check_draws(kind):
    """Sweeps from exact draws of X given y keep their law: the mean product of neighbours, within 5 errors."""
    target, noise = LEARNED[kind](), IsotropicNoise(1.5)
    law, y = law_of(target, noise), measurements(target, noise, 1)
    s = target.enumerate()
    p = (target.log_prob(s) - 0.5 * noise.square(y - s)).softmax(0)
    x = s[torch.multinomial(p, 4000, replacement=True, generator=seeded(41))]
    surely = 1e3 * (x[..., None] == law.values).double()
    drawn = law.draw(target, y.expand(4000, -1), surely, 2, noise, seeded(42))
    i, j = target.edges.unbind(-1)
    for statistic in (lambda v: (v[:, i] * v[:, j]).sum(-1), lambda v: v @ normal(target.dim, seed=1)):
        value = statistic(drawn)
        assert float((value.mean() - p @ statistic(s)).abs() / (value.std() / 4000**0.5)) < 5
