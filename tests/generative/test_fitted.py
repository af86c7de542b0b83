"""What a fitted model says of points, and its weights for an energy, against exact answers."""

import pytest
import torch

import samplers
import targets
from samplers import ScoreDiffusion
from samplers.denoisers import ClosedForm
from samplers.generative import Levels, Ordinal, Positive, Real, ScoreMLP, Training, load
from samplers.generative.fitted import LEAST
from samplers.generative.trained import at_time
from samplers.generative.weighing import mixture_of_draws
from samplers.processes import VE, VP, OrnsteinUhlenbeck
from targets import CorrelatedNoise, IsotropicNoise

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
    with pytest.raises(ValueError, match="x: has columns that noise spreads"):
        fitted.log_prob(states)
    with pytest.raises(ValueError, match="columns: expected real numbers alone for weights"):
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


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_particles_resampled_on_the_way_give_log_z(process):
    """A Gaussian is the model of a mixture times 2."""
    doubled = targets.LogDensity(lambda x: MIXTURE.log_prob(x) + 0.6931471805599453, dim=2, dtype=torch.float64)
    fitted = gaussian(process, MIXTURE)
    draws = fitted.weigh(doubled, draws=4000, seed=3, steps=40, correct="smc")
    assert draws.log_z.value == pytest.approx(0.6931471805599453, abs=5 * draws.log_z.standard_error)
    assert draws.log_z.standard_error < 0.5
    assert draws.attrs["correct"] == "smc"
    torch.testing.assert_close(draws.stats["lp"][0], doubled.log_prob(draws.x[0]))


def test_draws_have_the_names_of_a_posterior():
    """On its own space, with the constrained values; of another dimension it is refused."""
    posterior = targets.Posterior(lambda rate: -rate, {"rate": targets.Positive()})
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0), dtype=posterior.dtype)
    model = ScoreDiffusion(network=ScoreMLP(width=8, blocks=1), training=Training(validation=0))
    fitted = model.fit(x, iterations=0, progress=False)
    draws = fitted.sample(draws=20, target=posterior)
    assert list(draws.constrained) == ["rate"]
    assert bool((draws.constrained["rate"] > 0).all())
    assert torch.equal(draws.x, fitted.sample(draws=20).x)
    with pytest.raises(ValueError, match="target: got dimension 2, expected 1, that of the samples"):
        fitted.sample(draws=20, target=PLANE)


def test_what_resamples_on_the_way_is_the_law_of_the_models_draws():
    fitted = gaussian(OrnsteinUhlenbeck(horizon=4.0))
    found = mixture_of_draws(fitted, 0)
    torch.testing.assert_close(found.mean, fitted.start.mean, rtol=0, atol=0.1)
    torch.testing.assert_close(found.covariance, fitted.start.covariance, rtol=0.1, atol=0.1)


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
        ({"correct": "resample"}, "correct: got 'resample', expected 'smc' or None"),
    ],
)
def test_what_weigh_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        gaussian().weigh(PLANE, **options)


@pytest.mark.parametrize("process", PROCESSES[:3], ids=lambda process: type(process).__name__)
@pytest.mark.parametrize(("standardise", "sigma"), [("none", 0.7), ("whiten", None)])
def test_a_gaussian_model_is_the_denoiser_of_its_gaussian(process, standardise, sigma):
    fitted = gaussian(process, standardise=standardise)
    shift, factor = fitted.transformation.affine
    matrix = torch.diag(factor) if factor.ndim == 1 else factor
    law = targets.Gaussian(shift, covariance=matrix @ fitted.start.covariance @ matrix.mT)
    noise = IsotropicNoise(sigma) if sigma else CorrelatedNoise(0.5 * matrix @ matrix.mT)
    y = PLANE.sample(20, generator=torch.Generator().manual_seed(1))
    found = fitted.denoiser().bind(PLANE, noise).estimate(PLANE, y, noise)
    torch.testing.assert_close(found.mean, ClosedForm().estimate(law, y, noise).mean, rtol=1e-6, atol=1e-6)


def test_noise_that_a_model_does_not_know():
    denoiser = gaussian(standardise="scale").denoiser()
    with pytest.raises(ValueError, match="noise: got IsotropicNoise.*expected a multiple of the covariance"):
        denoiser.bind(PLANE, IsotropicNoise(1.0))
    wide = gaussian(VE(0.01, 3.0), standardise="none").denoiser()
    with pytest.raises(ValueError, match=r"noise: got a level of 5, expected at most 2.99"):
        wide.estimate(PLANE, torch.zeros(1, 2).double(), IsotropicNoise(5.0))
    with pytest.raises(NotImplementedError, match="cannot draw X"):
        wide.draw(PLANE, torch.zeros(1, 2).double(), IsotropicNoise(1.0), torch.Generator())


@pytest.mark.slow
def test_walk_jump_with_a_model():
    """A mixture's walk at one level of noise, with nothing but draws of it."""
    x = MIXTURE.sample(4000, generator=torch.Generator().manual_seed(0))
    model = ScoreDiffusion(network=ScoreMLP(width=32, blocks=1), standardise="none", training=Training(batch=256))
    denoiser = model.fit(x, iterations=300, progress=False).denoiser()
    walk = samplers.WalkJump(sigma=1.5, kernel=samplers.ULA(0.1), steps=5, jump="mean", denoiser=denoiser)
    draws = walk.sample(MIXTURE, chains=200, draws=100, warmup=0, seed=1, init=x[:200])
    assert float((draws.x[..., 0] < 0).double().mean()) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("columns", [None, [Real(), Positive()]])
def test_a_model_as_a_target(columns):
    x = MIXTURE.sample(3000, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 1].exp() if columns else x[:, 1]
    model = ScoreDiffusion(network=ScoreMLP(width=8, blocks=1), columns=columns, training=Training(validation=0))
    fitted = model.fit(x, iterations=0, progress=False)
    density = fitted.as_target()
    points = x[:4]
    value, score = density.log_prob_and_score(points)
    torch.testing.assert_close(value, fitted.log_prob(points))
    for i, step in enumerate(1e-4 * torch.eye(2, dtype=torch.float64)):
        above, below = (fitted.log_prob(at, rtol=1e-8, atol=1e-8) for at in (points + step, points - step))
        slope = (above - below) / 2e-4
        torch.testing.assert_close(score[:, i], slope, rtol=1e-3, atol=1e-3)
    assert density.known == {"log_z", "sample"}
    drawn = density.sample(500, generator=torch.Generator().manual_seed(1))
    z = (drawn[:, 0].mean() - x[:, 0].mean()) / (x[:, 0].std() / 500**0.5)
    assert abs(float(z)) < 5


@pytest.mark.parametrize(
    "options",
    [{}, {"process": VP(noise=NOISE)}, {"columns": [Real(), Ordinal(-9, 9)]}, {"columns": [Real(), Levels(-9, 9)]}],
)
def test_saved_and_loaded_it_is_the_same(options, tmp_path):
    x = MIXTURE.sample(300, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 1].round()
    model = ScoreDiffusion(network=ScoreMLP(width=8, blocks=1), training=Training(batch=32), **options)
    fitted = model.fit(x, iterations=10, progress=False)
    found = load(fitted.save(tmp_path / "model.pt"))
    assert torch.equal(found.sample(draws=20).x, fitted.sample(draws=20).x)
    assert torch.equal(*(one.elbo(x[:5], times=4, repetitions=2).value for one in (found, fitted)))
    for name in ("settings", "iterations", "history", "notes", "cost", "validation"):
        assert getattr(found, name) == getattr(fitted, name)


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("a model")
    with pytest.raises(ValueError, match="is not a file written by FittedDiffusion.save"):
        load(tmp_path / "text.pt")
    torch.save({"format": "another"}, tmp_path / "another.pt")
    with pytest.raises(ValueError, match="has the format 'another'"):
        load(tmp_path / "another.pt")


def test_a_network_of_ones_own_is_not_written(tmp_path):
    class Own(torch.nn.Linear):
        def forward(self, x, t):
            return super().forward(x)

    model = ScoreDiffusion(network=Own(2, 2).double(), training=Training(validation=0))
    x = MIXTURE.sample(100, generator=torch.Generator().manual_seed(0))
    fitted = model.fit(x, iterations=0, progress=False)
    with pytest.raises(ValueError, match="path: a network of one's own cannot be written"):
        fitted.save(tmp_path / "model.pt")


def test_a_network_without_parameters_cannot_be_trained():
    with pytest.raises(ValueError, match="network: Identity has no parameters to train"):
        ScoreDiffusion(network=torch.nn.Identity()).fit(MIXTURE.sample(100, generator=torch.Generator()))


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
