"""Counted targets: still of their own class, and every evaluated point counted once."""

import copy
import pickle
from dataclasses import asdict

import pytest
import torch

import samplers
import targets
from samplers.annealing.paths import Bridge, DiscretePath
from samplers.kernels import State, evaluate
from targets.counting import Counted, Tally, charge, charge_found, counted_like, plain

DOUBLE = torch.float64


def posterior():
    def log_likelihood(mu):
        return -0.5 * (mu - 1.0).square()

    prior = torch.distributions.Normal(0.0, 1.0)
    return targets.Posterior(log_likelihood=log_likelihood, parameters={"mu": targets.Real(prior=prior)})


def plane():
    return targets.GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=DOUBLE), scales=1.0)


def square(x):
    return -x.square().sum(-1)


SPECIAL = {
    "Ising": targets.Ising((3, 3), 0.3),
    "PairwiseMRF": targets.PairwiseMRF(torch.tensor([[0.0, 0.5], [0.5, 0.0]]), [0.1, 0.2]),
    "Potts": targets.Potts((3, 3)),
    "DiscreteLogDensity": targets.DiscreteLogDensity(lambda x: x.sum(-1), 4),
    "RelaxedMRF": targets.Ising((3, 3), 0.3).relaxed(),
    "Gaussian": targets.Gaussian(torch.zeros(3, dtype=DOUBLE), 2.0),
    "GaussianMixture": plane(),
    "Product": targets.Product(plane(), targets.Gaussian(torch.zeros(1, dtype=DOUBLE))),
    "LogDensity": targets.LogDensity(square, dim=2),
    "Posterior": posterior(),
    "Affine": targets.Affine(plane(), 1.0, 2.0),
    "Tempered": targets.Tempered(plane(), 3.0),
    "Boltzmann": targets.DoubleWellParticles(),
    "Funnel": targets.Funnel(5),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_counted_target_is_of_its_own_class(name):
    target = SPECIAL[name]
    counted = Counted(target)
    for kind in type(target).__mro__[:-1]:
        assert isinstance(counted, kind)
    assert isinstance(counted, Counted)
    assert not isinstance(target, Counted)
    assert not isinstance(counted, targets.StudentMixture)
    assert counted.inner is plain(counted) is target
    assert plain(target) is target


@pytest.mark.parametrize("name", SPECIAL)
def test_what_a_target_knows_is_not_counted(name):
    target = copy.deepcopy(SPECIAL[name])
    counted = Counted(target)
    assert counted.known == target.known
    assert (counted.name, counted.dim, counted.dtype, counted.device) == (
        target.name,
        target.dim,
        target.dtype,
        target.device,
    )
    assert counted.variables == target.variables
    assert counted.discrete == target.discrete
    assert counted.has_likelihood == target.has_likelihood
    assert repr(counted) == repr(target)
    for exact in target.known & {"log_z", "mean", "covariance", "moments", "modes"}:
        assert str(getattr(counted, exact)) == str(getattr(target, exact))
    if "sample" in target.known:
        x = counted.sample(3, generator=torch.Generator().manual_seed(0))
        assert torch.equal(x, target.sample(3, generator=torch.Generator().manual_seed(0)))
    assert counted.tally == Tally()


class Calls(targets.Target):
    """A user's class that counts by itself the points at which its density is computed."""

    def __init__(self):
        super().__init__(2, dtype=DOUBLE)
        self.values = self.gradients = 0

    def log_prob(self, x):
        self.values += x[..., 0].numel()
        return -0.5 * x.square().sum(-1)


class Closed(Calls):
    """Score in closed form; the value alone by way of both, and the log-likelihood by way of the density."""

    def log_prob(self, x):
        return self.log_prob_and_score(x)[0]

    def log_prob_and_score(self, x):
        self.values += x[..., 0].numel()
        self.gradients += x[..., 0].numel()
        return -0.5 * x.square().sum(-1), -x

    def log_likelihood(self, x):
        return 2 * self.log_prob(x)


def test_points_are_counted_once_whatever_an_evaluation_calls_inside():
    x = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    target, counted = Calls(), Counted(Calls())
    counted.log_prob(x)
    counted.log_prob_and_score(x)
    counted.score(x)
    assert counted.tally == Tally(30, 30)
    assert counted.inner.values == 45  # by automatic differentiation a score takes a value, which is its affair
    counted = Counted(Closed())
    counted.log_prob(x)
    counted.score(x)
    counted.log_likelihood(x)
    counted.log_likelihood_and_score(x[0])
    assert counted.tally == Tally(15 + 15 + 3, 15 + 3)
    assert (counted.log_probs, counted.scores) == (33, 18)
    assert target.values == 0


def test_conditional_laws_and_local_differences_are_counted_once():
    for model in (SPECIAL["Ising"], SPECIAL["Potts"], SPECIAL["DiscreteLogDensity"]):
        counted = Counted(model)
        x = model.values[torch.zeros(7, model.dim, dtype=torch.long)]
        for sites in model.colours:
            counted.conditional_logits(x, sites)
        assert counted.tally == Tally(7, 0)
        counted.local_differences(x)
        assert counted.tally == Tally(7, 7)
    with pytest.raises(TypeError, match="expected a DiscreteTarget"):
        Counted(plane()).local_differences(torch.zeros(1, 2, dtype=DOUBLE))


DERIVED = {
    "smoothed": (plane, lambda t: t.smoothed(0.5)),
    "annealed": (lambda: SPECIAL["Potts"], lambda t: t.annealed(0.5)),
    "annealed twice": (lambda: SPECIAL["Ising"], lambda t: t.annealed(0.5).annealed(0.5)),
    "relaxed": (lambda: SPECIAL["Ising"], lambda t: t.relaxed(coordinates="w")),
    "relaxed and annealed": (lambda: SPECIAL["Ising"], lambda t: t.annealed(0.5).relaxed()),
    "at another temperature": (targets.DoubleWellParticles, lambda t: t.at(2.0)),
    "in other digits": (plane, lambda t: t.to(dtype=torch.float32)),
    "tempered": (plane, lambda t: targets.Tempered(t, 2.0)),
    "affine": (plane, lambda t: targets.Affine(t, 1.0, 2.0)),
    "product": (plane, lambda t: targets.Product(t, targets.Gaussian(torch.zeros(1, dtype=DOUBLE)))),
    "bridge": (plane, lambda t: Bridge(targets.Gaussian(torch.zeros(2, dtype=DOUBLE)), t, 0.3)),
    "shallow copy": (plane, copy.copy),
    "along a path": (lambda: SPECIAL["Ising"], lambda t: DiscretePath(t).at(0.5)),
}


@pytest.mark.parametrize("name", DERIVED)
def test_what_is_derived_of_a_target_counts_in_its_tally(name):
    make, derive = DERIVED[name]
    counted = Counted(make())
    law, bare = derive(counted), derive(make())
    assert counted.tally == Tally()
    x = torch.zeros(4, law.dim, dtype=law.dtype)
    if bare.discrete:
        x += bare.values[0]
    assert torch.equal(law.log_prob(x), bare.log_prob(x))
    assert counted.tally == Tally(4, 0)
    if name not in ("annealed",):  # Potts has no score
        assert torch.equal(law.log_prob_and_score(x)[1], bare.log_prob_and_score(x)[1])
        assert counted.tally == Tally(8, 4)
    if type(law) is Counted:
        assert isinstance(law, type(bare))


def test_the_prior_and_what_is_not_a_law_are_free():
    counted = Counted(posterior())
    counted.prior.log_prob(torch.zeros(3, 1, dtype=DOUBLE))
    counted.constrain(torch.zeros(3, 1, dtype=DOUBLE))
    assert counted.tally == Tally()
    counted.log_likelihood_and_score(torch.zeros(3, 1, dtype=DOUBLE))
    assert counted.tally == Tally(3, 3)


def test_a_state_of_a_counted_bridge_is_counted():
    x = torch.zeros(4, 2, dtype=DOUBLE)
    within, around = Counted(plane()), Tally()
    bridge = Bridge(targets.Gaussian(torch.zeros(2, dtype=DOUBLE)), within, 0.3)
    state = evaluate(Counted(bridge, around), x)
    assert type(state) is type(bridge.evaluate_state(x)) is not State
    assert around == Tally(4, 4)
    assert within.tally == Tally(8, 8)
    evaluate(Counted(bridge, around), x, score=False)
    assert around == Tally(8, 4)


def test_a_target_that_is_counted_twice_counts_in_both_tallies():
    target = SPECIAL["Ising"]
    inside = Counted(target)
    outside = Counted(inside)
    x = target.values[torch.zeros(4, target.dim, dtype=torch.long)]
    outside.log_prob(x)
    outside.annealed(0.5).log_prob(x)
    counted_like(outside, target.annealed(0.3)).log_prob(x)
    assert inside.tally == outside.tally == Tally(12, 0)
    charge(outside, log_probs=1, scores=2)
    charge(target, log_probs=7)
    assert inside.tally == outside.tally == Tally(13, 2)
    assert plain(outside) is target
    assert isinstance(outside, targets.Ising)


# Classes of users


class Slotted(targets.Target):
    """Slots beside the dict, a property, a method of one's own, a cache that is filled while running."""

    __slots__ = ("calls", "width")

    def __init__(self, width, *, name):
        super().__init__(2, dtype=DOUBLE, name=name)
        self.width, self.calls = width, 0

    def log_prob(self, x):
        self.calls += 1
        return -0.5 * self.precision * x.square().sum(-1)

    @property
    def precision(self):
        return self.width**-2

    @property
    def log_z(self):
        if not hasattr(self, "kept"):
            self.kept = float(self.log_prob(torch.zeros(1, 2, dtype=DOUBLE)))
        return self.kept

    def half(self, x):
        return 0.5 * self.log_prob(x)


def test_a_users_class_with_slots_properties_and_caches():
    target = Slotted(2.0, name="mine")
    counted = Counted(target)
    assert isinstance(counted, Slotted)
    assert (counted.width, counted.precision, counted.name) == (2.0, 0.25, "mine")
    assert counted.log_z == target.kept == counted.kept == 0.0
    assert counted.tally == Tally()
    x = torch.ones(3, 2, dtype=DOUBLE)
    assert torch.equal(counted.half(x), target.half(x))
    counted.log_prob(x)
    assert (target.calls, counted.calls) == (4, 4)
    counted.width = 1.0  # what a kernel keeps on a target stays on it
    counted.found = "here"
    assert (target.width, target.found) == (1.0, "here")
    assert counted.tally == Tally(3, 0)


class Dynamic(targets.Target):
    """Attributes made on demand, an `__init_subclass__` that asks for more, a network, unhashable."""

    def __init_subclass__(cls, *, tag, **rest):
        super().__init_subclass__(**rest)

    def __init__(self):
        super().__init__(2, dtype=DOUBLE)
        self.net = torch.nn.Linear(2, 1, dtype=DOUBLE)

    def __getattr__(self, name):
        if name.startswith("made_"):
            return name.removeprefix("made_")
        raise AttributeError(name)

    def __eq__(self, other):
        raise AssertionError("two targets are the same one or not")

    def log_prob(self, x):
        return -0.5 * self.net(x)[..., 0].square()


class Tagged(Dynamic, tag="x"):
    pass


def test_a_users_class_with_dynamic_attributes_and_a_network():
    target = Tagged()
    counted = Counted(target)
    assert isinstance(counted, Dynamic)
    assert counted.made_up == "up"
    assert counted.net is target.net
    with pytest.raises(AttributeError):
        counted.missing  # noqa: B018
    assert counted in {counted: 1}
    _, score = counted.log_prob_and_score(torch.ones(3, 2, dtype=DOUBLE))
    assert score.shape == (3, 2)
    assert counted.tally == Tally(3, 3)
    moved = counted.to(dtype=torch.float32)
    assert isinstance(moved, Tagged)
    assert moved.dtype == torch.float32
    assert moved.tally is counted.tally
    assert counted.to(dtype=DOUBLE) is counted


@pytest.mark.parametrize("name", ["Ising", "GaussianMixture", "Posterior", "Tempered"])
@pytest.mark.parametrize("again", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_and_pickles_count_for_themselves(name, again):
    target = SPECIAL[name] if name != "Posterior" or again is copy.deepcopy else targets.EightSchools()
    counted = Counted(target)
    x = torch.ones(3, target.dim, dtype=target.dtype)
    counted.log_prob(x)
    other = again(counted)
    assert type(other) is Counted
    assert isinstance(other, type(target))
    assert other.inner is not target
    assert other.tally == Tally(3, 0)
    assert torch.equal(other.log_prob(x), counted.log_prob(x))
    other.log_prob(x)
    assert (counted.tally, other.tally) == (Tally(6, 0), Tally(9, 0))


def test_deep_copies_share_what_was_shared():
    tally = Tally()
    first, second = copy.deepcopy([Counted(plane(), tally), Counted(plane(), tally)])
    assert first.tally is second.tally is not tally


def test_costs_of_runs_are_what_the_target_itself_counts():
    target = Closed()
    draws = samplers.HMC(0.5, steps=3).sample(target, chains=4, draws=5, warmup=0, progress=False)
    # the first state, before the first draw two looks at the density, three scores a step
    assert draws.cost.score <= target.gradients
    assert draws.cost.log_prob == draws.cost.score
    assert draws.target is target


def test_a_checkpoint_knows_the_target_again(tmp_path):
    path = tmp_path / "run.pt"
    arguments = {"chains": 2, "draws": 4, "warmup": 0, "progress": False, "checkpoint": path}
    first = samplers.Gibbs().sample(targets.Ising((3, 3), 0.3), **arguments)
    again = samplers.Gibbs().sample(targets.Ising((3, 3), 0.3), **arguments)
    assert torch.equal(first.x, again.x)
    assert first.cost.log_prob == again.cost.log_prob
    with pytest.raises(ValueError, match="the log-density was"):
        samplers.Gibbs().sample(targets.Ising((3, 3), 0.4), **arguments)


def test_what_was_found_before_a_run_was_continued_is_counted_once():
    before, again = Counted(plane()), Counted(plane())
    for name, points in (("a grid", 10), ("a pilot", 5), ("a grid", 7)):
        charge_found(before, name, Tally(points, 1))
    assert before.tally == Tally(22, 3)
    again.tally.restore(asdict(before.tally))
    charge_found(again, "a grid", Tally(10, 1))
    charge_found(again, "a pilot", Tally(5, 1))
    assert again.tally == Tally(22, 3)
    later = Counted(plane())
    later.tally.restore(asdict(again.tally))  # all that was found is known, however often a run is continued
    for name, points in (("a grid", 10), ("a grid", 7), ("a grid", 2), ("a pilot", 5)):
        charge_found(later, name, Tally(points, 1))
    assert later.tally == Tally(24, 4)
    charge_found(plane(), "a grid", Tally(10, 1))  # nobody counts


def test_what_was_found_is_counted_in_every_tally():
    inside = Counted(plane())
    outside = Counted(inside)
    charge_found(outside, "a grid", Tally(3, 2))
    assert inside.tally == outside.tally == Tally(3, 2)
    assert inside.tally.taken() == Tally(3, 2)
    assert (inside.tally, outside.tally) == (Tally(), Tally(3, 2))
