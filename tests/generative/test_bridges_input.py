"""What bridges say of input that they cannot take, and what rounding leaves of far ends."""

import math

import pytest
import torch

import targets
from samplers import SchroedingerBridge, ScoreDiffusion
from samplers.draws import SamplingWarning
from samplers.generative import Positive
from samplers.generative.bridges import GaussianBridge, MixturePotentials, PointPotential, ProportionalFitting, Sinkhorn

F64 = torch.float64
START, END = targets.Gaussian([0.0, 0.0]), targets.Gaussian([3.0, 0.0], scale=[0.5, 2.0])
GAUSSIAN = SchroedingerBridge(noise=0.7, method=MixturePotentials(components=1))


def rows(target, n=200, seed=0):
    return target.sample(n, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def fitted():
    return GAUSSIAN.fit(rows(START), rows(END), progress=False)


def right_of_three(value):
    """-|x - (3, 0)|^2 / 2, and this value where the first coordinate is above 3."""

    def log_prob(x):
        return torch.where(x[:, 0] > 3, value, -0.5 * (x - torch.tensor([3.0, 0.0])).square().sum(-1))

    return targets.LogDensity(log_prob, dim=2, name="half")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_no_log_density_are_told_from_zero_weights(fitted, value):
    """That the rest gets no weight is right where there is no mass, and a fault of the target elsewhere."""
    with pytest.warns(SamplingWarning) as caught:
        draws = fitted.weigh(right_of_three(value), draws=200, seed=1)
    count = int((draws.x[0, :, 0] > 3).sum())
    expected = f"target: the log-density of half is NaN or +inf at {count} of 200 draws, which get no weight"
    assert 0 < count < 200
    assert any(expected in str(one.message) for one in caught)
    with pytest.warns(SamplingWarning) as caught:
        empty = fitted.weigh(right_of_three(-math.inf), draws=200, seed=1)
    assert empty.log_z.value == draws.log_z.value
    assert not any("NaN" in str(one.message) for one in caught)
    nowhere = targets.LogDensity(lambda x: math.nan * x.sum(-1), dim=2, name="nowhere")
    with pytest.raises(RuntimeError, match="all 50 weights are zero: the log-density of nowhere is NaN or .inf at 50"):
        fitted.weigh(nowhere, draws=50)


def test_means_at_far_ends_are_rounded_once(fitted):
    """A float32 mean is the float64 one, rounded: not a drift of 20,000 that is added to a point of 10,000."""
    x, y = rows(START) + 1e4, rows(END) - 1e4
    far = GAUSSIAN.fit(x, y, progress=False)
    for bridge in (far.bridge.forward, PointPotential(0.7, torch.zeros(200), y)):
        assert torch.equal(bridge.mean(x), bridge.mean(x.double()).float())


def test_a_plan_between_rows_takes_fewer_rows_than_dimensions_and_constant_columns():
    """The plan of two points and the same two moved: costs 2 and 2.5, in shares e^-C/eps of each row."""
    x = torch.tensor([[0.0, 0, 0, 0, 1], [1.0, 0, 0, 0, 1]], dtype=F64)
    y = x + torch.tensor([0.0, 0, 0, 2, 0], dtype=F64)
    plan = SchroedingerBridge(noise=0.5, method=Sinkhorn()).fit(x, y, progress=False)
    stays = 1 / (1 + math.exp(-(2.5 - 2) / 0.5))
    expected = torch.tensor([[stays, 1 - stays], [1 - stays, stays]], dtype=F64)
    torch.testing.assert_close(plan.bridge.forward.shares(x), expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="start: got 2 rows in 5 dimensions, expected more rows than dimensions"):
        GAUSSIAN.fit(x, y)
    with pytest.raises(ValueError, match="end: column 1 is 1 in every row"):
        GAUSSIAN.fit(rows(START), torch.stack([torch.randn(200), torch.ones(200)], 1))


def test_draws_near_a_discrete_end_are_not_its_configurations(fitted):
    ising = targets.Ising((3, 3), 0.2)
    bridge = GAUSSIAN.fit(targets.Gaussian(torch.zeros(9)), ising, progress=False)
    assert bridge.sample(draws=5).target is None
    assert bridge.sample(draws=5, direction="backward").target is not None
    with pytest.raises(TypeError, match="target: Ising is discrete and FittedBridge moves in R.n"):
        bridge.weigh(ising)
    with pytest.raises(TypeError, match="target: got function, expected a targets.Target"):
        fitted.weigh(lambda x: x)
    with pytest.raises(ValueError, match="start: got dimension 1, expected 2"):
        fitted.weigh(END, by="path", start=targets.Gaussian([0.0]))


MEAN, UNIT = torch.zeros(2), torch.eye(2)
PLANE = GaussianBridge(MEAN, UNIT, MEAN, UNIT, 1.0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: GaussianBridge(MEAN, -UNIT, MEAN, UNIT, 1.0),
            ValueError,
            "start_covariance: got a matrix that is not p",
        ),
        (lambda: GaussianBridge(MEAN, UNIT, MEAN, UNIT.cumsum(0), 1.0), ValueError, "end_covariance: .* not symmetric"),
        (
            lambda: GaussianBridge(MEAN, UNIT, MEAN, torch.eye(3), 1.0),
            ValueError,
            r"end_covariance: got shape \(3, 3\)",
        ),
        (lambda: GaussianBridge(UNIT, UNIT, MEAN, UNIT, 1.0), ValueError, r"start_mean: got shape \(2, 2\), expected"),
        (lambda: GaussianBridge(MEAN, UNIT, MEAN / 0, UNIT, 1.0), ValueError, "end_mean: holds non-finite values"),
        (
            lambda: GaussianBridge.between(targets.GaussianMixture([[0.0]], scales=1.0), START, 1.0),
            TypeError,
            "start: got GaussianMixture, expected a targets.Gaussian",
        ),
        (lambda: PLANE.marginal("late"), TypeError, "t: got 'late', expected a number"),
        (lambda: PLANE.marginal(1.5), ValueError, r"t: got 1.5 beyond \[0, 1\]"),
    ],
)
def test_gaussian_bridges_name_their_own_arguments(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_lists_are_moments_too():
    again = GaussianBridge([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], MEAN, UNIT, 1.0)
    assert torch.equal(again.slope, PLANE.slope)


@pytest.mark.parametrize("dtype", ["float64", torch.int64])
@pytest.mark.parametrize("laws", [(START, END), (rows(START), rows(END))])
def test_dtypes_that_are_none_are_refused(laws, dtype):
    with pytest.raises(TypeError, match=f"dtype: got {dtype!r}, expected a floating-point dtype"):
        GAUSSIAN.fit(*laws, dtype=dtype)


def test_times_that_are_none_are_refused_on_paths(fitted):
    for times in ("ab", None):
        with pytest.raises(TypeError, match=r"times: got .*, expected increasing times in \[0, 1\]"):
            fitted.path(MEAN[None], times)


def test_an_energy_has_no_draws_to_go_back_from():
    energy = targets.LogDensity(lambda x: -0.5 * x.square().sum(-1), dim=2)
    method = ProportionalFitting(steps=4, halves=2, batch=32, paths=32)
    bridge = SchroedingerBridge(method=method).fit(START, energy, iterations=0, progress=False)
    with pytest.raises(ValueError, match="direction: begins with an energy without exact draws"):
        bridge.sample(draws=3, direction="backward")


class NoTeacher:
    """Fails where it is asked for draws."""

    def sample(self, target, **options):
        pytest.fail("the teacher began")


@pytest.mark.parametrize(
    ("sampler", "options", "kind", "message"),
    [
        (SchroedingerBridge, {"draws": 0}, ValueError, "draws: got 0"),
        (SchroedingerBridge, {"seed": -1}, ValueError, "seed: got -1"),
        (SchroedingerBridge, {"iterations": 1.5}, ValueError, "iterations: got 1.5"),
        (SchroedingerBridge, {"max_minutes": -1}, ValueError, "max_minutes: got -1"),
        (SchroedingerBridge, {"samples": 0}, ValueError, "samples: got 0"),
        (SchroedingerBridge, {"method": Sinkhorn()}, ValueError, "method: got Sinkhorn.*, whose plan has atoms"),
        (SchroedingerBridge, {"target": targets.Ising((3, 3), 0.2)}, TypeError, "target: Ising is discrete"),
        (ScoreDiffusion, {"target": targets.Ising((3, 3), 0.2)}, TypeError, "target: Ising is discrete"),
        (ScoreDiffusion, {"draws": 0}, ValueError, "draws: got 0"),
        (ScoreDiffusion, {"iterations": -1}, ValueError, "iterations: got -1"),
        (ScoreDiffusion, {"correct": "SMC"}, ValueError, "correct: got 'SMC', expected 'smc' or None"),
        (ScoreDiffusion, {"columns": [Positive(), Positive()]}, ValueError, "columns: expected real numbers alone"),
    ],
)
def test_what_is_wrong_is_said_before_the_teacher_begins(sampler, options, kind, message):
    settings = {name: value for name, value in options.items() if name in ("method", "columns")}
    given = {"target": END} | {name: value for name, value in options.items() if name not in settings}
    with pytest.raises(kind, match=message):
        sampler(teacher=NoTeacher(), **settings).sample(**given)
