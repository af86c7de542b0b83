"""Latent diffusion: exact answers, files, training, and what it refuses."""

import latent_cases
import pytest
import torch
from latent_cases import KINDS, SMALL, linear, mixed
from seeded_bugs_latent import BUGS

from samplers import ScoreDiffusion
from samplers.generative import Autoencoder, Categorical, LatentDiffusion, Levels, ScoreMLP, Training, load
from targets import Gaussian

CHECKS = [name for name in dir(latent_cases) if name.startswith("check_")]
QUICK = Autoencoder(size=1, width=8, iterations=5, training=Training(batch=32, validation=0))


@pytest.mark.parametrize("name", CHECKS)
def test_checks(name):
    getattr(latent_cases, name)()


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()


def test_files_hold_both_networks(tmp_path):
    """Draws and bounds of a model that was loaded are the same bit for bit; integers come back as integers."""
    x = mixed(200)
    fitted = LatentDiffusion(QUICK, SMALL, columns=KINDS).fit(x, iterations=2, progress=False)
    again = load(fitted.save(tmp_path / "latent.pt"))
    drawn = fitted.sample(draws=50, seed=1).x
    assert torch.equal(again.sample(draws=50, seed=1).x, drawn)
    assert torch.equal(again.elbo(x[:5], repetitions=2).value, fitted.elbo(x[:5], repetitions=2).value)
    for number, kind in enumerate(KINDS):
        assert bool(kind.takes(drawn[0, :, number]).all())
    with pytest.raises(ValueError, match="x: has columns that noise spreads, such as ordinal ones or those of a code"):
        fitted.log_prob(x[:2])


def test_a_condition_is_that_of_the_code():
    x = linear(300)
    spec = Autoencoder(size=2, iterations=0)
    fitted = LatentDiffusion(spec, SMALL).fit(x, given=x[:, :1], iterations=0, progress=False)
    assert fitted.given(x[0, :1]).sample(draws=3, seed=1).x.shape == (1, 3, 5)


def test_training_goes_on_from_its_checkpoint(tmp_path):
    """The autoencoder's stands beside the diffusion's, and a run that has both does not train again."""
    x = linear(300)
    model = LatentDiffusion(QUICK, SMALL)
    first, second = (model.fit(x, iterations=3, progress=False, checkpoint=tmp_path / "run.pt") for _ in range(2))
    assert {path.name for path in tmp_path.iterdir()} >= {"run.pt", "run.pt.autoencoder"}
    assert torch.equal(first.elbo(x[:4], repetitions=2).value, second.elbo(x[:4], repetitions=2).value)


def test_a_curved_manifold_is_learned_better_than_by_lines():
    """Points near a parabola by codes of one number: training gains more than the bound's error."""
    z = torch.randn(1500, 1, generator=latent_cases.seeded())
    x = torch.cat([z, z**2, z], 1) + 0.2 * torch.randn(1500, 3, generator=latent_cases.seeded(1))
    training = Training(batch=128, learning_rate=1e-2, average=0.95, validation=0)
    trained, start = (
        LatentDiffusion(Autoencoder(size=1, width=16, iterations=n, training=training), SMALL).fit(
            x, iterations=0, progress=False
        )
        for n in (150, 0)
    )
    bounds = [fitted.elbo(x[:400], times=16, repetitions=2).value for fitted in (trained, start)]
    assert (bounds[0] - bounds[1]).mean() > 5 * (bounds[0] - bounds[1]).std() / 20


def test_what_it_refuses():
    with pytest.raises(ValueError, match="size: got 5, expected a code of fewer numbers than the 5 columns"):
        LatentDiffusion(Autoencoder(size=5, iterations=0), SMALL).fit(linear(50), progress=False)
    with pytest.raises(ValueError, match="diffusion: got one with columns=, expected none"):
        LatentDiffusion(diffusion=ScoreDiffusion(columns=[Levels(0, 2)]))
    with pytest.raises(
        TypeError, match=r"columns: got Categorical\(categories=3\) for column 1, expected Real, Ordinal"
    ):
        LatentDiffusion(QUICK, SMALL, columns=[KINDS[0], Categorical(3), KINDS[2]])
    with pytest.raises(TypeError, match="autoencoder: got 3, expected a Autoencoder"):
        LatentDiffusion(3)
    with pytest.raises(ValueError, match="iterations: got -1"):
        Autoencoder(iterations=-1)
    with pytest.raises(TypeError, match=r"training: got 5, expected a samplers\.generative\.Training"):
        Autoencoder(training=5)
    with pytest.raises(TypeError, match="samples: got Gaussian, a target; expected a tensor"):
        LatentDiffusion(QUICK, SMALL).fit(Gaussian(torch.zeros(3)))
    for model in (LatentDiffusion(QUICK, SMALL, columns=KINDS), ScoreDiffusion(columns=KINDS)):
        with pytest.raises(ValueError, match="columns: got 3 kinds, expected 5, one for each column"):
            model.fit(linear(50), progress=False)
    fitted = LatentDiffusion(QUICK, SMALL, columns=KINDS).fit(mixed(60), iterations=0, progress=False)
    with pytest.raises(ValueError, match=r"x: got 7 in column 0, expected an integer from 0 to 2"):
        fitted.elbo(torch.tensor([[7.0, 0.0, 1.0]], dtype=torch.float64))
    assert fitted.model.network is not None
    assert isinstance(fitted.spec, ScoreMLP)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iteration": 3}, "iteration: is no option of fit; did you mean iterations"),
        ({"iterations": -1}, "iterations: got -1"),
        ({"seed": 0.5}, "seed: got 0.5"),
        ({"max_minutes": 0}, "max_minutes: got 0"),
        ({"given": torch.ones(49, 1)}, "given: got 49 rows of conditions, expected 50"),
        ({"dtype": torch.int64}, "dtype: got torch.int64, expected a floating-point dtype"),
    ],
)
def test_options_are_checked_before_the_autoencoder_is_trained(options, message, monkeypatch):
    """A word misspelt must not cost the minutes of the autoencoder."""
    monkeypatch.setattr("samplers.generative.latent.AutoencoderLearning", None)
    with pytest.raises((TypeError, ValueError), match=message):
        LatentDiffusion(QUICK, SMALL).fit(linear(50), **options)
    with pytest.raises(ValueError, match="training: got drop_condition=0.1 without given="):
        LatentDiffusion(QUICK, ScoreDiffusion(training=Training(drop_condition=0.1))).fit(linear(50))
