"""BibTeX of what made the draws: the table, what is found in a record, files, entries of one's own."""

import re

import pytest
import torch

import samplers
import targets
from samplers import Draws, LogZ, peers, registry
from samplers.cli import main
from samplers.denoisers import spins
from samplers.draws import citations
from samplers.draws.citations import Reference, parse, register, table, used

KINDS = {
    "article": {"journal"},
    "inproceedings": {"booktitle"},
    "incollection": {"booktitle", "publisher"},
    "techreport": {"institution"},
    "misc": set(),
}
FIELD = re.compile(r"^  (\w+) = \{(.*)\},$")
# benchmarks that no paper defines
PLAIN = {"gmm9-unequal", "gmm25", "gmm4-1d", "phi4-lattice-4x8-open"}
GENERIC = ("two-gaussians-",)
GAUSSIAN = targets.Gaussian(torch.zeros(2))
MINE = """@article{me2026,
  author = {Me, Myself},
  title = {A Sampler {of} My Own},
  year = {2026},
}"""


def keys(text):
    return re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)


def record(**attrs):
    return Draws(torch.zeros(1, 1, 2), attrs=attrs)


def fields(entry):
    """Strictly: one field a line, its braces balanced, no field twice."""
    head, *lines, last = entry.splitlines()
    kind, key = re.fullmatch(r"@(\w+)\{([a-z]+\d{4}[a-z]*),", head).groups()
    found = [FIELD.match(line).groups() for line in lines]
    assert last == "}", key
    assert len(dict(found)) == len(found), key
    for name, value in found:
        depth = 0
        for letter in value:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            assert depth >= 0, (key, name)
        assert depth == 0, (key, name)
        assert value.isascii(), (key, name)
    return kind, key, dict(found)


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setattr(citations, "_REGISTERED", {})


def test_every_entry_is_sound():
    for one in table():
        kind, key, found = fields(one.text)
        assert key == one.key
        assert {"author", "title", "year", *KINDS[kind]} <= found.keys(), key
        assert key[-4:] == found["year"] or found["year"] in key, key
        assert found.keys() & {"doi", "eprint", "url", "pages", "series", "booktitle", "institution"}, key
        assert ("eprint" in found) == (found.get("archiveprefix") == "arXiv"), key
        if "eprint" in found:
            assert re.fullmatch(r"\d{4}\.\d{4,5}|[a-z]+/\d{7}", found["eprint"]), key
        if "doi" in found:
            assert re.fullmatch(r"10\.\d{4,5}/\S+", found["doi"]), key
        assert one.used_by, key


def test_no_key_doi_or_preprint_comes_twice():
    found = [fields(one.text) for one in table()]
    for name in ("doi", "eprint", "title"):
        values = [entry[name].lower() for *_, entry in found if name in entry]
        assert len(set(values)) == len(values), name
    assert len({key for _, key, _ in found}) == len(found)


def public_samplers():
    found = [getattr(samplers, name) for name in samplers.__all__]
    found = {kind for kind in found if isinstance(kind, type) and hasattr(kind, "sample")} - {samplers.Kernel}
    return sorted({kind.__name__ for kind in found | set(registry.SAMPLERS.values())})


@pytest.mark.parametrize("name", public_samplers())
def test_every_sampler_has_a_reference(name):
    found = used(record(sampler=name)) - {"summary", "R-hat and ESS"}
    assert any(one.belongs_to(found) for one in table())


def test_every_benchmark_of_a_paper_has_a_reference():
    without = {name for name in targets.benchmarks() if not any(one.belongs_to({name}) for one in table())}
    assert {name for name in without if not name.startswith(GENERIC)} == PLAIN


@pytest.mark.slow
@pytest.mark.parametrize("name", targets.benchmarks())
def test_a_benchmark_is_cited_by_its_name_alone_as_by_itself(name):
    try:
        target = targets.benchmark(name)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        pytest.skip(str(error))
    draws = record(sampler="ULA", target=name)
    by_name = draws.cite()
    draws.target = target
    assert keys(draws.cite()) == keys(by_name)


def test_what_entries_belong_to_exists():
    names = {name for one in table() for name in one.used_by if re.fullmatch(r"[A-Z]\w+", name)}
    places = [samplers, targets, peers, spins, samplers.denoisers, samplers.diffusion, samplers.kernels]
    places += [
        samplers.smoothing,
        samplers.generative,
        __import__("samplers.generative.bridges").generative.bridges,
        __import__("samplers.generative.solvers").generative.solvers,
        __import__("targets.stan_model").stan_model,
        __import__("targets.pyro_model").pyro_model,
    ]
    missing = {name for name in names if not any(hasattr(place, name) for place in places)}
    assert missing <= {"Barker", "ChEES", "Pathfinder"}  # methods of warmup, and a kernel that is being built


def test_what_is_found_in_a_record():
    given = {"step_size": None, "inverse_mass_matrix": "auto", "trajectory_length": None, "steps": None}
    assert {"dual averaging", "ChEES", "Pathfinder"} <= used(record(sampler="HMC", hyperparameters=given, warmup=100))
    assert not {"dual averaging", "ChEES"} & used(record(sampler="HMC", hyperparameters=given, warmup=0))
    assert "ChEES" not in used(record(sampler="HMC", hyperparameters=given | {"steps": 3}, warmup=100))
    assert "hoffman2021" not in keys(record(sampler="MALA").cite())
    assert "roberts1998" in keys(record(sampler="MALA").cite())
    weighted = Draws(torch.zeros(1, 8, 2), log_weights=torch.zeros(1, 8))
    assert {"vehtari2024", "kitagawa1996"} <= set(keys(weighted.cite()))
    assert "vehtari2024" not in keys(record().cite())
    assert "vehtari2021" in keys(record().cite())
    assert "vehtari2021" not in keys(record(keep="moments").cite())
    both = Draws(torch.zeros(1, 1, 2), attrs={"sampler": "SMC"}, log_z=LogZ(0.0, 0.1, upper=0.1))
    assert "grosse2015" in keys(both.cite())


SPINS = targets.Ising((4, 4))
RUNS = {
    "hmc": (samplers.HMC(), GAUSSIAN, {"duane1987", "hoffman2021", "zhang2022pathfinder"}),
    "mala": (samplers.MALA(), targets.Funnel(2), {"roberts1996", "nesterov2009", "neal2003"}),
    "mams": (samplers.MAMS(), GAUSSIAN, {"robnik2025", "hoffman2021", "nesterov2009"}),
    "mclmc": (samplers.MCLMC(), GAUSSIAN, {"robnik2023", "robnik2024", "zhang2022pathfinder"}),
    "smc": (
        samplers.SMC(waste_free=4, base=GAUSSIAN, betas=3),
        targets.Banana(),
        {"delmoral2006", "dau2022", "haario1999"},
    ),
    "ais": (samplers.AIS(base=GAUSSIAN, betas=2), GAUSSIAN, {"neal2001", "vehtari2024", "duane1987"}),
    "tempering": (
        samplers.ParallelTempering(base=GAUSSIAN, temperatures=(0, 0.5, 1)),
        GAUSSIAN,
        {"syed2022", "hoffman2021"},
    ),
    "sequential": (samplers.SequentialMultimeasurement(sigma=1.0, m=2), GAUSSIAN, {"saremi2024"}),
    "walk-jump on spins": (samplers.WalkJump(noise="mrf"), SPINS, {"saremi2019", "martens2010", "kaufman1949"}),
    "learned": (
        samplers.CMCD(steps=4, objective=samplers.diffusion.TrajectoryBalance(), prior=GAUSSIAN),
        GAUSSIAN,
        {"vargas2024", "malkin2022"},
    ),
    "particles": (samplers.SVGD(), GAUSSIAN, {"liu2016"}),
}


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
@pytest.mark.parametrize("name", RUNS)
def test_runs_are_cited_alike_from_memory_and_from_a_file(name, tmp_path):
    sampler, target, expected = RUNS[name]
    budget = {"draws": 20, "iterations": 2} if name in ("learned", "particles") else {"draws": 20}
    if isinstance(sampler, samplers.Kernel):
        budget = {"draws": 5, "chains": 4, "warmup": 20}
    draws = sampler.sample(target, seed=0, **budget)
    found = keys(draws.cite())
    assert expected <= set(found)
    assert len(set(found)) == len(found)
    path = draws.save(tmp_path / "draws.nc")
    assert Draws.load(path, target).cite() == draws.cite()
    if "target" in draws.attrs:  # alone it has the name of its class, or of a benchmark
        assert Draws.load(path).cite() == draws.cite()


def test_a_default_objective_is_cited_as_what_it_was():
    fitted = samplers.DDS(steps=4, prior="gaussian").fit(GAUSSIAN, iterations=0, seed=0)
    assert "LogVariance" in used(fitted.sample(draws=200, seed=1))


def test_a_sampler_and_a_target_of_ones_own(own):
    class Odd(targets.Gaussian):
        pass

    register("Mine", MINE)
    register("Mine", MINE)
    register("Odd", MINE.replace("me2026", "odd2026"))
    assert keys(record(sampler="Mine").cite()).count("me2026") == 1
    assert "me2026" not in keys(record(sampler="ULA").cite())
    draws = record(sampler="Mine")
    draws.target = Odd(torch.zeros(2), name="whatever")
    assert keys(draws.cite())[-2:] == ["me2026", "odd2026"]
    assert record(sampler="Mine").cite().endswith(MINE + "\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Me 2026", "bibtex: got 'Me 2026', expected entries such as @article"),
        ("@misc{me, title = {A}, year = 2026}", "bibtex: me has no author"),
        ("@misc{me, author = {M}, title = {A, year = 2026}", "bibtex: the braces of '@misc{me, author"),
        (f"{MINE}\n{MINE}", "bibtex: me2026 stands there twice"),
        (MINE.replace("me2026", "neal2001"), "bibtex: the key 'neal2001' is that of another entry"),
    ],
)
def test_what_is_no_bibtex_is_refused(own, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        register("Mine", text)
    assert citations._REGISTERED == {}


def test_an_at_sign_inside_an_entry_begins_no_other():
    text = "@misc{one,\n  author = {A},\n  year = {2000},\n  title = {\n@misc{two,\n}},\n}"
    assert [one.key for one in parse(text)] == ["one"]


def test_names_of_benchmarks_may_be_patterns():
    one = Reference("a", "", ("gmm40-jax*", "HMC"))
    assert one.belongs_to({"gmm40-jax-d50"})
    assert not one.belongs_to({"gmm40-fab", "RegionalHMC"})


def test_the_command(tmp_path, capsys):
    draws = Draws(torch.zeros(2, 4, 2), attrs={"sampler": "MALA", "target": "banana"})
    path = draws.save(tmp_path / "draws.nc")
    assert main(["cite", str(path)]) == 0
    assert capsys.readouterr().out == draws.cite()
    assert main(["cite", str(tmp_path / "none.nc")]) == 2
    assert "does not exist" in capsys.readouterr().err
