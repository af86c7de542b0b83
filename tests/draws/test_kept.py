"""Nothing that a run has said is lost: divergences, warnings and certificate in files, streams and checkpoints."""

import json
import warnings

import pytest
import torch

import samplers
import targets
from samplers import AIS, HMC, MALA, Draws, LogZ, SamplingWarning
from samplers.draws import kept, wording
from samplers.draws.moments import RunningMoments
from samplers.draws.objections import LEAST_ESS
from samplers.draws.stream import StreamedDraws
from samplers.particles import GFSF
from targets.sampling_warning import overheard, warn

DIVERGED = "40 of 100 steps diverged (chains: 1 of 2): proposals had a non-finite density"
COUNTED = "40 divergent steps in 1 of 2 chains"


def told(action):
    """What is said, each text once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    assert all(one.category is SamplingWarning for one in caught)
    return result, [str(one.message) for one in caught]


def wall(x):
    """A density with a wall on which trajectories break."""
    return torch.where(x[:, 0] > 0, -0.5 * x.square().sum(-1), -torch.inf)


def around(n, generator):
    return 0.5 + torch.rand(n, 2, generator=generator, dtype=torch.float64)


WALLED = targets.LogDensity(wall, 2, dtype=torch.float64, name="walled")
RUN = {"chains": 4, "draws": 40, "warmup": 0, "seed": 0, "init": around}


def walled(**options):
    return told(lambda: HMC(0.7, "identity", steps=5).sample(WALLED, **RUN, **options))


@pytest.fixture(scope="module")
def of_walled():
    return walled()


def test_a_file_keeps_divergences_and_warnings(of_walled, tmp_path):
    draws, said = of_walled
    assert said
    assert int(draws.divergences.sum()) > 0
    assert list(draws.warnings) == said
    again = Draws.load(draws.save(tmp_path / "walled.nc"), WALLED)
    assert torch.equal(again.divergences, draws.divergences)
    assert again.warnings == draws.warnings
    assert repr(again) == repr(draws)


def test_summary_of_loaded_draws_says_them_again(of_walled, tmp_path):
    draws, _ = of_walled
    draws.remember(["something else that the run met"])
    again = Draws.load(draws.save(tmp_path / "walled.nc"), WALLED)
    table, said = told(again.summary)
    assert (table.shape[0], said) == (2, told(draws.summary)[1])
    assert "something else that the run met" in said
    assert sum("diverg" in one for one in said) == 1


def plain(**fields):
    x = torch.randn(2, 500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Draws(x, target=targets.Gaussian(torch.tensor([0.0], dtype=torch.float64)), **fields)


def test_divergent_steps_are_said_once_and_what_is_said_twice_too():
    draws = plain(divergences=torch.tensor([0, 40])).remember([DIVERGED, "chains never moved"])
    _, said = told(draws.summary)
    assert [one for one in said if "diverge" in one] == [one for one in said if one.startswith(COUNTED)]
    assert said.count("chains never moved") == 1
    _, alone = told(plain().remember([DIVERGED]).summary)  # where nothing counts them, they are not lost
    assert DIVERGED in alone


def test_a_doubt_of_the_certificate_that_the_run_has_said_is_said_once():
    draws = plain()
    draws.__dict__["certificate"] = samplers.Certificate(doubts=("mass is missed",))
    assert told(draws.remember(["mass is missed"]).summary)[1].count("mass is missed") == 1


def test_the_certificate_of_a_file_is_not_made_again(tmp_path, monkeypatch):
    draws = plain()
    made = draws.certificate
    path = draws.save(tmp_path / "line.nc")
    monkeypatch.setattr("samplers.scouts.certify.certify", None)
    assert Draws.load(path, draws.target).certificate == made


def test_weighted_draws_keep_what_their_run_has_said(tmp_path):
    sampler = AIS(HMC(0.05, "identity", steps=1), targets.Gaussian([0.0, 0.0], 0.2), betas=1)
    draws, said = told(lambda: sampler.sample(targets.benchmark("gmm9"), draws=200, seed=0))
    assert said
    assert list(draws.warnings) == said
    again = Draws.load(draws.save(tmp_path / "modes.nc"), draws.target)
    assert (again.warnings, again.certificate) == (draws.warnings, draws.certificate)
    assert set(said) <= set(told(again.summary)[1])
    assert again.unweighted().warnings == draws.warnings


def test_a_record_is_the_same_after_json():
    draws = plain(divergences=torch.tensor([3, 0]), log_z=LogZ(0.1, 0.2, estimates=(0.0, 0.2))).remember(["said"])
    draws.certificate  # noqa: B018
    found = json.loads(json.dumps(kept.record(draws)))
    fields = kept.fields(found)
    assert torch.equal(fields["divergences"], draws.divergences)
    assert repr(fields["log_z"]) == repr(draws.log_z)
    assert fields["log_z"].estimates == (0.0, 0.2)
    assert fields["attrs"] == {"warnings": ["said"]}
    assert kept.certified(plain(), found).certificate == draws.certificate


# Streams


def test_a_folder_keeps_all_that_memory_does(tmp_path, of_walled):
    inside, said = of_walled
    streamed, as_well = walled(stream=tmp_path / "folder")
    again = Draws.load(tmp_path / "folder", WALLED)
    assert isinstance(again, StreamedDraws)
    assert torch.equal(again.x, inside.x)
    assert torch.equal(again.divergences, inside.divergences)
    assert again.warnings == streamed.warnings == tuple(as_well)
    assert as_well == said
    assert torch.equal(again.moments.mean, streamed.moments.mean)
    assert torch.equal(again.moments.variance, streamed.moments.variance)
    assert again.cost == streamed.cost
    assert set(as_well) - {one for one in as_well if " diverged" in one} <= set(told(again.summary)[1])


def test_a_folder_keeps_the_log_z_of_tempering(tmp_path):
    sampler = samplers.ParallelTempering(HMC(0.5, "identity", steps=3), targets.Gaussian([0.0], 3.0), temperatures=4)
    line = targets.Gaussian([0.5])
    streamed, _ = told(lambda: sampler.sample(line, chains=8, draws=60, warmup=20, seed=0, stream=tmp_path / "folder"))
    again = Draws.load(tmp_path / "folder", line)
    assert again.log_z == streamed.log_z != None  # noqa: E711
    assert again.log_z.estimates == streamed.log_z.estimates


def test_a_folder_keeps_a_certificate_once_it_is_made(tmp_path, monkeypatch):
    line = targets.Gaussian(torch.tensor([0.5], dtype=torch.float64))
    options = {"chains": 8, "draws": 50, "warmup": 50, "seed": 0, "stream": tmp_path / "folder"}
    told(lambda: MALA().sample(line, **options))
    unknown = Draws.load(tmp_path / "folder")  # without a target, of which nothing can be said for good
    assert "the target is not at hand" in str(unknown.certificate)
    made = Draws.load(tmp_path / "folder", line).certificate
    assert made.regions
    monkeypatch.setattr("samplers.scouts.certify.certify", None)
    again = Draws.load(tmp_path / "folder", line)
    assert again.certificate == made
    assert again.attrs["sampler"] == "MALA"


def test_a_warning_that_is_an_error_leaves_the_folder_with_its_record(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamplingWarning)
        with pytest.raises(SamplingWarning):
            HMC(0.7, "identity", steps=5).sample(WALLED, **RUN, stream=tmp_path / "folder")
    again = Draws.load(tmp_path / "folder", WALLED)
    assert again.warnings
    assert int(again.divergences.sum()) > 0


def test_the_two_lines_of_a_folder_read_no_draws(tmp_path, monkeypatch):
    streamed, _ = walled(stream=tmp_path / "folder")
    monkeypatch.setattr(StreamedDraws, "_read", None)
    assert repr(streamed).startswith("Draws by HMC from walled: 4 chains x 40 draws of x[2]\n")
    assert "4 chains x 40 draws" in streamed._repr_html_()


def test_running_moments_are_the_same_to_the_last_digit():
    moments = RunningMoments(3)
    moments.update(torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    again = kept.moments(json.loads(json.dumps(kept.listed(moments))))
    assert again.count == 7
    assert torch.equal(again.mean, moments.mean)
    assert torch.equal(again.variance, moments.variance)


# Checkpoints


def test_a_finished_checkpoint_says_it_again(tmp_path, of_walled):
    _, said = of_walled
    for _ in range(2):
        draws, now = walled(checkpoint=tmp_path / "run.pt")
        assert (now, list(draws.warnings)) == (said, said)


def test_an_interrupted_run_says_so_until_it_is_continued(tmp_path, monkeypatch):
    file = tmp_path / "run.pt"

    def stopping(x):
        stopping.calls += 1
        if stopping.calls == 90:
            raise KeyboardInterrupt
        return -0.5 * x.square().sum(-1)

    stopping.calls = 0
    target = targets.LogDensity(stopping, 1, dtype=torch.float64, name="line")
    run = {"chains": 4, "draws": 200, "warmup": 0, "seed": 0, "checkpoint": file}
    first, _ = told(lambda: MALA(0.5).sample(target, **run))
    again = Draws.load(first.save(tmp_path / "part.nc"), target)
    (interrupted,) = again.warnings
    assert interrupted.startswith("interrupted after ")
    assert interrupted in told(again.summary)[1]
    stopping.calls = 1000
    assert told(lambda: MALA(0.5).sample(target, **run))[0].warnings == ()


class Cut(GFSF):
    """Breaks off at its tenth velocity."""

    calls = 0

    def velocity(self, *given):
        Cut.calls += 1
        if Cut.calls == 10:
            raise RuntimeError("the power went out")
        return super().velocity(*given)


def test_what_was_said_before_a_checkpoint_is_kept_after_it(tmp_path):
    options = {"draws": 30, "iterations": 12, "seed": 0, "checkpoint": tmp_path / "run.pt"}
    line = targets.Gaussian(torch.tensor([0.0], dtype=torch.float64))
    Cut.calls = 0
    sampler = Cut(tolerance=1e-300)

    def broken():
        with pytest.raises(RuntimeError, match="the power went out"):
            sampler.sample(line, **options)

    _, before = told(broken)
    draws, _ = told(lambda: sampler.sample(line, **options))
    assert before
    assert set(before[: wording.MOST_WARNINGS - 1]) <= set(draws.warnings)


def test_what_a_pilot_has_said_is_among_the_notes_of_a_continued_fit(tmp_path, monkeypatch):
    sampler, file = samplers.DDS(steps=4, prior="gaussian"), tmp_path / "fit.pt"
    found = samplers.diffusion.fit.find_space

    def warned(*given, **more):
        warn("the pilot's rounds did not agree")
        return found(*given, **more)

    monkeypatch.setattr("samplers.diffusion.fit.find_space", warned)
    plane = targets.Gaussian([0.0, 0.0])
    for _ in range(2):
        fitted, _ = told(lambda: sampler.fit(plane, iterations=2, checkpoint=file))
        assert fitted.notes.count("the pilot's rounds did not agree") == 1
    drawn, said = told(lambda: sampler.sample(plane, iterations=2, draws=50))
    assert "the pilot's rounds did not agree" in drawn.warnings
    assert list(drawn.warnings) == list(dict.fromkeys(said))


# Overhearing


def test_many_warnings_are_kept_as_their_first_and_their_number():
    every = wording.with_warnings(["0"], (str(i) for i in range(30)))
    assert every == [*map(str, range(wording.MOST_WARNINGS - 1)), "and 11 more warnings of this run"]


def test_overheard_warnings_are_said_all_the_same_and_go_no_further():
    def run():
        with overheard() as outer:
            warn("a")
            with overheard() as inner:
                warn("b")
                warn("b")
            warn("c")
        warn("d")
        return outer, inner

    (outer, inner), said = told(run)
    assert (outer, inner) == (["a", "b", "c"], ["b"])
    assert said == ["a", "b", "b", "c", "d"]


def test_the_summary_of_good_draws_says_nothing():
    x = torch.randn(4, 2 * int(LEAST_ESS), 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert told(Draws(x, target=targets.Gaussian(torch.tensor([0.0], dtype=torch.float64))).summary)[1] == []


def walled_in(said, **fields):
    """What a summary says of draws that stand still, after a run that has said so."""
    x = torch.zeros(2, 500, 1, dtype=torch.float64)
    draws = Draws(x, target=targets.Gaussian(torch.tensor([0.0], dtype=torch.float64)), **fields).remember([said])
    draws.__dict__["certificate"] = samplers.Certificate()
    return told(draws.summary)[1]


def test_what_the_run_has_said_in_better_words_is_said_once():
    every = "every one of the 500 steps diverged in all 2 chains, which never moved: the density is not finite"
    said = walled_in(every, divergences=torch.tensor([500, 500]))
    assert [one for one in said if "diverge" in one] == [every]
    assert not [one for one in said if "are the same" in one]
    still = "2 of 2 chains never moved in 500 steps (chains [0, 1]): every proposal was rejected"
    assert not [one for one in walled_in(still) if "are the same" in one]
    some = "1 of 2 chains never moved in 500 steps (chains [0]): every proposal was rejected"
    assert [one for one in walled_in(some) if "are the same" in one]


def test_bad_weights_are_said_once():
    draws = plain(log_weights=torch.linspace(0, 500, 500, dtype=torch.float64).expand(2, -1))
    draws.__dict__["certificate"] = samplers.Certificate()
    bad = "the weights are not to be trusted: their Pareto k-hat is 2.00 (at most 0.7)"
    assert [one for one in told(draws.summary)[1] if "size of the weights" in one]
    assert [one for one in told(draws.remember([bad]).summary)[1] if "weights" in one] == [bad]
