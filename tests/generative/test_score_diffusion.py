"""The verb: what training starts from, keeps, continues and refuses; a trained model against the law of its samples."""

import os
import signal
from dataclasses import replace

import pytest
import torch

import samplers
import targets
from samplers import SamplingWarning, ScoreDiffusion
from samplers.generative import (
    Categorical,
    CleanOf,
    Denoising,
    Implicit,
    Levels,
    NoiseOf,
    Ordinal,
    Positive,
    Real,
    ScoreMLP,
    Training,
    Velocity,
)
from samplers.generative.score_learning import ScoreLearning
from samplers.generative.solvers import AdaptiveFlow
from samplers.generative.trained import at_time
from samplers.learning.descent import Descent
from samplers.processes import VE, VP, OrnsteinUhlenbeck, SubVP
from targets import CorrelatedNoise

SMALL = ScoreMLP(width=16, blocks=1)
COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64)
PLANE = targets.Gaussian(torch.tensor([3.0, -1.0], dtype=torch.float64), covariance=COVARIANCE)
RING = targets.GaussianMixture(3 * torch.tensor([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]), scales=0.5)


def samples(target=PLANE, n=400, seed=0):
    return target.sample(n, generator=torch.Generator().manual_seed(seed))


def small(**options):
    return ScoreDiffusion(**{"network": SMALL, "training": Training(batch=32)} | options)


def fit(model, x, **options):
    return model.fit(x, **{"iterations": 20, "progress": False} | options)


def same(a, b):
    for one, other in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert {k: v for k, v in a.history.items() if k != "seconds"} == {
        k: v for k, v in b.history.items() if k != "seconds"
    }
    assert torch.equal(a.sample(draws=10).x, b.sample(draws=10).x)


# What training starts from

NOISE = CorrelatedNoise(torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64))
PROCESSES = [VP(), SubVP(), VE(0.01, 30.0), OrnsteinUhlenbeck(horizon=4.0), VP(noise=NOISE)]


@pytest.mark.parametrize("standardise", ["scale", "whiten", "none"])
@pytest.mark.parametrize("parametrisation", [None, NoiseOf(), CleanOf(), Velocity()])
def test_without_iterations_it_is_the_gaussian_of_the_moments(standardise, parametrisation, generator):
    x = samples(n=5000)
    options = {} if parametrisation is None else {"parametrisation": parametrisation}
    model = small(standardise=standardise, **options, training=Training(validation=0))
    fitted = fit(model, x, iterations=0)
    u = fitted.transformation.forward(x)[0]
    torch.testing.assert_close(u.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(fitted.start.covariance, torch.cov(u.mT, correction=0))
    points = torch.randn(6, 2, dtype=torch.float64, generator=generator)
    for t in (1e-4, 0.3, 1.0):
        wanted = at_time(fitted.start, fitted.process, t).score(points)
        torch.testing.assert_close(fitted.score(points, t), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
def test_draws_have_the_moments_of_gaussian_samples(process):
    x = samples(n=5000)
    fitted = fit(small(process=process, training=Training(validation=0)), x, iterations=0)
    drawn = fitted.sample(draws=4000, seed=3, solver=AdaptiveFlow(rtol=1e-5, atol=1e-5)).x[0]
    covariance = torch.cov(x.mT, correction=0)
    z = (drawn.mean(0) - x.mean(0)) / (covariance.diagonal() / len(drawn)).sqrt()
    assert float(z.abs().max()) < 5
    variances = covariance.diagonal()
    error = ((variances[:, None] * variances + covariance.square()) / len(drawn)).sqrt()
    assert float(((torch.cov(drawn.mT) - covariance) / error).abs().max()) < 5


def test_rows_count_by_their_weights():
    x = samples(targets.GaussianMixture(torch.tensor([[-4.0], [4.0]], dtype=torch.float64), scales=1.0), n=4000)
    weights = torch.where(x[:, 0] > 0, 3.0, 1.0).double().log()
    draws = samplers.Draws(x[None], log_weights=weights[None])
    fitted = fit(small(training=Training(validation=0)), draws, iterations=0)
    wanted = (x[:, 0] * weights.exp()).sum() / weights.exp().sum()
    torch.testing.assert_close(fitted.transformation.inverse(torch.zeros(1, 1).double())[0, 0], wanted)


# Training


def test_a_trained_model_is_closer_than_the_gaussian():
    x = samples(RING, n=4000)
    model = ScoreDiffusion(network=ScoreMLP(width=32, blocks=1), training=Training(batch=256, learning_rate=5e-3))
    fitted = fit(model, x, iterations=400)
    assert fitted.validation < fitted.untrained

    def between(points):
        """The share of points that belong to no mode."""
        return float((torch.cdist(points, RING.modes).min(1).values > 1.5).double().mean())

    gaussian = fitted.transformation.inverse(fitted.start.sample(2000, generator=torch.Generator().manual_seed(1)))
    assert between(fitted.sample(draws=2000).x[0]) < 0.5 * between(gaussian)


def test_same_seed_same_bits_and_another_seed_others():
    x = samples(RING)
    a, b, c = (fit(small(), x, seed=seed) for seed in (1, 1, 2))
    same(a, b)
    assert a.history["loss"] != c.history["loss"]
    assert a.sample(draws=5, seed=1).x.equal(a.sample(draws=5, seed=1).x)
    assert not a.sample(draws=5, seed=1).x.equal(a.sample(draws=5, seed=2).x)


class Failure(Exception):
    pass


def after(patch, iterations, event):
    """Have the event happen in the middle of an iteration."""
    step = Descent.step

    def stepping(self, loss):
        if self.taken == iterations:
            event()
        return step(self, loss)

    patch.setattr(Descent, "step", stepping)


def fail():
    raise Failure


@pytest.mark.parametrize("columns", [None, [Ordinal(0, 9), Real()]])
def test_a_crash_is_continued_to_the_same_bits(columns, tmp_path, monkeypatch):
    x = samples(RING)
    if columns is not None:
        x[:, 0] = (x[:, 0] + 5).round().clamp(0, 9)
    model, path = small(columns=columns), tmp_path / "run.pt"
    monkeypatch.setattr("samplers.runs.checkpoint.INTERVAL", 0.0)
    whole = fit(model, x)
    with monkeypatch.context() as patch:
        after(patch, 13, fail)
        with pytest.raises(Failure):
            fit(model, x, checkpoint=path)
    assert torch.load(path)["done"] == 13
    same(fit(model, x, checkpoint=path), whole)
    same(fit(model, x, checkpoint=path), whole)


def test_ctrl_c_gives_what_was_learned(tmp_path, monkeypatch):
    x, path = samples(RING), tmp_path / "run.pt"
    whole = fit(small(), x)
    with monkeypatch.context() as patch:
        after(patch, 7, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.warns(SamplingWarning, match="interrupted after 8 of 20 iterations"):
            stopped = fit(small(), x, checkpoint=path)
    assert stopped.iterations == 8
    same(fit(small(), x, checkpoint=path), whole)


def test_a_checkpoint_of_other_samples_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    fit(small(), samples(RING), checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run: samples is"):
        fit(small(), samples(RING, seed=1), checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run: parametrisation is"):
        fit(small(parametrisation=NoiseOf()), samples(RING), checkpoint=path)


BY_HEART = {
    "network": ScoreMLP(width=64, blocks=2),
    "training": Training(batch=128, learning_rate=1e-2, validation=0.5),
}


def test_the_least_validation_loss_is_kept_and_a_rise_is_told():
    """Thirty rows that are learned by heart."""
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)).exp()
    with pytest.warns(SamplingWarning, match=r"the held-out loss was least, [\d.]+, after \d+ of 300 iterations"):
        fitted = fit(ScoreDiffusion(**BY_HEART), x, iterations=300)
    assert fitted.validation <= min(fitted.history["validation"])
    assert fitted.notes


def test_the_model_is_the_one_of_the_least_loss(monkeypatch):
    """And not of the last parameters, whose loss is higher."""
    runs, learned = [], ScoreLearning.learned
    monkeypatch.setattr(ScoreLearning, "learned", lambda run: runs.append(run) or learned(run))
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)).exp()
    with pytest.warns(SamplingWarning, match="has risen"):
        fitted = fit(ScoreDiffusion(**BY_HEART), x, iterations=300)
    assert float(runs[0]._look(fitted.model).mean()) == pytest.approx(fitted.validation)


def test_a_look_that_fails_is_made_again(tmp_path, monkeypatch):
    x, path, look = samples(RING), tmp_path / "run.pt", ScoreLearning._look
    whole = fit(small(), x)

    def failing(self, model):
        if self.done == 6:
            raise Failure
        return look(self, model)

    with monkeypatch.context() as patch:
        patch.setattr(ScoreLearning, "_look", failing)
        with pytest.raises(Failure):
            fit(small(), x, checkpoint=path)
    found = fit(small(), x, checkpoint=path)
    assert found.validation == whole.validation
    assert torch.equal(found.sample(draws=10).x, whole.sample(draws=10).x)


def test_patience_ends_a_training():
    model = ScoreDiffusion(network=BY_HEART["network"], training=replace(BY_HEART["training"], patience=2))
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)).exp()
    assert fit(model, x, iterations=300).iterations < 300


def test_gaussian_samples_stay_gaussian_without_a_word():
    fitted = fit(small(), samples(n=4000), iterations=40)
    assert fitted.validation == pytest.approx(fitted.untrained, abs=0.02)


def test_time_ends_a_training():
    fitted = fit(
        small(training=Training(batch=256, warmup=0)), samples(RING, n=4000), iterations=10**6, max_minutes=0.02
    )
    assert 0 < fitted.iterations < 10**6
    assert fitted.validation < fitted.untrained  # looked at in the end, long before the first look was due


@pytest.mark.parametrize("loss", [Denoising(), Implicit(), Denoising(weighting="likelihood")])
def test_other_losses_train(loss):
    fitted = fit(small(loss=loss), samples(RING), iterations=5)
    assert all(value == value for value in fitted.history["loss"])


def test_a_network_of_ones_own_is_trained_as_a_copy():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.SiLU(), torch.nn.Linear(8, 2))

        def forward(self, x, t):
            return self.layers(torch.cat([x, t[..., None]], -1))

    torch.manual_seed(0)
    network = Network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fitted = fit(small(network=network), samples(RING))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not torch.equal(fitted.model.network.layers[0].weight, network.layers[0].weight)
    assert fitted.sample(draws=3).x.shape == (1, 3, 2)


def test_columns_come_back_as_they_were():
    g = torch.Generator().manual_seed(0)
    kinds = [Positive(), Ordinal(0, 4), Categorical(3)]
    x = torch.stack(
        [torch.randn(300, generator=g).exp(), *(torch.randint(0, n, (300,), generator=g) for n in (5, 3))], 1
    )
    drawn = fit(small(columns=kinds), x).sample(draws=100).x[0]
    assert bool((drawn[:, 0] > 0).all())
    assert set(drawn[:, 1].tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert set(drawn[:, 2].tolist()) <= {0.0, 1.0, 2.0}


@pytest.mark.slow
def test_levels_start_from_the_copula():
    """Without training, independent columns have the product of their probabilities, with no loss at an edge."""
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    rows = points.repeat_interleave(torch.tensor([1, 2, 2, 4]), 0).repeat(3000, 1)
    found = fit(small(columns=[Levels(0, 1), Levels(0, 1)]), rows, iterations=0).elbo(points, times=256)
    exact = (torch.tensor([1.0, 2.0, 2.0, 4.0]) / 9).log()
    correlation = 5 / 27_000**0.5  # of the noise, five standard deviations; means of u in the cells are below 1.1
    assert bool(((found.value - exact).abs() < 5 * found.standard_error + 1.1**2 * correlation).all())


def test_draws_say_what_they_are():
    fitted = fit(small(), samples(RING), seed=4)
    draws = fitted.sample(draws=50, seed=5)
    told = {"sampler": "ScoreDiffusion", "seed": 5, "fit_seed": 4, "iterations": 20, "kind": "independent draws"}
    assert told.items() <= draws.attrs.items()
    assert draws.kernel is fitted
    assert draws.x.dtype == torch.float32


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"process": 1}, "process: got 1, expected a Process"),
        ({"network": "mlp"}, "network: got 'mlp', expected a ScoreSpec or a torch.nn.Module"),
        ({"loss": "dsm"}, "loss: got 'dsm', expected a Loss"),
        ({"training": 3}, "training: got 3, expected a Training"),
        ({"columns": ["real"]}, "kinds: got 'real', expected a samplers.generative.Column"),
    ],
)
def test_arguments_of_another_kind(options, message):
    with pytest.raises(TypeError, match=message):
        ScoreDiffusion(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch: got 0"),
        ({"learning_rate": 0.0}, "learning_rate: got 0"),
        ({"average": 1.0}, r"average: got 1.0, expected a number in \[0, 1\)"),
        ({"validation": -0.1}, r"validation: got -0.1, expected a number in \[0, 1\)"),
        ({"validation": 0, "patience": 3}, "patience: got one with validation=0"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Training(**options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor([[1.0, 2.0], [float("nan"), 1.0], [0.0, 0.0]]), "samples: got nan in row 1, column 0"),
        (torch.stack([torch.arange(9.0), torch.ones(9)], 1), "samples: column 1 is 1 in every row"),
        (torch.eye(3), "samples: got 3 rows in 3 dimensions, expected more rows than dimensions"),
        (torch.ones(5), r"samples: got shape \(5,\), expected \(n, dim\)"),
        (torch.arange(20.0)[:, None] * torch.tensor([1.0, 2.0]), "samples: got columns that depend linearly"),
    ],
)
def test_samples_that_no_density_can_be_learned_from(x, message):
    with pytest.raises(ValueError, match=message):
        fit(small(), x)


def test_a_word_for_standardise():
    with pytest.raises(ValueError, match="standardise: got 'sphere', expected 'scale', 'whiten', 'common' or 'none'"):
        ScoreDiffusion(standardise="sphere")
