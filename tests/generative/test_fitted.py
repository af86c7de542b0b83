"""What a fitted model says of points, and its weights for an energy, against exact answers."""

import pytest
import torch

import targets
from samplers import ScoreDiffusion
from samplers.generative import Ordinal, Real, ScoreMLP, Training
from samplers.generative.fitted import LEAST, at_time
from samplers.processes import VE, VP, OrnsteinUhlenbeck
from targets import CorrelatedNoise

COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64)
PLANE = targets.Gaussian(torch.tensor([3.0, -1.0], dtype=torch.float64), covariance=COVARIANCE)
MIXTURE = targets.GaussianMixture(torch.tensor([[-2.0, 0.0], [1.5, 1.0]], dtype=torch.float64), scales=0.7)
NOISE = CorrelatedNoise(torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64))
PROCESSES = [VP(), VE(0.01, 30.0), OrnsteinUhlenbeck(horizon=4.0), VP(noise=NOISE)]


def gaussian(process=None, target=PLANE, **options):
    """The Gaussian of the moments of draws of the target."""
    x = target.sample(3000, generator=torch.Generator().manual_seed(0))
    if process is not None:
        options["process"] = process
    model = ScoreDiffusion(network=ScoreMLP(width=8, blocks=1), training=Training(validation=0), **options)
    return model.fit(x, iterations=0, progress=False)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
@pytest.mark.parametrize("standardise", ["scale", "whiten"])
def test_log_density_of_a_gaussian_model(process, standardise):
    fitted = gaussian(process, standardise=standardise)
    x = PLANE.sample(20, generator=torch.Generator().manual_seed(1))
    u, c = fitted.transformation.forward(x)
    law = at_time(fitted.start, process, LEAST * process.horizon)
    torch.testing.assert_close(fitted.log_prob(x, rtol=1e-7, atol=1e-7), law.log_prob(u) + c, rtol=0, atol=1e-5)


def test_estimates_of_the_log_density_are_honest():
    fitted = gaussian()
    x = PLANE.sample(30, generator=torch.Generator().manual_seed(1))
    found = fitted.estimate_log_prob(x, probes=64, seed=3)
    z = (found.value - fitted.log_prob(x)) / found.standard_error
    assert float(z.square().mean()) < 2.5


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
def test_a_bound_without_a_gap(process):
    """The score of a Gaussian model is exact, and so is its prior."""
    fitted = gaussian(process)
    x = PLANE.sample(10, generator=torch.Generator().manual_seed(1))
    found = fitted.elbo(x, seed=2)
    u, c = fitted.transformation.forward(x)
    exact = fitted.start.log_prob(u) + c
    mean, error = found.mean
    assert abs(mean - float(exact.mean())) < 5 * error


def test_a_bound_of_probabilities():
    """sum_x p(x) bound(x) <= sum_x p(x) log p(x) for every model of ordinal columns."""
    generator = torch.Generator().manual_seed(0)
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    x = torch.multinomial(p, 600, replacement=True, generator=generator).double()
    x = torch.stack([x, torch.randint(0, 2, (600,), generator=generator)], 1)
    columns = [Ordinal(0, 2), Ordinal(0, 1)]
    model = ScoreDiffusion(network=ScoreMLP(width=8, blocks=1), columns=columns, training=Training(batch=64))
    fitted = model.fit(x, iterations=20, progress=False)
    states = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0)).double()
    law = (p[:, None] * torch.tensor([0.5, 0.5])).flatten().double()
    found = fitted.elbo(states.repeat(20, 1))
    rows = (found.repetitions.reshape(len(found.repetitions), 20, 6).mean(1) * law).sum(-1)
    entropy = float((law * law.log()).sum())
    assert float(rows.mean()) < entropy + 5 * float(rows.std() / len(rows) ** 0.5)
    assert float(rows.mean()) > entropy - 3
    with pytest.raises(ValueError, match="x: has ordinal or categorical columns"):
        fitted.log_prob(states)
    with pytest.raises(ValueError, match="is to be weighed by a model of columns that are not real numbers"):
        fitted.weigh(PLANE)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_weights_give_log_z_whatever_the_model(process):
    """A Gaussian is the model of a mixture times 2."""
    doubled = targets.LogDensity(lambda x: MIXTURE.log_prob(x) + 0.6931471805599453, dim=2, dtype=torch.float64)
    fitted = gaussian(process, MIXTURE)
    draws = fitted.weigh(doubled, draws=4000, seed=3, steps=40)
    assert draws.log_z.value == pytest.approx(0.6931471805599453, abs=5 * draws.log_z.standard_error)
    assert draws.log_z.standard_error < 0.5
    torch.testing.assert_close(draws.stats["lp"][0], doubled.log_prob(draws.x[0]))
    share = draws.log_weights[0].softmax(0)
    mean = share @ draws.x[0]
    error = ((share[:, None] * (draws.x[0] - mean)).square().sum(0)).sqrt()
    assert bool(((mean - MIXTURE.mean).abs() < 6 * error).all())


def test_weights_of_a_model_that_is_right_hardly_differ():
    fitted = gaussian(OrnsteinUhlenbeck(horizon=4.0), standardise="whiten")
    affine = fitted.transformation.affine
    own = targets.Gaussian(affine[0], covariance=affine[1] @ affine[1].mT)
    draws = fitted.weigh(own, draws=500)
    assert draws.attrs["ess"] > 0.99
    assert draws.certificate is not None
    assert draws.cost.score > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws: got 0"),
        ({"steps": 1}, "steps: got 1"),
    ],
)
def test_what_weigh_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        gaussian().weigh(PLANE, **options)


def test_a_target_of_another_dimension():
    with pytest.raises(ValueError, match="target: got dimension 3, expected 2, that of the samples"):
        gaussian().weigh(targets.Gaussian(torch.zeros(3)))


@pytest.mark.parametrize(
    ("x", "message"),
    [(torch.ones(3, 5), r"x: got shape \(3, 5\)"), (torch.full((1, 2), float("nan")), "finite")],
)
def test_points_that_have_no_density(x, message):
    with pytest.raises(ValueError, match=message):
        gaussian(columns=[Real(), Real()]).log_prob(x.double())
