"""Control networks: symmetries of particles, locality on graphs, zero at first, and what they refuse."""

import math

import pytest
import torch

import targets
from samplers.networks.base import ControlNetwork, NetworkSpec
from samplers.networks.cliques import AtNeighbours, CliqueNetwork, _graph
from samplers.networks.equivariant import EquivariantNetwork
from samplers.networks.features import FourierFeatures
from samplers.networks.linear import Linear
from samplers.networks.mlp import ResidualMLP
from samplers.path_measures.control import LONGEST_PULL, Control

F64 = torch.float64
TORUS = targets.Ising((4, 5), 0.4, 0.3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def trained(network, seed=1):
    """The network in float64 with random weights where there are zeros: the last layers and all biases."""
    generator, network = seeded(seed), network.to(F64)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=F64)
    return network


def inputs(dim, steps=3, n=4, seed=2, dtype=F64):
    x, score = torch.randn(2, steps, n, dim, generator=seeded(seed), dtype=dtype)
    return torch.linspace(0, 1, steps, dtype=dtype), x, score


SPECS = {
    "positions of particles": (EquivariantNetwork(4, 2, width=8), 8),
    "particles without their centre": (EquivariantNetwork(4, 2, width=8), 6),
    "two particles on a line": (EquivariantNetwork(2, 1, width=8), 2),
    "cliques of a torus": (CliqueNetwork.of(TORUS), 20),
    "cliques, three rounds": (CliqueNetwork.of(TORUS.relaxed(), rounds=3), 20),
    "cliques without edges": (CliqueNetwork(torch.zeros(0, 2, dtype=torch.long), 1.0), 3),
}
EVERY = pytest.mark.parametrize("name", SPECS)


@EVERY
def test_it_is_zero_at_first_and_can_leave_it(name):
    spec, dim = SPECS[name]
    network = spec.make(dim, seeded())
    assert isinstance(spec, NetworkSpec)
    assert isinstance(network, ControlNetwork)
    given = inputs(dim, dtype=torch.float32)
    u = network(*given)
    assert u.shape == given[1].shape
    assert not u.any()
    (u - given[1]).square().sum().backward()
    assert any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in network.parameters())


@EVERY
def test_every_weight_and_every_input_is_used(name):
    spec, dim = SPECS[name]
    network = trained(spec.make(dim, seeded()))
    time, x, score = inputs(dim)
    time, x, score = time.requires_grad_(), x.requires_grad_(), score.requires_grad_()
    network(time, x, score).square().sum().backward()
    unused = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    idle = [key for key, parameter in network.named_parameters() if not bool(parameter.grad.any())]
    # without a neighbour nothing is multiplied by the weights of messages
    assert not unused
    assert not idle or name == "cliques without edges"
    for given in (time, x, score):
        assert bool((given.grad != 0).all()) or (given is x and "line" in name)


@EVERY
def test_each_step_and_path_is_computed_by_itself(name):
    spec, dim = SPECS[name]
    network = trained(spec.make(dim, seeded()))
    time, x, score = inputs(dim)
    whole = network(time, x, score)
    alone = network(time[1:2], x[1:2, 2:3], score[1:2, 2:3])
    torch.testing.assert_close(whole[1:2, 2:3], alone)


@EVERY
def test_the_same_generator_gives_the_same_weights(name):
    spec, dim = SPECS[name]
    first, second, other = (spec.make(dim, seeded(seed)).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    assert {value.dtype for value in first.values()} == {torch.float32}


@EVERY
def test_on_meta(name):
    spec, dim = SPECS[name]
    network = spec.make(dim, seeded()).to("meta")
    u = network(*(value.to("meta") for value in inputs(dim, dtype=torch.float32)))
    assert u.device.type == "meta"
    u.sum().backward()


@EVERY
def test_other_shapes_are_refused(name):
    spec, dim = SPECS[name]
    network = spec.make(dim, seeded())
    time, x, score = inputs(dim, dtype=torch.float32)
    with pytest.raises(ValueError, match=rf"x: got shape \(3, 4, {dim - 1}\), expected \(steps, n, {dim}\)"):
        network(time, x[..., 1:], score)
    with pytest.raises(ValueError, match=rf"x: got shape \(4, {dim}\)"):
        network(time, x[0], score)
    with pytest.raises(ValueError, match=rf"score: got shape \(3, 3, {dim}\), expected \(3, 4, {dim}\)"):
        network(time, x, score[:, 1:])
    with pytest.raises(ValueError, match=r"time: got shape \(2,\), expected \(3,\)"):
        network(time[1:], x, score)


# Building blocks


def test_linear_has_outputs_of_the_scale_asked_for():
    layer = Linear(400, 1000, seeded(), scale=0.5)
    y = layer(torch.randn(50, 400, generator=seeded(1)))
    # 400 000 weights: the relative error of a variance is below sqrt(2 / 50 / 400)
    assert abs(float(y.detach().var()) / 0.25 - 1) < 4 * math.sqrt(2 / 50 / 400)


def test_time_features():
    features = FourierFeatures(5, 8 * math.pi, generator=seeded())
    torch.testing.assert_close(features.frequencies / math.pi, torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0]))
    time = torch.linspace(0, 1, 101)
    values = features(time)
    assert values.shape == (101, 10) == (101, features.outputs)
    assert float(values.abs().max()) <= 1
    assert bool((values[:, 5].diff() < 0).all())  # cos(pi time / 2) says which time it is
    assert not features.state_dict().keys() ^ {"frequencies"}
    assert not list(features.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "count: got 0, expected an integer of at least 1"),
        ({"highest": 1.0}, "highest: got 1.0, expected a frequency of at least pi / 2"),
        ({"highest": math.inf}, "highest: got inf, expected a positive finite number"),
    ],
)
def test_features_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FourierFeatures(**settings, generator=seeded())


# Particles


def orthogonal(space, seed=0):
    """A rotation or a reflection, by turns."""
    q, _ = torch.linalg.qr(torch.randn(space, space, generator=seeded(seed), dtype=F64))
    return q if (torch.linalg.det(q) > 0) == (seed % 2 == 0) else q * torch.tensor([-1.0] + [1.0] * (space - 1))


def particles(count, space, centred, seed=0):
    """u of positions (.., count, space), through the coordinates without the centre where `centred`."""
    frame = targets.zero_mean.ZeroMean(count, space)
    dim = frame.dim if centred else count * space
    network = trained(EquivariantNetwork(count, space, width=12).make(dim, seeded(seed)))

    def control(time, r, v):
        if centred:
            return frame.positions(network(time, frame.coordinates(r), frame.coordinates(v)))
        return network(time, r.flatten(-2), v.flatten(-2)).unflatten(-1, (count, space))

    time, x, score = inputs(count * space)
    return control, (time, x.unflatten(-1, (count, space)), score.unflatten(-1, (count, space)))


SYSTEMS = pytest.mark.parametrize(("count", "space", "centred"), [(4, 2, False), (4, 2, True), (7, 3, True)])


@SYSTEMS
@pytest.mark.parametrize("seed", range(4))
def test_it_turns_and_is_mirrored(count, space, centred, seed):
    control, (time, r, v) = particles(count, space, centred)
    turn = orthogonal(space, seed)
    expected = control(time, r, v) @ turn
    torch.testing.assert_close(control(time, r @ turn, v @ turn), expected, rtol=0, atol=1e-10)
    assert float(expected.detach().abs().max()) > 0.1


@SYSTEMS
def test_particles_have_no_numbers(count, space, centred):
    control, (time, r, v) = particles(count, space, centred)
    order = torch.randperm(count, generator=seeded(3))
    renumbered = control(time, r[..., order, :], v[..., order, :])
    torch.testing.assert_close(renumbered, control(time, r, v)[..., order, :], rtol=0, atol=1e-10)


@SYSTEMS
def test_a_common_shift_does_not_matter(count, space, centred):
    control, (time, r, v) = particles(count, space, centred)
    shift = torch.arange(1.0, space + 1, dtype=F64)
    torch.testing.assert_close(control(time, r + 10 * shift, v), control(time, r, v), rtol=0, atol=1e-10)


def test_the_centre_moves_with_the_score_alone():
    control, (time, r, v) = particles(4, 2, False)
    still = v - v.mean(-2, keepdim=True)
    assert float(control(time, r, still).detach().mean(-2).abs().max()) < 1e-12
    u, mean = control(time, r, v).detach().mean(-2), v.mean(-2)
    gate = u / mean
    torch.testing.assert_close(gate, gate[:, :1, :1].expand_as(gate))  # chi(time)
    assert float(gate[:, 0, 0].diff().abs().min()) > 1e-3


@SYSTEMS
def test_it_is_smooth_where_particles_meet(count, space, centred):
    control, (time, r, v) = particles(count, space, centred)
    r = r.clone()
    r[..., 1, :] = r[..., 0, :]
    r, v = r.requires_grad_(), (0 * v).requires_grad_()
    u = control(time, r, v)
    gradients = torch.autograd.grad(u.square().sum(), (r, v))
    assert all(bool(torch.isfinite(value).all()) for value in (u, *gradients))


def test_far_apart_particles_give_finite_controls():
    network = EquivariantNetwork(4, 2, width=8).make(8, seeded())
    torch.nn.init.ones_(network.phi.weight)
    time, x, score = inputs(8, dtype=torch.float32)
    x = (1e12 * x).requires_grad_()
    u = network(time, x, score)
    u.sum().backward()
    assert bool(torch.isfinite(u).all())
    assert bool(torch.isfinite(x.grad).all())


def test_a_particle_sends_itself_no_message():
    """Two particles: m_12 and m_21 are the only messages, and h_1 depends on the other one's."""
    network = trained(EquivariantNetwork(2, 2, width=6, layers=1).make(4, seeded()))
    layer = network.layers[0]
    h = torch.randn(1, 1, 2, 6, dtype=F64, generator=seeded(1))
    pairs = torch.randn(1, 1, 2, 2, 18, dtype=F64, generator=seeded(2))
    features = torch.randn(1, 16, dtype=F64, generator=seeded(3))
    messages, new = layer(h, pairs, features)
    received = layer.received(messages.flip(-2).diagonal(dim1=-3, dim2=-2).mT)
    expected = h + layer.update(torch.nn.functional.silu(layer.own(h) + received))
    torch.testing.assert_close(new, expected)


@pytest.mark.parametrize(
    "target", [targets.DoubleWellParticles(), targets.LennardJones()], ids=["double wells", "Lennard-Jones"]
)
def test_it_fits_the_particle_systems(target):
    network = EquivariantNetwork(target.particles, target.space, width=8).make(target.dim, seeded())
    x = torch.randn(2, 3, target.dim, generator=seeded())
    assert network(torch.tensor([0.0, 1.0]), x, target.score(x).tanh()).shape == x.shape


def test_dim_is_that_of_the_particles():
    with pytest.raises(ValueError, match="dim: got 7, expected 8 for the positions of 4 particles in 2 dimensions, or"):
        EquivariantNetwork(4, 2).make(7, seeded())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"particles": 1}, "particles: got 1, expected an integer of at least 2"),
        ({"space": 0}, "space: got 0"),
        ({"width": 2.5}, "width: got 2.5, expected an integer"),
        ({"layers": 0}, "layers: got 0"),
    ],
)
def test_particle_settings_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EquivariantNetwork(**({"particles": 4, "space": 2} | settings))


# Cliques


def distances(dim, edges):
    """Edges on the shortest way between sites, (dim, dim); dim where there is none."""
    adjacent = torch.eye(dim, dtype=torch.bool)
    adjacent[edges[:, 0], edges[:, 1]] = adjacent[edges[:, 1], edges[:, 0]] = True
    found, reached = torch.full((dim, dim), dim), torch.eye(dim, dtype=torch.bool)
    for steps in range(dim):
        found[reached & (found == dim)] = steps
        reached = (reached.double() @ adjacent.double()) > 0
    return found


GRAPHS = {
    "torus": torch.tensor([[i, (i + 1) % 9] for i in range(9)]),
    "tree and an isolated site": torch.tensor([[0, 1], [1, 2], [4, 1], [4, 5], [5, 6], [6, 7]]),
    "lattice": targets.Ising((3, 3), 0.4, periodic=False).edges,
}


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("graph", GRAPHS)
def test_a_site_sees_as_far_as_there_are_rounds(graph, rounds):
    edges = GRAPHS[graph]
    network = trained(CliqueNetwork(edges, 0.4, torch.zeros(9), width=6, rounds=rounds).make(9, seeded()))
    time, x, score = inputs(9, steps=1, n=1)
    for slopes in torch.autograd.functional.jacobian(lambda x, score: network(time, x, score), (x, score)):
        seen = slopes.reshape(9, 9) != 0
        assert torch.equal(seen, distances(9, edges) <= rounds)


def test_one_round_is_a_sum_over_cliques():
    """No third site has a say in what an edge contributes: d^2 u_i / dx_j dx_k = 0 for two neighbours j and k."""
    slopes, (time, x, score) = [], inputs(9, steps=1, n=1)
    for rounds in (1, 2):
        network = trained(CliqueNetwork(GRAPHS["torus"], 0.4, width=6, rounds=rounds).make(9, seeded()))
        hessian = torch.autograd.functional.hessian(lambda x, net=network: net(time, x, score)[0, 0, 4], x)
        slopes.append(hessian.reshape(9, 9)[3, 5].abs())
    assert slopes[0] < 1e-14
    assert slopes[1] > 1e-4


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_translation_of_the_torus_translates_the_control(rounds):
    target = targets.Ising((4, 5), (0.3, -0.7), 0.2)
    time, x, score = inputs(20)
    network = trained(CliqueNetwork.of(target.relaxed(), rounds=rounds).make(20, seeded()))

    def shifted(values):
        return values.unflatten(-1, (4, 5)).roll((1, 2), (-2, -1)).flatten(-2)

    moved = network(time, shifted(x), shifted(score))
    torch.testing.assert_close(moved, shifted(network(time, x, score)), rtol=0, atol=1e-12)
    assert not torch.allclose(moved, network(time, x, score))


def test_renumbered_sites_with_couplings_and_fields_of_their_own():
    generator = seeded(4)
    edges = GRAPHS["lattice"]
    couplings, fields = torch.randn(len(edges), generator=generator), torch.randn(9, generator=generator)
    time, x, score = inputs(9)
    order = torch.randperm(9, generator=generator)  # the new site k is the old order[k]
    shuffled = torch.randperm(len(edges), generator=generator)
    new_edges = order.argsort()[edges][shuffled].flip(-1)
    first = trained(CliqueNetwork(edges, couplings, fields, rounds=2).make(9, seeded()))
    second = trained(CliqueNetwork(new_edges, couplings[shuffled], fields[order], rounds=2).make(9, seeded()))
    expected = first(time, x, score)[..., order]
    torch.testing.assert_close(second(time, x[..., order], score[..., order]), expected, rtol=0, atol=1e-12)
    other = trained(CliqueNetwork(new_edges, couplings, fields[order], rounds=2).make(9, seeded()))
    assert not torch.allclose(other(time, x[..., order], score[..., order]), expected)


def test_the_weights_of_a_small_field_fit_a_large_one():
    small = trained(CliqueNetwork.of(targets.Ising((4, 4), 0.4)).make(16, seeded()))
    large = CliqueNetwork.of(targets.Ising((6, 8), 0.4)).make(48, seeded()).to(F64)
    assert sum(p.numel() for p in small.parameters()) == sum(p.numel() for p in large.parameters())
    large.load_state_dict(small.state_dict())
    time, x, score = inputs(1)
    uniform = torch.ones(1, 1, 48, dtype=F64)
    torch.testing.assert_close(
        large(time, x * uniform, score * uniform)[..., :16], small(time, x * uniform[..., :16], score.expand(3, 4, 16))
    )


def test_of_reads_the_field():
    couplings = torch.tensor([[0.0, 0.5, 0.0], [0.5, 0.0, -1.0], [0.0, -1.0, 0.0]], dtype=F64)
    target = targets.PairwiseMRF(couplings, [0.1, 0.2, 0.3], temperature=2.0)
    spec = CliqueNetwork.of(target, width=4, rounds=2)
    assert (spec.width, spec.rounds) == (4, 2)
    assert spec.edges.tolist() == [[0, 1], [1, 2]]
    torch.testing.assert_close(spec.couplings, torch.tensor([0.25, -0.5], dtype=F64))
    torch.testing.assert_close(spec.fields, torch.tensor([0.05, 0.1, 0.15], dtype=F64))
    for coordinates in ("x", "w"):
        relaxed = target.relaxed("dominance", coordinates=coordinates)
        of_relaxed = CliqueNetwork.of(relaxed)
        assert torch.equal(of_relaxed.edges, spec.edges)
        torch.testing.assert_close(of_relaxed.fields, torch.stack([spec.fields, relaxed.shift.double()], -1))


def test_gathering_at_neighbours_has_the_gradient_of_indexing():
    tables = _graph(9, GRAPHS["tree and an isolated site"], torch.ones(6))
    neighbours, ends, present = tables["neighbours"], tables["ends"], tables["present"].to(F64)
    h = torch.randn(2, 9, 3, dtype=F64, generator=seeded(), requires_grad=True)
    weights = torch.randn(2, 9, neighbours.shape[1], 3, dtype=F64, generator=seeded(1)) * present
    gathered = AtNeighbours.apply(h, neighbours, ends, present)
    indexed = h[:, neighbours]
    assert torch.equal(gathered, indexed)
    found, expected = (torch.autograd.grad((values.sin() * weights).sum(), h)[0] for values in (gathered, indexed))
    torch.testing.assert_close(found, expected)
    assert torch.autograd.gradgradcheck(lambda h: AtNeighbours.apply(h, neighbours, ends, present) * present, (h,))
    by_vmap = torch.func.vmap(AtNeighbours.apply, (0, None, None, None))(h, neighbours, ends, present)
    assert torch.equal(by_vmap, indexed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"edges": torch.tensor([0, 1])}, r"edges: got shape \(2,\)"),
        ({"edges": torch.tensor([[0, 1], [1, 1]])}, "edges: got an edge from a site to itself"),
        ({"edges": torch.tensor([[0, 1], [1, 0]])}, "edges: got the same pair of sites twice"),
        ({"edges": torch.tensor([[0, 1], [1, 3]]), "fields": [0.0] * 3}, "edges: got sites 0 to 3, expected 0 to 2"),
        ({"couplings": [1.0, 2.0, 3.0]}, r"couplings: got shape \(3,\), expected a number or \(2,\), one an edge"),
        ({"couplings": math.nan}, "couplings: holds non-finite values"),
        ({"fields": 1.0}, r"fields: got shape \(\), expected \(sites,\) or \(sites, k\)"),
        ({"width": 0}, "width: got 0"),
        ({"rounds": 0}, "rounds: got 0, expected an integer of at least 1"),
    ],
)
def test_clique_settings_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CliqueNetwork(**({"edges": torch.tensor([[0, 1], [1, 2]]), "couplings": 1.0} | settings))


def test_dim_is_the_number_of_sites():
    edges = torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match="dim: got 4, expected 3, the number of sites in fields"):
        CliqueNetwork(edges, 1.0, [0.0, 0.0, 0.0]).make(4, seeded())
    with pytest.raises(ValueError, match="dim: got 2, expected at least 3, for the sites in edges"):
        CliqueNetwork(edges, 1.0).make(2, seeded())
    assert CliqueNetwork(edges, 1.0).make(4, seeded()).dim == 4


def test_of_refuses_what_is_no_field_of_spins():
    with pytest.raises(TypeError, match="target: got a Gaussian, expected a PairwiseMRF or its relaxed"):
        CliqueNetwork.of(targets.Gaussian(torch.zeros(2)))


def test_no_pull_is_longer_than_a_few_deviations_of_the_step():
    control = Control(ResidualMLP(width=8), 3, torch.Generator().manual_seed(0))
    for parameter in control.parameters():
        parameter.data.normal_(0, 1e3, generator=torch.Generator().manual_seed(1))
    unit = torch.tensor([0.5, 0.01])
    embedding = control.embed(torch.tensor([0.2, 0.8]), None, unit)
    x = 1e4 * torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(2))
    pulls = control(embedding, x, x).detach() * unit[:, None, None]
    assert float(pulls.square().mean(-1).sqrt().max()) <= LONGEST_PULL * (1 + 1e-5)
