"""The report of a comparison: what stands on the page, without a browser."""

import base64
import math
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import report_cases as cases
import torch

import targets
from samplers import Draws
from samplers.compare import Comparison
from samplers.compare.columns import COLUMNS, TOPICS, topics
from samplers.compare.distances import distances
from samplers.compare.report.best import best
from samplers.compare.report.convergence import curve
from samplers.compare.report.figures.autocorrelation import correlations
from samplers.compare.report.html import page as page_of
from samplers.compare.report.standings import entry
from samplers.compare.report.style import power, wrapped

EVIL = "<script>alert(1)</script>"
PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text outside of styles and scripts."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self._inside = [], "", ""
        self.source = path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data):
        if self._inside not in ("style", "script"):
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A plane with two modes and eight schools, some of whose names are nasty."""
    plane = targets.GaussianMixture(
        torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), scales=0.5, weights=torch.tensor([0.3, 0.7])
    )
    given = {"two modes": plane, "a/b & <c>": targets.benchmark("funnel10-std3")}
    samplers = {
        "good": cases.exact,
        EVIL: cases.shifted,
        "$stuck_1": cases.stuck,
        "_weighted": cases.weighted,
        "at once": cases.at_once,
        "broken": cases.failed,
    }
    return cases.stored(tmp_path_factory.mktemp("stored"), given, samplers, seeds=2, draws=120)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    return result.report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(folder):
    return Page(folder / "index.html")


def test_nothing_on_the_page_comes_from_elsewhere(page):
    for tag, attrs in page.tags:
        if tag in ("img", "link", "script", "iframe", "source"):
            place = attrs.get("src") or attrs.get("href") or "data:"
            assert place.startswith("data:"), (tag, place[:80])
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert not re.search(r"https?://", page.source)


def test_every_figure_is_in_the_page_and_beside_it(folder, page):
    files = {path.read_bytes() for path in (folder / "figures").glob("*.png")}
    shown = {base64.b64decode(image["src"].partition(",")[2]) for image in page.all("img")}
    assert files == shown
    assert all(data.startswith(PNG) for data in files)
    assert len(files) == 8 + 7  # all but the pair in the plane; no plane and no modes in ten dimensions
    for image in page.all("img"):
        assert image["alt"]
        assert image["decoding"] == "async"
        assert int(image["width"]) > 500


def test_links_lead_to_files(folder, page, result):
    from urllib.parse import unquote

    places = {unquote(link["href"]) for link in page.all("a") if not link["href"].startswith("#")}
    assert all((folder / place).is_file() for place in places)
    draws = [place for place in places if place.endswith(".nc")]
    assert len(draws) == len(result.draws) == 2 * 5 * 2
    assert Draws.load(folder / sorted(draws)[0]).x.shape[-1] in (2, 10)
    named = {link["id"] for _, link in page.tags if "id" in link}
    assert {link["href"][1:] for link in page.all("a") if link["href"].startswith("#")} <= named


def test_names_are_text(page):
    assert EVIL not in page.source
    assert EVIL in page.text
    assert "a/b & <c>" in page.text
    assert "it did not work" in page.text


def test_the_table_is_the_comparisons(folder, result):
    read = pd.read_csv(folder / "table.csv")
    assert list(read["sampler"]) == list(result.table["sampler"])
    np.testing.assert_allclose(read["ess_bulk"], result.table["ess_bulk"])


def test_verdicts_are_on_the_page(page, result):
    for verdict in result.verdicts.values():
        assert verdict.conclusion in page.text
        for said in verdict.faults.values():
            assert all(text in page.text for text in said)


def test_the_first_lines_praise_nobody(page, result, tmp_path):
    def lede(page):
        return re.search(r'<p class="lede">(.*?)</p>', page.source, re.DOTALL).group(1)

    assert lede(page).endswith("with 2 seeds each. 4 of them failed, and say so in the table.")
    plane = {"plane": targets.Gaussian(torch.zeros(2, dtype=torch.float64))}
    shown = cases.stored(tmp_path, plane, {"good": cases.exact}).report(tmp_path / "report")
    assert lede(Page(shown / "index.html")) == "One run: good on plane, with seed 0."


@pytest.mark.slow
def test_the_log_z_to_believe_is_on_the_page(tmp_path):
    plane = targets.GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), scales=0.5)

    class Secret(targets.LogDensity):
        sample = staticmethod(plane.sample)

    given = {"secret": Secret(plane.log_prob, 2, dtype=plane.dtype)}
    result = cases.stored(tmp_path, given, {"one": cases.at_once, "two": cases.exact}, seeds=2)
    text = Page(result.report(tmp_path / "report") / "index.html").text
    assert "one and two agree with one another, which is no proof: nothing exact is known here" in text
    assert re.search(r"log Z to believe: .* from (two|three|four) independent estimates, by one \(2 runs\)", text)
    assert "What a search that shares nothing with a run says of its draws and of log Z." in text
    assert "Scouts that share nothing with the sampler found 2 regions" in text


@pytest.mark.slow
def test_made_again_from_the_folder_it_is_the_same(folder, result, tmp_path):
    again = Comparison.load(result.store.folder)
    assert again.report(tmp_path) == tmp_path
    assert (tmp_path / "table.csv").read_bytes() == (folder / "table.csv").read_bytes()
    assert (tmp_path / "index.html").read_text() == (folder / "index.html").read_text()


@pytest.mark.slow
def test_in_its_own_folder_the_draws_stay_where_they_are(result, tmp_path):
    shutil.copytree(result.store.folder, tmp_path / "own")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "own").rglob("*.nc")}
    Comparison.load(tmp_path / "own").report(tmp_path / "own")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "own").rglob("*.nc")} == before
    assert (tmp_path / "own" / "index.html").exists()


def test_published_figures_stand_beside_ours(result):
    published = {
        "target": "a/b & <c>",
        "quantity": "log_z_error",
        "method": "<b>FAB</b>",
        "variant": "v",
        "source": "s",
    }
    for value, ahead in ((1e9, True), (-1.0, False)):
        grid = {**result.grid, "published": [{**published, "value": value}]}
        source = page_of(Comparison(result.store, grid), dict.fromkeys(result.grid["targets"], ()), {}, {})
        section = source[source.index('id="published"') :]
        section = section[: section.index("</section>")]
        assert "&lt;b&gt;FAB&lt;/b&gt;" in section
        cells = section.partition("<tbody>")[2].split("<td")
        assert ["★" in cell for cell in cells[1:6]] == [False, False, ahead, False, not ahead]
        assert cells[2] == (">ahead</td>\n" if ahead else ">behind</td>\n")
        behind = (
            "1 of 1 published figures is ahead of ours: &lt;b&gt;FAB&lt;/b&gt; on a/b &amp; &lt;c&gt; (mean size of the"
        )
        assert ("No published figure is ahead of ours." if ahead else behind) in section
    plain = page_of(result, dict.fromkeys(result.grid["targets"], ()), {}, {})
    assert "Beside published" not in plain


def test_one_target_and_one_sampler(tmp_path):
    line = {"line": targets.Gaussian(torch.zeros(1, dtype=torch.float64))}
    folder = cases.stored(tmp_path / "stored", line, {"only": cases.exact}, draws=60).report(tmp_path / "report")
    page = Page(folder / "index.html")
    assert "1 sampler on 1 target" in page.text
    assert len(page.all("img")) == 5  # marginals, energy, convergence, ranks, autocorrelation


def test_all_failed(tmp_path):
    given = {"plane": targets.Gaussian(torch.zeros(2))}
    result = cases.stored(tmp_path / "stored", given, {"broken": cases.failed, "also": cases.failed})
    page = Page(result.report(tmp_path / "report") / "index.html")
    assert "2 of them failed" in page.text
    assert "there is nothing to show" in page.text


@pytest.mark.slow
def test_draws_that_never_move_or_are_few(tmp_path):
    def still(target, x, draws):
        return Draws(x[:, :1].expand(-1, draws, -1).clone())

    def one(target, x, draws):
        return Draws(x[:, :1].clone())

    given = {"plane": targets.Gaussian(torch.zeros(2, dtype=torch.float64))}
    result = cases.stored(tmp_path / "stored", given, {"still": still, "one": one, "good": cases.exact}, draws=60)
    assert (result.report(tmp_path / "report") / "index.html").exists()


def test_spins(tmp_path):
    spins = targets.Ising((3, 3), coupling=0.3)

    def coins(target, x, draws):
        return Draws(x)

    if "sample" not in spins.known:
        pytest.skip("no exact spins here")
    folder = cases.stored(tmp_path / "stored", {"spins": spins}, {"coins": coins}, draws=60).report(tmp_path / "report")
    assert "pair" not in " ".join(path.name for path in (folder / "figures").iterdir())


ROW = {
    "chains": 4,
    "draws": 4000,
    "variables": 2,
    "ess_bulk": 1000.0,
    "log_z": 0.0,
    "log_z_true": 0.0,
    "log_z_se": 0.1,
    "r_hat": 1.0,
    "error": "",
}


def runs(name, *values, **others):
    return [ROW | {name: value} | others for value in values]


def test_the_best_by_hand():
    """Means 100, 96, 78; standard errors between three seeds 10 / sqrt(3) = 5.77 each; of the differences 8.16."""
    given = {"a": runs("ess_bulk", 90, 100, 110), "b": runs("ess_bulk", 86, 96, 106), "c": runs("ess_bulk", 68, 78, 88)}
    assert best("ess_bulk", given, set("abc")) == {"a", "b"}  # 4 < 16.33 < 22
    assert best("ess_bulk", given, set("bc")) == {"b"}  # a has a fault
    assert best("ess_bulk", given, set()) == set()  # all have one
    given["c"] = runs("ess_bulk", 75, 85, 95)  # 15 < 16.33
    assert best("ess_bulk", given, set("abc")) == set()  # all are tied


def test_the_best_of_single_runs_by_hand():
    given = {"a": runs("ess_bulk", 1000), "b": runs("ess_bulk", 951), "c": runs("ess_bulk", 949)}
    assert best("ess_bulk", given, set("abc")) == {"a", "b"}
    # |error| 0.05, 0.30, 0.40 with 0.1, 0.1, 0.2: differences 0.25 and 0.35, twice the errors 0.28 and 0.45
    given = {"a": runs("log_z", 0.05), "b": runs("log_z", -0.3), "c": runs("log_z", 0.4, log_z_se=0.2)}
    assert best("log_z", given, set("abc")) == set()
    given["d"] = runs("log_z", 0.35)
    assert best("log_z", given, set("abcd")) == {"a", "b", "c"}
    assert best("log_z", given, set()) == {"a", "b", "c"}  # errors are compared even where all have a fault
    given = {"a": runs("r_hat", 1.001), "b": runs("r_hat", 1.009), "c": runs("r_hat", 1.02)}
    assert best("r_hat", given, set("abc")) == {"a", "b"}
    given = {
        "a": runs("w2", 1.0, w2_floor=0.9, w2_highest=1.0),  # excess 0.1, error 0.1
        "b": runs("w2", 2.0, w2_floor=1.8, w2_highest=1.9),  # excess 0.2, error 0.1
        "c": runs("w2", 1.5, w2_floor=0.9, w2_highest=1.0),  # excess 0.6
    }
    assert best("w2", given, set("abc")) == {"a", "b"}
    assert best("truth", given, set("abc")) == set()


def test_entries():
    assert entry("sd_error", runs("sd_error", -0.1, -0.2)).text == "\N{MINUS SIGN}15.0%"
    assert entry("sd_error", runs("sd_error", -0.1, 0.2)).text == "15.0%"
    assert entry("sd_error", runs("sd_error", 0.1, 0.2)).spread == "± 7.1%"
    assert entry("r_hat", runs("r_hat", math.nan)).text == "\N{EN DASH}"
    assert entry("mode_r_hat", runs("mode_r_hat", math.inf)).text == "∞"
    assert entry("pareto_k", runs("pareto_k", -math.inf)).text == "equal"
    one = ROW | {"worst_mode_true": 0.5}
    worst = [one | {"worst_mode": 0.1, "mode_error_se": 1.0}, one | {"worst_mode": 0.3, "mode_error_se": 9.0}]
    assert entry("worst_mode", worst).text == "0.300"


def test_faults():
    def fault(name, given):
        return entry(name, given).fault

    assert "do not agree" in fault("r_hat", runs("r_hat", 1.0, 1.5))
    assert fault("r_hat", runs("r_hat", 1.01, math.nan)) == ""
    assert "tails too heavy" in fault("pareto_k", runs("pareto_k", 0.8))
    assert "5.0 times" in fault("log_z", runs("log_z", 0.5))
    assert "it states no error" in fault("log_z", runs("log_z", 2.0, log_z_se=math.nan))
    assert "few effective" in fault("ess_bulk", runs("ess_bulk", 399.0))
    assert fault("seconds", runs("seconds", 1e9)) == ""


def test_convergence_by_hand():
    """Two chains of 8 draws of x = 1, truth 0 with sd 2: error 0.5; 4 warmup steps of 12 cost a third."""
    values = {"x": np.ones((2, 8))}
    found = curve(values, None, 1200, {"warmup": 4, "draws": 8, "thin": 1}, {"x": (0.0, 2.0)}, markov=True)
    assert found.error == pytest.approx(0.5)
    assert found.evaluations[0] == pytest.approx(400 + 800 * 4 / 8)
    assert found.evaluations[-1] == pytest.approx(1200)
    single = curve(values, None, 1200, {}, {"x": (0.0, 2.0)}, markov=False)
    assert (single.evaluations, single.error) == (1200, 0.5)


def test_autocorrelation_is_about_the_mean_of_all_chains():
    x = np.random.default_rng(0).normal(size=(4, 400))
    rho = correlations(x)
    far = x - x.mean()
    assert rho[3] == pytest.approx((far[:, 3:] * far[:, :-3]).mean() / far.var(), rel=1e-6)
    assert correlations(x + 100 * np.arange(4)[:, None])[50] > 0.99  # chains that stay apart


def test_every_column_has_a_title_and_a_topic():
    """Those that name a line stand before it, `error` in its place."""
    without = [name for name, column in COLUMNS.items() if not column.topic]
    assert without == ["target", "sampler", "seed", "error"]
    assert {column.topic for column in COLUMNS.values()} == {"", *TOPICS}
    for name, column in COLUMNS.items():
        assert column.name == name
        assert column.title
        assert column.help or not column.topic, f"{name} does not say what it means"
        assert column.show(math.nan) == "-"
        assert column.words or column.show(3) != "-"
        if column.truth:
            assert column.truth in COLUMNS
    overview, *placed = topics({name: column for name, column in COLUMNS.items() if column.topic}).values()
    assert sorted(name for own in placed for name in own) == sorted(COLUMNS.keys() - set(without))
    assert set(overview) < set(COLUMNS)


def test_every_measure_that_a_column_reads_is_measured(result):
    """All that is known of a column is in one place: nothing else names a measure that it reads but the measures."""
    rows = [row for row in result.rows if not row["error"]]
    measured = set().union(*rows) | set(distances(result.draws[result.rows[0]["target"], "good", 0], 0.0))
    measured.add("search_share")  # of a budget, which none of these has
    for name, column in COLUMNS.items():
        assert name in measured
        for read in (column.truth, column.floor, column.of_worst):
            assert not read or read in measured, f"{name} reads {read}, which nobody measures"


def test_labels():
    assert [power(value) for value in (0.02, 1, 20_000, 1e6, 2e7, 1e-5)] == [
        "0.02",
        "1",
        "20,000",
        "10⁶",
        "2·10⁷",
        "10⁻⁵",
    ]
    assert wrapped("a very long name of a sampler", 12).count("\n") == 2


# Printed, and in a notebook


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_a_comparison_is_printed_in_the_width_of_the_terminal(result, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = str(result).splitlines()
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    assert "Not shown: " in text
    assert all(
        title in text for title in ("two modes", "R-hat", "(`--columns all` of the command, `.table` in Python)")
    )
    assert text == " ".join(result.text(width=columns).split())


def test_a_comparison_is_one_line_where_it_is_not_printed(result):
    rows = result.rows
    failed = sum(bool(row["error"]) for row in rows)
    count = len({row["sampler"] for row in rows})
    assert repr(result) == f"Comparison({len(rows)} runs of {count} samplers on 2 targets, {failed} failed)"


def test_a_comparison_in_a_notebook_is_safe(result, tmp_path):
    whole = result._repr_html_() + "".join(one._repr_html_() for one in result.verdicts.values())
    (tmp_path / "shown.html").write_text(whole)
    shown = Page(tmp_path / "shown.html")
    assert EVIL in shown.text
    assert "a/b & <c>" in shown.text
    tags = {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert {tag for tag, _ in shown.tags} <= tags
    assert all(one.conclusion in shown.text for one in result.verdicts.values())
    assert "Not shown: " in shown.text
