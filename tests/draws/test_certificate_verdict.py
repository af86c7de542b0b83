"""The first word of a certificate: never surer than the draws, and the same wherever it is shown."""

import math
from dataclasses import replace

import pytest
import torch
from scout_cases import Hidden, wide_and_narrow

import samplers
import targets
from samplers import Certificate, Draws
from samplers.draws.estimates import r_hat, r_hat_by_chance
from samplers.draws.objections import LEAST_ESS, objections
from samplers.scouts.certify import certify
from samplers.scouts.sample import Sample
from samplers.scouts.search import search
from samplers.scouts.unseen import FALSE_ALARM, unseen, visible

DOUBLE = torch.float64


def chains(chains, draws, dim, *, memory=0.0, seed=0):
    """Stationary chains of N(0, 1), each draw of that correlation with the one before."""
    generator = torch.Generator().manual_seed(seed)
    x, found = torch.randn(chains, dim, generator=generator, dtype=DOUBLE), []
    for _ in range(draws):
        noise = torch.randn(chains, dim, generator=generator, dtype=DOUBLE)
        x = memory * x + math.sqrt(1 - memory**2) * noise
        found.append(x)
    return torch.stack(found, 1)


@pytest.fixture(scope="module")
def known():
    """A target with a mode of 23.6 % of the mass, and its regions."""
    target = wide_and_narrow()
    return target, search(Hidden(target), None, torch.Generator().manual_seed(0))


def lacking(known, memory, seed=0):
    """The certificate of sixteen chains that never enter the mode."""
    target, found = known
    x = target.modes[0] + chains(16, 300, 8, memory=memory, seed=seed)
    return certify(Draws(x, target=Hidden(target), attrs={"seed": seed}), found=found)


def test_draws_of_which_too_few_are_effective_do_not_miss_nothing(known):
    """4,800 draws worth some 30: none in 23.6 % of the mass, and too few to say that it is no chance."""
    found = lacking(known, 0.98)
    assert found.effective < 50
    assert not found.of_mass
    assert found.verdict != "nothing found against it"
    assert "effective draws show a region to be missed only where it holds 0." in str(found)
    assert "no draw lies in a region that holds 0.2" in " ".join(found.too_few)
    assert "lack nothing" not in str(found)


def test_a_mode_that_no_chain_enters_is_missed_by_few_effective_draws(known):
    """Zero of some 65 effective draws where 21 % are expected: (1 - 0.21)^65 is below 1e-6."""
    found = lacking(known, 0.95)
    assert found.effective < 100
    assert found.of_mass[0].startswith("mass is missed: ")


@pytest.mark.parametrize(("count", "missed"), [(16, False), (64, True)])
def test_a_region_is_missed_by_many_chains_however_slow(known, count, missed):
    """Of chains that stay where they start none starts in the mode: 0.79^16 is 0.02, 0.79^64 is below 1e-6."""
    target, found = known
    sample = Sample.of(target.modes[0] + chains(count, 20, 8).flatten(0, 1), effective=5.0)
    generator = torch.Generator().manual_seed(0)
    lack = unseen(found, target, replace(sample, chains=count), math.log(0.764), 0.01, generator)
    assert (lack.total > 0.1) == missed
    assert (lack.unvisited > 0.1) != missed


@pytest.mark.parametrize(("memory", "switch"), [(0.0, 1.0), (0.9, 0.1), (0.98, 0.02)])
def test_exact_chains_miss_no_mass(known, memory, switch):
    """Stationary chains that change modes: a false alarm has a chance of some 1e-4 in each of 10 runs. R-hat of chains
    that are so short may well be large.
    """
    target, found = known
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        z = chains(16, 100, 8, memory=memory, seed=seed)
        new = torch.multinomial(target.mode_weights, 1600, True, generator=generator).reshape(16, 100)
        changes = torch.rand(16, 100, generator=generator) < switch
        changes[:, 0] = True
        last = torch.where(changes, torch.arange(100), 0).cummax(1).values
        mode = new.gather(1, last)
        x = target.modes[mode] + torch.tensor([1.0, 0.3], dtype=DOUBLE)[mode][..., None] * z
        made = certify(Draws(x, target=Hidden(target), attrs={"seed": seed}), found=found)
        assert made.of_mass == ()
        assert memory or made.doubts == ()
        assert (made.verdict == "nothing found against it") == (not made.doubts and made.effective >= LEAST_ESS)


def test_the_least_share_that_is_seen_is_that_which_so_many_draws_miss_by_chance():
    for n in (10, 48, 400):
        assert (1 - visible(n)) ** n == pytest.approx(FALSE_ALARM)
    assert visible(0) == 1


@pytest.mark.parametrize("shape", [(4, 100), (16, 50)])
def test_r_hat_of_independent_draws_exceeds_its_limit_as_often_as_it_says(shape):
    """At 5 %, of 400 variables: some 20 exceed it, between none and 50."""
    count, draws = shape
    found = r_hat({"x": chains(count, draws, 400)}, "rank")["x"]
    limit = r_hat_by_chance(count, draws / 2, draws / 2, 2, 0.05)
    assert (found > limit).sum() < 50
    assert limit > 1.01


def test_r_hat_beyond_chance_is_a_doubt_and_else_says_that_draws_are_few():
    apart = chains(4, 200, 1)
    apart[0] += 1
    (said,) = objections(Draws(apart)).against
    assert said.startswith("R-hat reaches 1.0")
    short = objections(Draws(chains(16, 300, 2, memory=0.9)))
    assert not short.against
    assert short.too_few[0].startswith("R-hat reaches 1.0")
    assert "this can be chance" in short.too_few[0]


def test_frozen_chains_and_divergent_steps_are_doubts():
    x = chains(4, 200, 2)
    x[1] = x[1, :1]
    made = Draws(x, target=targets.Gaussian(torch.zeros(2).double(), 1.0), divergences=torch.tensor([0, 3, 0, 0]))
    doubts = " ".join(made.certificate.doubts)
    assert "1 of 4 chains never move" in doubts
    assert "R-hat reaches" in doubts
    assert "3 divergent steps in 1 of 4 chains" in doubts
    assert made.certificate.verdict == "doubtful"
    assert made.certificate.of_mass == ()


def test_every_verdict_has_its_word():
    sound = {"regions": 1, "missed": 0.0, "held": 0.9, "hidden": 0.0, "effective": 500.0}
    for changed, word in (
        ({}, "nothing found against it"),
        ({"missed": math.nan}, "not judged"),
        ({"regions": 0}, "not judged"),
        ({"searched": "the target is not at hand"}, "not judged"),
        ({"too_few": ("12 draws",)}, "too few draws to tell"),
        ({"too_few": ("12 draws",), "doubts": ("mass is missed",)}, "doubtful"),
    ):
        made = Certificate(**sound | changed)
        assert made.verdict == word
        assert repr(made).startswith(f"Certificate({word}")
        assert str(made).startswith(word.capitalize())
        assert f"Certificate: {word}" in made._repr_html_()


def test_a_verdict_is_the_same_from_a_file_and_a_folder(tmp_path):
    target = targets.Gaussian(torch.zeros(2, dtype=DOUBLE), 1.0)
    run = {"chains": 4, "draws": 20, "warmup": 50, "seed": 0}
    draws = samplers.MALA().sample(target, **run)
    assert draws.certificate.verdict == "too few draws to tell"
    draws.save(tmp_path / "draws.nc")
    assert Draws.load(tmp_path / "draws.nc").certificate == draws.certificate
    with pytest.warns(samplers.SamplingWarning) as said:
        draws.summary()
    texts = [str(one.message) for one in said]
    further = {
        one for one in draws.certificate.too_few if "effective draws show a region" not in one
    }  # a small size is said once
    assert further <= set(texts)
    assert any("the effective sample size is" in one for one in texts)
    assert len(texts) == len(set(texts))
    streamed = samplers.MALA().sample(target, **run, stream=tmp_path / "folder")
    assert str(streamed.certificate) == str(draws.certificate)
    assert Draws.load(tmp_path / "folder", target).certificate == draws.certificate
