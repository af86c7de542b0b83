"""Unrolled denoisers: exact on trees, expansions, symmetries, gradients, learning, files, refusals."""

import io

import pytest
import torch
from local_score_cases import (
    EXACT,
    F64,
    LEARNED,
    ORDERS,
    SETTINGS,
    SHAKEN,
    TREES,
    check_draws,
    check_exact_on_trees,
    check_fixed_point,
    check_given_others,
    check_learning,
    check_order,
    check_other_components,
    check_reach,
    check_relabelling,
    check_shape_of_the_field,
    fitted,
    gaussian_on,
    measurements,
    normal,
    seeded,
    shaken,
    tree_edges,
)

import samplers
import targets
from samplers.denoisers import Unrolled
from samplers.denoisers.spins import TransferMatrix
from samplers.generative import as_score
from samplers.networks.slots import Slots
from samplers.networks.unrolled import UnrolledBeliefPropagation
from samplers.networks.unrolled_gaussian import UnrolledGaussianMessages, UnrolledJacobi
from samplers.processes.linear import OrnsteinUhlenbeck
from targets import CorrelatedNoise, IsotropicNoise
from targets.counting import Counted


@pytest.mark.parametrize(("name", "noise"), EXACT)
def test_belief_propagation_is_exact_on_trees(name, noise):
    check_exact_on_trees(name, noise)


@pytest.mark.parametrize("kind", ["spins", "a Gaussian"])
def test_noise_of_the_shape_of_the_field(kind):
    check_shape_of_the_field(kind)


@pytest.mark.parametrize("scheme", ORDERS)
@pytest.mark.parametrize("q", [2, 3])
def test_orders_in_the_couplings(scheme, q):
    check_order(scheme, q)


@pytest.mark.parametrize("scheme", ORDERS)
def test_many_rounds_are_the_fixed_points_of_spins(scheme):
    check_fixed_point(scheme)


@pytest.mark.parametrize("scheme", ["mean field", "belief propagation"])
def test_gaussian_means_are_right_on_loopy_graphs(scheme):
    target, noise = LEARNED["a Gaussian"](), IsotropicNoise(1.3)
    y = measurements(target, noise)
    found = Unrolled.plain(target, rounds=400, scheme=scheme).estimate(target, y, noise).mean
    exact = y + noise.times(target.smoothed(noise).score(y))
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scheme", ORDERS)
@pytest.mark.parametrize("check", [check_relabelling, check_other_components, check_reach])
def test_symmetries_and_reach_with_any_weights(check, scheme):
    check(scheme)


@pytest.mark.parametrize("scheme", ORDERS)
def test_turning_spins_turns_the_means(scheme):
    """Of a field without fields."""
    target, noise = targets.Ising((3, 4), 0.4, dtype=F64), IsotropicNoise(1.0)
    denoiser = Unrolled(SHAKEN[scheme](), scheme)
    y = measurements(target, noise)
    found, turned = (denoiser.estimate(target, sign * y, noise).mean for sign in (1, -1))
    torch.testing.assert_close(found, -turned)


# Gradients


@pytest.mark.parametrize("scheme", ORDERS)
def test_gradients_by_weights_and_fields(scheme):
    net, slots = SHAKEN[scheme](rounds=2), Slots.of(6, tree_edges(6))
    couplings, potentials = normal(5, seed=1).requires_grad_(), normal(2, 6, 3, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda k, g: net(slots, slots.on_edges(k), g), (couplings, potentials))
    net(slots, slots.on_edges(couplings), potentials).sum().backward()
    assert all(bool(weights.grad.isfinite().all()) for weights in net.parameters())


@pytest.mark.parametrize("network", [UnrolledJacobi, UnrolledGaussianMessages])
def test_gradients_of_gaussian_rounds(network):
    net, slots = shaken(network(3, 0, 0, seeded()), 0.1), Slots.of(6, tree_edges(6))
    couplings, field = normal(5, seed=1).requires_grad_(), normal(2, 6, seed=2).requires_grad_()
    diagonal = 5 + normal(2, 6, seed=3).abs()
    assert torch.autograd.gradcheck(
        lambda k, h: net(slots, slots.on_edges(k), torch.stack([h, diagonal], -1)), (couplings, field)
    )


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("coupling", [-40.0, 40.0])
def test_extreme_fields_and_couplings_have_finite_gradients(coupling, dtype):
    net, slots = UnrolledBeliefPropagation(3, 4, 2, seeded()).to(dtype), Slots.of(4, tree_edges(4))
    potentials = (1e4 * normal(3, 4, 2)).to(dtype).requires_grad_()
    found = net(slots, slots.on_edges(torch.full((3,), coupling, dtype=dtype)), potentials)
    found.softmax(-1).square().sum().backward()
    assert bool(found.isfinite().all())
    assert bool(potentials.grad.isfinite().all())
    assert all(bool(weights.grad.isfinite().all()) for weights in net.parameters())


# Learning


@pytest.mark.parametrize("kind", LEARNED)
def test_what_is_learned_from_has_the_right_mean(kind):
    check_given_others(kind)


@pytest.mark.parametrize("kind", LEARNED)
def test_training_lowers_the_error(kind):
    check_learning(kind)


@pytest.mark.parametrize("kind", ["spins", "colours"])
def test_draws_keep_the_law(kind):
    check_draws(kind)


def test_independent_sites_are_drawn_exactly():
    target, noise = targets.Potts((500,), 3, 0.0, [0.3, 0.0, -0.4], dtype=F64), IsotropicNoise(1.2)
    y = measurements(target, noise, 20)
    denoiser = Unrolled(Unrolled.plain(target).network, "belief propagation", sweeps=0)
    gap = denoiser.draw(target, y, noise, seeded()) - denoiser.estimate(target, y, noise).mean
    assert abs(float(gap.mean() / (gap.std() / gap.numel() ** 0.5))) < 4


def test_the_same_seed_gives_the_same_weights_and_no_other_randomness():
    before = torch.random.get_rng_state()
    states = [fitted("spins", iterations=5, seed=seed)[1].network.state_dict() for seed in (0, 0, 1)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["weights"], states[2]["weights"])


def test_weights_of_a_small_field_serve_a_large_one():
    _, learned = fitted("spins", iterations=5)
    large, noise = targets.Ising((16, 16), 0.4), IsotropicNoise(2.0)
    assert learned.estimate(large, torch.ones(2, 256), noise).mean.shape == (2, 256)


def test_a_shape_of_noise_can_be_learned():
    target = LEARNED["a Gaussian"]()
    precision = torch.linalg.inv(target.covariance)
    shape = targets.MRFNoise(targets.PairwiseMRF(torch.diag(precision.diagonal()) - precision))
    learned = Unrolled.fit(target, (0.5, 4.0), shape=shape, **SETTINGS["a Gaussian"] | {"iterations": 60})
    assert learned.loss < learned.plain_loss
    spins = LEARNED["spins"]()
    for noise in (targets.MRFNoise(spins), torch.linspace(0.5, 1.5, 12)):
        learned = Unrolled.fit(spins, (0.8, 2.0), shape=noise, **SETTINGS["spins"] | {"iterations": 2})
        assert learned.parameters == sum(p.numel() for p in learned.network.parameters())


# A denoiser of the house


def test_it_is_the_score_of_a_process():
    target, process = TREES["a strip of spins"], OrnsteinUhlenbeck()
    x = normal(4, 40)
    for t in (0.1, 1.0):
        found, exact = (
            as_score(denoiser, process, target)(x, t)
            for denoiser in (Unrolled.plain(target, rounds=39), TransferMatrix())
        )
        torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-6)
    x.requires_grad_()
    score = as_score(Unrolled.plain(target, rounds=2), process, target)
    assert torch.autograd.gradcheck(lambda x: score(x, 1.0), (x[:1].detach().requires_grad_(),))


def test_it_serves_walk_jump():
    """With draws as a jump."""
    target = targets.Ising((8,), 0.5, periodic=False)
    sampler = samplers.WalkJump(
        sigma=1.0, kernel=samplers.ULA(0.05), steps=4, denoiser=Unrolled.plain(target, rounds=7)
    )
    draws = sampler.sample(target, chains=4, draws=10, warmup=2, seed=0, progress=False)
    assert set(draws.x.unique().tolist()) == {-1.0, 1.0}
    assert draws.attrs["smoothing"]["denoiser"].startswith("Unrolled(belief propagation, 7 rounds")


def test_evaluations_are_counted():
    target = Counted(TREES["spins on a tree"])
    denoiser, y, noise = Unrolled.plain(target, rounds=3), normal(2, 9), IsotropicNoise(1.0)
    denoiser.estimate(target, y, noise)
    assert (target.log_probs, target.scores) == (0, 6)
    denoiser.draw(target, y, noise, seeded())
    assert target.scores == 12
    assert target.log_probs > 0


@pytest.mark.parametrize("kind", LEARNED)
def test_saved_and_made_again(kind):
    target, learned = fitted(kind, iterations=3)
    file = io.BytesIO()
    torch.save(learned.state_dict(), file)
    file.seek(0)
    again = Unrolled.from_state_dict(torch.load(file, weights_only=True))
    y, noise = measurements(target, IsotropicNoise(1.5)), IsotropicNoise(1.5)
    assert torch.equal(learned.estimate(target, y, noise).mean, again.estimate(target, y, noise).mean)
    assert (again.loss, again.plain_loss, again.cost) == (learned.loss, learned.plain_loss, learned.cost)
    assert repr(again) == repr(learned) != repr(Unrolled.plain(target, rounds=learned.rounds))


def test_what_is_not_finite_is_not_trusted():
    """Jacobi's iteration, where the precision is far from diagonally dominant."""
    matrix = 0.95 * torch.ones(6, 6, dtype=F64) + 0.05 * torch.eye(6, dtype=F64)
    target, noise = (
        targets.Gaussian(torch.zeros(6, dtype=F64), covariance=torch.linalg.inv(matrix)),
        IsotropicNoise(50.0),
    )
    y = torch.stack([torch.zeros(6), torch.ones(6)]).to(F64)
    found = Unrolled.plain(target, rounds=2000, scheme="mean field").estimate(target, y, noise)
    assert found.trusted.tolist() == [True, False]


# Refusals

CHAIN = targets.Ising((5,), 0.5, periodic=False)


@pytest.mark.parametrize(
    ("call", "message"),
    {
        "scheme": (lambda: Unrolled.plain(CHAIN, scheme="Bethe"), "scheme: got 'Bethe', expected one of"),
        "TAP": (lambda: Unrolled.plain(targets.Gaussian([0.0]), scheme="TAP"), "scheme: got 'TAP' for a Gaussian"),
        "rounds": (lambda: Unrolled.plain(CHAIN, rounds=0), "rounds: got 0, expected an integer of at least 1"),
        "channels": (
            lambda: Unrolled.fit(CHAIN, (0.5, 1.0), width=0, channels=2),
            "channels: got 2 with width=0, expected 0",
        ),
        "width": (
            lambda: Unrolled.fit(targets.Gaussian([0.0, 1.0]), (0.5, 1.0), width=3),
            "width: got 3 for a Gaussian, expected 0",
        ),
        "noise": (lambda: Unrolled.fit(CHAIN, (2.0, 1.0)), "noise: got (2.0, 1.0), expected a smaller and a larger"),
        "draws": (
            lambda: Unrolled.fit(CHAIN, (0.5, 1.0), draws=torch.ones(20, 4)),
            "draws: got shape (20, 4), expected (n, 5)",
        ),
        "values": (
            lambda: Unrolled.fit(CHAIN, (0.5, 1.0), draws=torch.zeros(20, 5)),
            "draws: got 0.0 at a site, expected one of [-1.0, 1.0]",
        ),
        "no sampler": (
            lambda: Unrolled.fit(targets.Ising((30, 30)), (0.5, 1.0)),
            "draws: got None, and Ising has no exact sampler",
        ),
        "correlated": (
            lambda: Unrolled.plain(TREES["two colours"]).check(
                TREES["two colours"], CorrelatedNoise(torch.eye(8) + 0.1 * torch.ones(8, 8))
            ),
            "expected noise that is independent at each site",
        ),
        "not finite": (
            lambda: Unrolled.fit(gaussian_on(tree_edges(4), 4), (0.5, 1.0), draws=torch.full((20, 4), torch.nan)),
            "draws: got values that are not finite",
        ),
        "seed": (lambda: Unrolled.fit(CHAIN, (0.5, 1.0), seed=-1), "seed: got -1"),
        "columns": (
            lambda: Unrolled.plain(CHAIN).estimate(CHAIN, torch.zeros(2, 4), IsotropicNoise(1.0)),
            "y: got shape (2, 4), expected (n, 5)",
        ),
        "one row": (
            lambda: Unrolled.plain(CHAIN).draw(CHAIN, torch.zeros(5), IsotropicNoise(1.0), seeded(0)),
            "y: got shape (5,), expected (n, 5)",
        ),
        "sigma": (lambda: IsotropicNoise(1e200), "sigma: got 1e+200, expected 1e-100 to 1e+100"),
        "dim": (
            lambda: Unrolled.plain(CHAIN).check(CHAIN, CorrelatedNoise(torch.ones(4))),
            "noise: got noise in 4 dimensions, expected 5",
        ),
    }.values(),
)  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


def test_other_targets_are_refused():
    with pytest.raises(TypeError, match="target: got Funnel, expected a PairwiseMRF, a Potts model or a Gaussian"):
        Unrolled.plain(CHAIN).check(targets.Funnel(3), IsotropicNoise(1.0))
    for make in (Unrolled.plain, lambda target: Unrolled.fit(target, (0.5, 1.0))):
        with pytest.raises(TypeError, match="target: got Funnel, expected a PairwiseMRF, a Potts model or a Gaussian"):
            make(targets.Funnel(3))
    with pytest.raises(TypeError, match="noise: got 1.0, expected a smaller and a larger standard deviation"):
        Unrolled.fit(CHAIN, 1.0)
    with pytest.raises(TypeError, match="target: got Gaussian, expected a PairwiseMRF or a Potts model"):
        Unrolled.plain(CHAIN).check(gaussian_on(tree_edges(4), 4), IsotropicNoise(1.0))
