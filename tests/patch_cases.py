"""What must hold of networks on lattices: which sites a site sees, and that a layer is a convolution."""

import itertools

import score_matching_cases as cases
import torch
from score_matching_cases import F64, PARAMETRISATIONS, PROCESSES, seeded

from samplers.generative import Karras, LocalScore, NoiseOf, ScoreModel
from samplers.generative.regression import Regression
from samplers.networks import Lattice, PatchNetwork
from samplers.processes.linear import VP
from targets import CorrelatedNoise, GaussianMixture

LATTICES = {
    "chain": (Lattice((6,)), (1, 0)),
    "ring": (Lattice((7,), True), (1, 1)),
    "image": (Lattice((3, 5)), (1, 0)),
    "image, two layers": (Lattice((4, 5)), (1, 0, 1)),
    "torus": (Lattice((5, 6), True), (2,)),
    "sites by themselves": (Lattice((3, 4)), (0, 0)),
    "three axes": (Lattice((3, 1, 4)), (1,)),
}


def distance(lattice):
    """The largest difference along an axis between two sites, counted out one by one."""
    places = list(itertools.product(*(range(side) for side in lattice.shape)))
    found = torch.zeros(len(places), len(places), dtype=torch.long)
    for i, j in itertools.product(range(len(places)), repeat=2):
        steps = [abs(p - q) for p, q in zip(places[i], places[j], strict=True)]
        if lattice.periodic:
            steps = [min(step, side - step) for step, side in zip(steps, lattice.shape, strict=True)]
        found[i, j] = max(steps)
    return found


def filled(network, seed=1):
    """The network in float64 with random weights where there are zeros: the last layers and all biases."""
    generator, network = seeded(seed), network.to(F64)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=F64)
    return network


def network_on(lattice, radii, inputs=2, outputs=3, width=6, **options):
    made = PatchNetwork(
        lattice, inputs=inputs, outputs=outputs, features=2, width=width, generator=seeded(), radii=radii, **options
    )
    return filled(made)


def check_reach():
    """A site depends on exactly the sites within the sum of the radii, whether weights are shared or not."""
    for (lattice, radii), shared in itertools.product(LATTICES.values(), (True, False)):
        network = network_on(lattice, radii, shared=shared)
        x = torch.randn(1, lattice.sites, 2, dtype=F64, generator=seeded(2))
        features = torch.ones(1, 2, dtype=F64)
        jacobian = torch.autograd.functional.jacobian(lambda x, n=network, f=features: n(x, f), x)
        depends = (jacobian[0, :, :, 0] != 0).any(-1).any(1)
        assert torch.equal(depends, distance(lattice) <= sum(radii)), (lattice, radii, shared)


def check_convolution():
    """One layer is silu of torch's convolution, padded by zeros or around."""
    for periodic in (False, True):
        lattice = Lattice((4, 6), periodic)
        layer = network_on(lattice, (1,), place=True, modulated=False).layers[0]
        layer.level.weight.data.zero_()
        layer.level.bias.data.zero_()
        x = torch.randn(5, 2, 4, 6, dtype=F64, generator=seeded(3))
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1), "circular" if periodic else "constant")
        kernel = layer.patch.weight.unflatten(-1, (3, 3, 2)).movedim(-1, 1)
        wanted = torch.nn.functional.silu(torch.nn.functional.conv2d(padded, kernel, layer.patch.bias))
        found = layer(x.flatten(2).mT, torch.zeros(5, 2, dtype=F64))
        torch.testing.assert_close(found.mT.unflatten(-1, (4, 6)), wanted, rtol=1e-12, atol=1e-12)


def check_gradients():
    """Derivatives of the gather, which are its own, against finite differences."""
    for name in ("image", "torus"):
        lattice, radii = LATTICES[name]
        network = network_on(lattice, radii, inputs=1, outputs=1, width=2)
        x = torch.randn(2, lattice.sites, 1, dtype=F64, generator=seeded(4), requires_grad=True)
        features = torch.ones(2, 2, dtype=F64)
        projection = torch.randn(2, lattice.sites, 1, dtype=F64, generator=seeded(5))

        def value(x, network=network, features=features, projection=projection):
            return (network(x, features) * projection).sum()

        (found,) = torch.autograd.grad(value(x), x)
        step = 1e-6
        for site in range(0, lattice.sites, 4):
            moved = torch.zeros_like(x)
            moved[0, site] = step
            slope = (value(x + moved) - value(x - moved)) / (2 * step)
            # rounding of values of order one over the step
            assert abs(float(found[0, site] - slope.detach())) < 1e-7, (name, site)


def check_translation():
    """On a torus an image that is moved is answered by one that is moved; a site's own place breaks that."""
    lattice = Lattice((4, 5), True)
    x = torch.randn(3, 4, 5, 2, dtype=F64, generator=seeded(6))
    features = torch.randn(3, 2, dtype=F64, generator=seeded(7))
    for options, moves in (({}, True), ({"place": True}, False), ({"shared": False}, False)):
        network = network_on(lattice, (1, 1), **options)
        plain = network(x.flatten(1, 2), features).unflatten(1, (4, 5)).roll((1, 2), (1, 2))
        moved = network(x.roll((1, 2), (1, 2)).flatten(1, 2), features).unflatten(1, (4, 5))
        assert torch.allclose(plain, moved, rtol=1e-12, atol=1e-12) is moves, options


# The network of a score model


def local(process, parametrisation, covariance, context=0, dtype=F64, **options):
    spec = LocalScore(**({"shape": (len(covariance),), "width": 6} | options))
    mean = torch.linspace(-0.5, 0.5, len(covariance), dtype=dtype)
    regression = Regression.none(context, len(covariance)) if context else None
    return spec.make(process, parametrisation, mean, covariance.to(dtype), seeded(), regression)


def check_start():
    """Exact at first for N(m, k^2 C), C the noise of the process, whatever the output means."""
    for covariance, parametrisation in itertools.product((torch.eye(3, dtype=F64), SHAPE), PARAMETRISATIONS):
        process = VP(noise=CorrelatedNoise(covariance))
        mean = torch.linspace(-0.5, 0.5, 3, dtype=F64)[None]
        law = GaussianMixture(mean, covariances=1.7 * covariance[None])
        model = ScoreModel(local(process, parametrisation, 1.7 * covariance), process, parametrisation)
        exact = cases.exact_score(law, process)
        x = 2 * torch.randn(6, 3, dtype=F64, generator=seeded(1))
        for t in (1e-3, 0.3, process.horizon):
            wanted = exact(x, torch.full((6,), t, dtype=F64))
            torch.testing.assert_close(model.score(x, t), wanted, rtol=1e-7, atol=1e-7)


SHAPE = torch.tensor([[1.0, 0.3, 0.1], [0.3, 0.7, 0.2], [0.1, 0.2, 0.9]], dtype=F64)


def check_images():
    """Channels and images of the condition are read as (channels, *shape): a pixel sees its neighbourhood in each."""
    options = {"shape": (3, 4), "channels": 2, "given_channels": 1}
    network = filled(local(VP(), Karras(), torch.eye(24, dtype=F64), context=15, **options))
    x, context = (torch.randn(1, size, dtype=F64, generator=seeded(8)) for size in (24, 15))
    t = torch.full((1,), 0.4, dtype=F64)
    of_x, of_context = torch.autograd.functional.jacobian(lambda x, c: network(x, t, c), (x, context))
    near = distance(Lattice((3, 4))) <= 1
    assert torch.equal(of_x[0, :, 0] != 0, near.repeat(2, 2))
    assert torch.equal(of_context[0, :, 0, :12] != 0, near.repeat(2, 1))
    assert bool((of_context[0, :, 0, 12:] != 0).all())  # the rest of the condition, which every site sees


def check_levels():
    """The noise level reaches the sites through its polynomials, smooth and at most one, as well as through c_in."""
    process = PROCESSES["VP"]
    network = filled(local(process, NoiseOf(), torch.eye(5, dtype=F64)))
    sigma = torch.logspace(-2, 1, 7, dtype=F64)[:, None].clamp(network.low, network.high)
    place = (2 * (sigma / network.low).log() / torch.tensor(network.high / network.low, dtype=F64).log() - 1)[:, 0]
    found = network._level(sigma)
    for degree in range(1, 5):
        torch.testing.assert_close(found[:, degree - 1], (degree * place.acos()).cos(), rtol=1e-9, atol=1e-9)
    ends = network._level(torch.tensor([[network.low / 2], [2 * network.high]], dtype=F64))
    torch.testing.assert_close(ends, torch.tensor([[-1.0, 1, -1, 1], [1, 1, 1, 1]], dtype=F64))
