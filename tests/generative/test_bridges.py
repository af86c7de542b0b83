"""The verb `SchroedingerBridge`: what it takes, gives, writes and refuses."""

import pytest
import torch

import samplers
import targets
from samplers import Draws, SchroedingerBridge
from samplers.draws import SamplingWarning
from samplers.generative import FittedBridge, load
from samplers.generative.bridges import (
    GaussianBridge,
    MarkovianFitting,
    MixturePotential,
    MixturePotentials,
    PointPotential,
    Sinkhorn,
)

START, END = targets.Gaussian([0.0, 1.0]), targets.Gaussian([3.0, 0.0], scale=[0.5, 2.0])
GAUSSIAN = SchroedingerBridge(noise=0.7, method=MixturePotentials(components=1))


def rows(target, n=400, seed=0):
    return target.sample(n, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def fitted():
    return GAUSSIAN.fit(rows(START), rows(END), progress=False)


def test_one_component_is_the_bridge_of_the_moments(fitted):
    laws = [targets.Gaussian(x.double().mean(0), covariance=x.double().mT.cov(correction=0))
            for x in (rows(START), rows(END))]  # fmt: skip
    exact = GaussianBridge.between(*laws, 0.7)
    x = rows(START, 10).double()
    for t in (0.0, 0.4, 1.0):
        torch.testing.assert_close(fitted.drift(x, t), exact.forward.drift(x, t))
        torch.testing.assert_close(fitted.drift(x, t, direction="backward"), exact.backward.drift(x, 1 - t))
    torch.testing.assert_close(fitted.mean(x), exact.forward.mean(x))


def test_shapes_dtypes_and_seeds(fitted):
    x = rows(START, 7)
    for drawn in (fitted.forward(x), fitted.backward(x), fitted.mean(x, direction="backward"), fitted.drift(x, 0.5)):
        assert drawn.shape == x.shape
        assert drawn.dtype == x.dtype
    assert torch.equal(fitted.forward(x, seed=3), fitted.forward(x, seed=3))
    assert not torch.equal(fitted.forward(x, seed=3), fitted.forward(x, seed=4))
    path = fitted.path(x, times=[0.0, 0.5, 1.0], seed=3)
    assert torch.equal(path[0], x)
    assert torch.equal(path[2], fitted.forward(x, seed=3))
    back = fitted.path(x, times=[0.0, 0.5, 1.0], seed=3, direction="backward")
    assert torch.equal(back[2], x)
    assert torch.equal(back[0], fitted.backward(x, seed=3))


def test_pairs_begin_with_rows_or_with_draws(fitted):
    known = {tuple(row) for row in rows(START).tolist()}
    x, _ = fitted.plan(50, seed=2)
    assert {tuple(row) for row in x.tolist()} <= known
    of_targets = GAUSSIAN.fit(START, END, progress=False)
    x, y = of_targets.plan(50, seed=2, direction="backward")
    assert torch.equal(y, END.sample(50, generator=torch.Generator().manual_seed(2)))
    assert torch.equal(of_targets.sample(draws=50, seed=2, direction="backward").x[0], x)


def test_weighted_draws_are_taken_by_their_weights():
    """Rows that are told apart by their weights alone: those of one sign have nearly all."""
    x = rows(targets.Gaussian([0.0]), 2000).double()
    draws = Draws(x[None], log_weights=torch.where(x[None, :, 0] > 0, 0.0, -50.0))
    fitted = GAUSSIAN.fit(draws, x, progress=False)
    assert bool((fitted.plan(500)[0] > 0).all())
    weights = draws.log_weights[0].double().softmax(0)
    assert float(fitted.bridge.forward.origin) == pytest.approx(float(weights @ x), abs=1e-12)


@pytest.mark.parametrize(
    "method",
    [MixturePotentials(components=1), MixturePotentials(components=1, covariances="diagonal"), Sinkhorn(rows=50)],
)
def test_files(method, tmp_path):
    fitted = SchroedingerBridge(noise=0.7, method=method).fit(rows(START, 100), rows(END, 90), progress=False)
    again = load(fitted.save(tmp_path / "bridge.pt"))
    assert isinstance(again, FittedBridge)
    x = rows(START, 20, seed=1)
    assert torch.equal(again.forward(x, seed=5), fitted.forward(x, seed=5))
    assert torch.equal(again.backward(x, seed=5), fitted.backward(x, seed=5))
    assert torch.equal(again.sample(draws=9, seed=1).x, fitted.sample(draws=9, seed=1).x)
    assert (again.settings, again.seed, again.iterations) == (fitted.settings, fitted.seed, fitted.iterations)


def test_training_continues_from_a_checkpoint_bit_for_bit(tmp_path):
    ends = rows(START, 300), torch.cat([rows(START, 150), rows(END, 150)])
    bridge = SchroedingerBridge(method=MixturePotentials(components=4, batch=16))
    whole = bridge.fit(*ends, iterations=6, progress=False)
    path = tmp_path / "checkpoint.pt"
    again = bridge.fit(*ends, iterations=6, progress=False, checkpoint=path)
    finished = bridge.fit(*ends, iterations=6, progress=False, checkpoint=path)
    x = rows(START, 20, seed=1)
    assert whole.iterations == 6
    for other in (again, finished):
        assert torch.equal(whole.forward(x), other.forward(x))
    with pytest.raises(ValueError, match="checkpoint"):
        bridge.fit(*ends, iterations=7, progress=False, checkpoint=path)


def test_weights_of_a_target():
    """Both kinds of weights find Z, from exact starts and from rows."""
    target = targets.GaussianMixture([[3.0, 0.0]], scales=0.8, log_z=1.5)
    fitted = GAUSSIAN.fit(START, END, progress=False)
    for options in ({}, {"by": "path"}, {"by": "path", "start": START}):
        draws = fitted.weigh(target, draws=2000, seed=3, **options)
        assert draws.log_z.value == pytest.approx(1.5, abs=5 * draws.log_z.standard_error)
        assert draws.attrs["by"] == options.get("by", "ends")
        assert draws.cost.log_prob >= 2000
    of_rows = GAUSSIAN.fit(rows(START), rows(END), progress=False)
    draws = of_rows.weigh(target, draws=2000, seed=3)
    assert draws.log_z.value == pytest.approx(1.5, abs=5 * draws.log_z.standard_error)
    with pytest.raises(ValueError, match="start: by path the start must be a target"):
        of_rows.weigh(target, by="path")


def test_an_energy_by_a_teacher():
    """Draws of HMC, a bridge to them from the Gaussian of their moments, and weights; at any scale."""
    target = targets.GaussianMixture([[-10.0], [10.0]], scales=8.0, log_z=-2.0)
    bridge = SchroedingerBridge(method=MixturePotentials(components=4, batch=64))
    draws = bridge.sample(target, draws=1000, samples=600, iterations=3, seed=1, progress=False)
    assert draws.x.shape == (1, 1000, 1)
    assert draws.log_z.value == pytest.approx(-2.0, abs=5 * draws.log_z.standard_error)
    assert draws.cost.score > 600
    assert "korotin2024" in draws.cite()
    with pytest.raises(TypeError, match="teacher: got 3"):
        SchroedingerBridge(teacher=3)


def test_a_plan_between_rows_has_no_weights():
    fitted = SchroedingerBridge(method=Sinkhorn(rows=50)).fit(START, END)
    for by in ("ends", "path"):
        with pytest.raises(NotImplementedError, match="atoms"):
            fitted.weigh(END, draws=10, by=by)
    with pytest.raises(ValueError, match="t: got 1"):
        fitted.drift(rows(START, 3), 1.0)


def test_a_plan_that_has_not_converged_says_so():
    with pytest.warns(SamplingWarning, match="margins are off by"):
        SchroedingerBridge(noise=0.01, method=Sinkhorn(rows=50)).fit(START, END, iterations=1)


def test_bad_input(fitted):
    x = rows(START)
    with pytest.raises(ValueError, match="noise: got -1"):
        SchroedingerBridge(noise=-1.0)
    with pytest.raises(TypeError, match="method: got 'sinkhorn', expected a BridgeMethod"):
        SchroedingerBridge(method="sinkhorn")
    with pytest.raises(ValueError, match="end: got dimension 1, expected 2, that of start"):
        GAUSSIAN.fit(x, x[:, :1])
    with pytest.raises(ValueError, match="end: got shape"):
        GAUSSIAN.fit(x, x[0])
    with pytest.raises(TypeError, match="start: got list"):
        GAUSSIAN.fit([1.0], x)
    with pytest.raises(ValueError, match="end: .* no exact draws"):
        GAUSSIAN.fit(x, targets.LogDensity(lambda x: -x.square().sum(-1), dim=2))
    with pytest.raises(ValueError, match="iterations: got -1"):
        GAUSSIAN.fit(x, x, iterations=-1)
    with pytest.raises(ValueError, match=r"x: got shape \(3,\), expected \(n, 2\)"):
        fitted.forward(torch.zeros(3))
    with pytest.raises(TypeError, match="x: got dtype torch.int64"):
        fitted.forward(torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="x: got nan in row 0, column 0, expected finite"):
        fitted.backward(torch.full((1, 2), torch.nan))
    with pytest.raises(ValueError, match="direction: got 'up'"):
        fitted.plan(3, direction="up")
    for times in ([0.5, 0.2], [0.0, 1.5], []):
        with pytest.raises(ValueError, match="times: got"):
            fitted.path(x, times)
    with pytest.raises(ValueError, match="t: got 1.5"):
        fitted.drift(x, 1.5)
    with pytest.raises(ValueError, match=r"t: got shape \(2,\)"):
        fitted.drift(x, torch.zeros(2))
    with pytest.raises(ValueError, match="by: got 'best'"):
        fitted.weigh(END, by="best")
    with pytest.raises(ValueError, match="target: got dimension 1"):
        fitted.weigh(targets.Gaussian([0.0]))
    for name, value in (
        ("components", 0),
        ("batch", 0),
        ("learning_rate", 0.0),
        ("covariances", "round"),
        ("validation", 1),
    ):
        with pytest.raises(ValueError, match=f"{name}: got"):
            MixturePotentials(**{name: value})
    for name, value in (("rows", 1), ("tolerance", 0)):
        with pytest.raises(ValueError, match=f"{name}: got"):
            Sinkhorn(**{name: value})
    with pytest.raises(ValueError, match="log_weights, points: got shapes"):
        PointPotential(1.0, torch.zeros(2), torch.zeros(3, 1))
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match="spreads: got values that are not positive"):
        MixturePotential(1.0, one[0], one, -one, one[0], one[0])
    with pytest.raises(ValueError, match="origin: got shape"):
        MixturePotential(1.0, one[0], one, one, torch.zeros(2), one[0])
    with pytest.raises(ValueError, match="end_mean: got dimension 1, expected 2"):
        GaussianBridge.between(START, targets.Gaussian([0.0]), 1.0)
    with pytest.raises(ValueError, match="t: got 2"):
        GaussianBridge.between(START, END, 1.0).marginal(2)
    assert samplers.SchroedingerBridge is SchroedingerBridge


DEGENERATE = (
    torch.randn(40, 1, generator=torch.Generator().manual_seed(0)).double() @ torch.tensor([[1.0, 2.0]]).double()
)


@pytest.mark.parametrize(
    "method", [MixturePotentials(components=3), MixturePotentials(components=1), MarkovianFitting()]
)
def test_rows_on_a_line_are_refused_by_the_name_of_their_end(method):
    full = torch.randn(40, 2, generator=torch.Generator().manual_seed(1)).double()
    for ends, name in (((DEGENERATE, full), "start"), ((full, DEGENERATE), "end")):
        with pytest.raises(ValueError, match=f"^{name}: got columns that depend linearly on one another"):
            samplers.SchroedingerBridge(1.0, method).fit(*ends, iterations=0, progress=False)


def test_a_plan_between_rows_takes_rows_on_a_line():
    fitted = samplers.SchroedingerBridge(1.0, Sinkhorn()).fit(DEGENERATE, DEGENERATE + 1, progress=False)
    assert bool(fitted.mean(DEGENERATE).isfinite().all())


@pytest.mark.parametrize("method", [MixturePotentials(components=1), MarkovianFitting(steps=4), Sinkhorn()])
def test_times_that_are_none_are_refused(method):
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(2)).double()
    fitted = samplers.SchroedingerBridge(1.0, method).fit(
        x, x + 1, iterations=0 if method.spread else 50, progress=False
    )
    for bad, kind, message in (
        ("a", TypeError, "t: got 'a', expected a number"),
        (None, TypeError, "t: got None"),
        (1.5, ValueError, "t: got 1.5 beyond"),
        (float("nan"), ValueError, "t: got nan beyond"),
        (torch.zeros(3), ValueError, r"t: got shape \(3,\)"),
    ):
        with pytest.raises(kind, match=message):
            fitted.drift(x, bad)


def test_few_rows_are_fitted_without_any_held_out():
    x = torch.randn(8, 1, generator=torch.Generator().manual_seed(3)).double()
    fitted = samplers.SchroedingerBridge(1.0, MixturePotentials(components=3)).fit(
        x, x + 1, iterations=3, progress=False
    )
    assert bool(fitted.forward(x).isfinite().all())


def test_iterations_of_sinkhorn_are_those_that_were_made():
    x = torch.randn(40, 1, generator=torch.Generator().manual_seed(4)).double()
    bridge = samplers.SchroedingerBridge(10.0, Sinkhorn())  # so much noise that a few are enough
    assert 0 < bridge.fit(x, x + 1, progress=False).iterations < 100
    with pytest.warns(SamplingWarning, match="margins are off by .* after 2 iterations"):
        assert samplers.SchroedingerBridge(0.01, Sinkhorn()).fit(x, x + 1, iterations=2, progress=False).iterations == 2
    with pytest.warns(SamplingWarning, match="after 0 iterations"):
        assert bridge.fit(x, x + 1, iterations=0, progress=False).iterations == 0
