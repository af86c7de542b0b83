"""Certificates: log Z by regions, what draws lack, what is said of it, and where it is kept."""

import math

import pytest
import torch
from scipy.stats import chi2
from scout_cases import Hidden, far_and_narrow, wide_and_narrow

import targets
from samplers import AIS, DDS, HMC, SMC, Draws, LogZ, SamplingWarning, SequentialMultimeasurement
from samplers.annealing import pilot
from samplers.draws.certificate import Certificate, plus_minus
from samplers.scouts.by_regions import log_z_by_regions
from samplers.scouts.certify import certify
from samplers.scouts.regions import INSIDE, measured
from samplers.scouts.sample import Sample
from samplers.scouts.search import search
from samplers.scouts.unseen import unseen

DOUBLE = torch.float64
FALSE_ALARM = 1e-6


def exact(target, n, seed, **fields):
    """Independent draws of a target of which nothing else is known."""
    x = target.sample(n, generator=torch.Generator().manual_seed(seed))
    return Draws(x[None], target=Hidden(target), attrs={"kind": "independent draws", "seed": seed}, **fields)


@pytest.mark.parametrize("make", [far_and_narrow, wide_and_narrow, lambda: targets.benchmark("gmm9")])
def test_log_z_by_regions_is_right_within_its_error(make):
    target, z = make(), []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        regions = search(Hidden(target), None, generator)
        value, error = log_z_by_regions(regions, Sample.of(target.sample(500, generator=generator)))
        z.append((value - target.log_z) / error)
    assert sum(one**2 for one in z) < chi2.isf(FALSE_ALARM, len(z))


def test_it_is_that_of_weighted_draws_too():
    target = wide_and_narrow()
    flat = targets.GaussianMixture(target.modes, scales=torch.ones(2, 8).double(), weights=[0.5, 0.5])
    generator = torch.Generator().manual_seed(0)
    x = flat.sample(20_000, generator=generator)
    sample = Sample.of(x, target.log_prob(x) - flat.log_prob(x))
    value, error = log_z_by_regions(search(Hidden(target), None, generator), sample)
    assert abs(value) < 5 * error


def test_chains_in_one_mode_have_its_z_and_lack_the_other():
    """Of HMC from the ridge: R-hat and ESS see nothing."""
    target = wide_and_narrow()
    start = target.modes[0] + torch.randn(16, 8, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    draws = HMC().sample(Hidden(target), chains=16, draws=500, warmup=200, init=start, seed=0)
    found = draws.certificate
    for value, error in (found.by_regions, found.by_bridge):
        assert abs(value - math.log(0.764)) < 5 * error
    assert found.missed == pytest.approx(INSIDE * 0.236 / 0.764, rel=0.05)
    assert found.upper > math.log(0.764 + INSIDE * 0.236) - 0.01
    assert found.lower < math.log(0.764) < found.upper
    with pytest.warns(SamplingWarning, match=r"mass is missed: .* around x = \(2\.5, "):
        draws.summary()


def test_no_mass_is_missed_by_few_effective_draws_of_a_slow_chain():
    """A chain that changes modes seldom has too much of one of them by chance, which is no lack."""
    target, generator = far_and_narrow(), torch.Generator().manual_seed(0)
    side = torch.tensor([[0.0] * 8 + [20.0] * 2, [0.0] * 6 + [20.0] * 4]).double().repeat_interleave(100, 1)
    x = side[..., None] + torch.where(side > 0, 0.1, 1.0)[..., None] * torch.randn(2, 1000, 1, generator=generator)
    draws = Draws(x.double(), target=Hidden(target), attrs={"seed": 0})
    assert Sample.of_draws(draws).effective < 10
    assert not draws.certificate.of_mass
    assert "effective draws show a region to be missed only where it holds 0.78 of the mass" in str(draws.certificate)
    assert unseen(search(target, None, generator), target, Sample.of(x.reshape(-1, 1)), 0.0, 0.0, generator).total > 0.1


def test_exact_draws_are_believed():
    for seed in range(5):
        found = exact(far_and_narrow(), 2000, seed, log_z=LogZ(0.003, 0.005)).certificate
        assert not found.doubts
        assert found.missed == 0
        assert found.lower < 0 < found.upper
        assert list(found.estimates) == ["the sampler's", "by the scouts' regions"]
        assert "from two estimates (" in str(found)


def test_a_log_z_that_is_too_low_for_its_draws_is_doubted():
    found = exact(targets.benchmark("gmm9"), 2000, 0, log_z=LogZ(-0.4, 0.01)).certificate
    assert "the sampler's -0.400 +- 0.010, by the scouts' regions" in " ".join(found.doubts)


@pytest.mark.parametrize(("held", "doubted"), [(3, True), (20, False)])
def test_log_z_below_the_mass_that_scouts_measured_is_doubted(held, doubted):
    """Of twelve draws, too few to tell of any mode that it is missed; the interval reaches up to what was measured."""
    generator = torch.Generator().manual_seed(0)
    means = 20 * torch.randn(20, 6, generator=generator, dtype=DOUBLE)
    target = targets.GaussianMixture(means, scales=1.0)
    x = means[torch.arange(12) * 5 % held] + torch.randn(12, 6, generator=generator, dtype=DOUBLE)
    attrs = {"kind": "independent draws"}
    draws = Draws(x[None], target=Hidden(target), log_z=LogZ(math.log(held / 20), 0.2), attrs=attrs)
    factors = torch.eye(6, dtype=DOUBLE).expand(20, 6, 6)
    found = certify(draws, found=measured(target, means, factors, torch.full((20,), 9), 64, generator))
    assert found.missed == 0
    assert found.at_least[0] == pytest.approx(math.log(INSIDE))
    assert ("log Z is too low: the sampler's" in " ".join(found.doubts)) == doubted
    assert found.upper >= found.at_least[0]


@pytest.mark.parametrize(("by_annealing", "doubted"), [((0.0, 0.1), True), ((-2.6, 0.1), False), ((-4.0, 0.1), False)])
def test_a_pilot_that_found_more_is_a_doubt(by_annealing, doubted):
    """Of a learned sampler whose paths all end in one of many modes."""
    target = targets.Gaussian(torch.zeros(2, dtype=DOUBLE), 1.0)
    draws = exact(target, 100, 0, log_z=LogZ(-2.7, 0.005))
    draws.target = None
    found = certify(draws, targets.Ising((3, 3), coupling=0.0), None, by_annealing)
    assert ("by the pilot" in " ".join(found.doubts)) == doubted


def test_what_cannot_be_searched_is_said():
    high = targets.Gaussian(torch.zeros(2000), 1.0)
    spins = targets.Ising((3, 3), coupling=0.1)
    step = targets.LogDensity(lambda x: -x.detach().round().square().sum(-1), 2)
    for target, why in ((high, "2000 dimensions are too many"), (spins, "is discrete"), (step, "gives none")):
        draws = Draws(torch.ones(1, 10, target.dim), target=target, attrs={"kind": "independent draws"})
        assert why in draws.certificate.searched
        assert why in str(draws.certificate)
    assert "not at hand" in str(Draws(torch.ones(1, 10, 2)).certificate)


def test_it_is_kept_in_the_file(tmp_path):
    draws = SMC().sample(Hidden(far_and_narrow()), draws=500, seed=0)
    assert "certificate" in draws.__dict__
    draws.save(tmp_path / "draws.nc")
    again = Draws.load(tmp_path / "draws.nc").certificate
    assert again == draws.certificate
    assert str(again) == str(draws.certificate)
    assert draws.unweighted().certificate is draws.certificate


def test_evaluations_of_the_certificate_are_counted():
    draws = exact(far_and_narrow(), 500, 0)
    before = draws.cost
    draws.certified()
    assert draws.cost.log_prob > before.log_prob
    assert draws.cost.score > before.score


@pytest.mark.parametrize(
    "sampler",
    [SMC(), AIS(), pytest.param(SequentialMultimeasurement(weighted=True), marks=pytest.mark.slow)],
    ids=lambda one: type(one).__name__,
)
def test_samplers_that_state_log_z_are_certified(sampler):
    found = sampler.sample(Hidden(targets.benchmark("gmm9")), draws=500, seed=0).__dict__["certificate"]
    assert found.own is not None
    assert not found.doubts
    assert abs(found.log_z - targets.benchmark("gmm9").log_z) < 5 * found.standard_error


@pytest.mark.slow
def test_learned_samplers_are_judged_by_scouts_and_by_their_pilot():
    fitted = DDS(steps=16).fit(Hidden(targets.benchmark("gmm9")), seed=0, iterations=0)
    found = fitted.sample(draws=1000, seed=1)
    assert list(found.certificate.estimates)[::2] == ["the sampler's", "by the pilot"]
    assert found.cost.score > 0
    again = fitted.sample(draws=1000, seed=2)
    assert again.cost.score < found.cost.score  # the scouts are sent once


def test_regions_that_the_base_was_made_from_are_no_witness():
    """Scouts whose points were lent to a cloud, or whose fit is the base, would certify themselves."""
    lent = pilot.find_base(SMC(), Hidden(far_and_narrow()), None, torch.Generator().manual_seed(0))
    assert lent.scouted is None


@pytest.mark.slow
def test_regions_that_nothing_was_made_from_are():
    generator = torch.Generator().manual_seed(0)
    own = pilot.find_base(SMC(), Hidden(targets.benchmark("banana")), None, generator)
    assert own.scouted is not None
    assert own.fit is not None
    assert own.fit.means is not own.scouted.means


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (7.1642, 0.0123, "7.164 +- 0.012"),
        (-165.4, 2.4, "-165.4 +- 2.4"),
        (1234.5, 120.0, "1234 +- 120"),
        (0.5, 0.0, "0.5 +- 0"),
    ],
)
def test_values_have_the_digits_of_their_errors(value, error, text):
    assert plus_minus(value, error) == text


def test_an_interval_is_said_to_hold_if_no_mode_was_missed():
    found = Certificate(log_z=0.0, standard_error=0.1, lower=-0.2, upper=0.2, own=(0.0, 0.1))
    assert "between -0.20 and 0.20 in 95 of 100 cases, if no mode was missed" in str(found)
    assert "if no mode was missed" in found._repr_html_()


def test_an_empty_certificate_says_so():
    assert str(Certificate()) == "Not judged. Scouts found nothing."
