"""What is printed, and what notebooks show: short, whole, and safe."""

import math
import pickle
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pandas as pd
import pytest
import torch

import samplers
import targets
from samplers import AIS, DDS, HMC, MALA, SMC, SVGD, Certificate, Draws, LogZ, WalkJump
from samplers.adaptation.metrics import LowRank
from samplers.draws import LogRatio, html
from samplers.draws.brief import Brief, in_full
from samplers.draws.wide import Wide
from samplers.draws.wording import in_words, plus_minus, terminal_width, wrapped
from samplers.generative import ScoreDiffusion
from samplers.runs.header import plain

# Samplers

IDENTITY = torch.eye(3)
LOW_RANK = LowRank(torch.ones(3), torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([4.0]))


@pytest.mark.parametrize(
    ("sampler", "text"),
    [
        (HMC(), "HMC()"),
        (MALA(0.25), "MALA(step_size=0.25)"),
        (HMC(0.603597, IDENTITY), "HMC(step_size=0.6036, inverse_mass_matrix=tensor(3, 3))"),
        (HMC(metric="low-rank"), "HMC(metric='low-rank')"),
        (MALA(0.5, LOW_RANK), "MALA(step_size=0.5, inverse_mass_matrix=LowRank(dim=3, rank=1))"),
        (SMC(HMC(0.5, steps=4), moves=3), "SMC(kernel=HMC(step_size=0.5, steps=4), moves=3)"),
        (SMC(betas=30), "SMC(betas=<31 values from 0.0 to 1.0>)"),
        (SMC(tuple(HMC(0.1) for _ in range(9)), betas=9), "SMC(kernel=<9 HMC>, betas=<10 values from 0.0 to 1.0>)"),
        (AIS(path=targets.Gaussian), "AIS(path=Gaussian)"),
        (DDS(), "DDS()"),
        (DDS(steps=4, training=samplers.diffusion.Training()), "DDS(steps=4)"),
        (SVGD("imq"), "SVGD(kernel='imq')"),
        (WalkJump(sigma=0.5, kernel=MALA()), "WalkJump(sigma=0.5, kernel=MALA())"),
        (ScoreDiffusion(teacher=SMC(moves=3)), "ScoreDiffusion(teacher=SMC(moves=3))"),
        (ScoreDiffusion(teacher=(SMC(), {"draws": 9})), "ScoreDiffusion(teacher=(SMC(), {'draws': 9}))"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_sampler_shows_what_differs_from_its_defaults(sampler, text):
    assert repr(sampler) == text


def test_records_have_every_field_whatever_is_printed():
    full = (
        "HMC(step_size=0.5, inverse_mass_matrix='auto', metric=None, trajectory_length=None, steps=None, "
        "max_steps=1000, target_acceptance=0.9)"
    )
    assert in_full(HMC(0.5)) == full
    assert in_full((SMC(HMC(0.5)),)).startswith(f"(SMC(kernel={full}, base=None, ")
    assert in_full([HMC(0.5)]) == f"[{full}]"
    assert plain({"kernel": HMC(0.5), "steps": 3}) == {"kernel": full, "steps": 3}
    assert in_full({"kernel": HMC(0.5)}) == f"{{'kernel': {full}}}"
    assert in_full(HMC(0.1, torch.eye(2))) != in_full(HMC(0.1, 2 * torch.eye(2)))
    drawn = MALA(0.5).sample(targets.Gaussian([0.0]), chains=2, draws=5, warmup=0, seed=0)
    assert drawn.attrs["hyperparameters"] == {
        "step_size": 0.5,
        "inverse_mass_matrix": "auto",
        "metric": None,
        "target_acceptance": 0.574,
    }


@dataclass(frozen=True)
class Own(Brief):
    """A sampler of a user's own."""

    needed: int
    names: tuple[str, ...] = ("a",)
    more: dict = field(default_factory=dict)


def test_a_dataclass_of_ones_own():
    assert repr(Own(1)) == "Own(needed=1)"
    assert repr(Own(1, ("b",), {"a": 1})) == "Own(needed=1, names=('b',), more={'a': 1})"
    assert repr(Own(1, more={"key": "x" * 300})) == "Own(needed=1, more=dict(...))"


def test_samplers_within_samplers_give_way_where_there_is_no_room():
    inside = SMC(HMC(0.5, torch.eye(3), trajectory_length=1.5, max_steps=17), moves=3, conditional_ess=0.9)
    assert len(repr(ScoreDiffusion(teacher=inside))) <= 160
    outside = ScoreDiffusion(standardise="common", teacher=inside)
    assert repr(outside) == "ScoreDiffusion(standardise='common', teacher=SMC(...))"


# Draws


def gaussian(dim=1, **options):
    return targets.Gaussian(torch.zeros(dim, dtype=torch.float64), **options)


def of(chains, count, dim=1, target=None, **fields):
    x = torch.randn(chains, count, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Draws(x, target=target, **fields)


POSTERIOR = targets.Posterior(
    lambda **given: given["a"],
    {"a": targets.Real(), "theta": targets.Real(8), "omega": targets.CorrelationCholesky(3)},
    name="schools",
)


@pytest.mark.parametrize(
    ("draws", "text"),
    [
        (of(4, 5, 2), "Draws: 4 chains x 5 draws of x[2]\nno warnings; summary() tells more"),
        (
            of(1, 5000, 12, POSTERIOR, attrs={"sampler": "HMC"}, divergences=torch.tensor([0])),
            "Draws by HMC from schools: 1 chain x 5,000 draws of a, theta[8], omega[3, 3]\n"
            "no divergences; no warnings; summary() tells more",
        ),
        (
            of(1, 50, 1, gaussian(), attrs={"kind": "independent draws"}, log_z=LogZ(0.5, 0.01)),
            "Draws from Gaussian: 50 draws of x[1]\nlog Z 0.500 +- 0.010; no warnings; summary() tells more",
        ),
        (
            of(1, 50, 1, gaussian(), attrs={"kind": "interacting particles", "sampler": "SVGD"}),
            "Draws by SVGD from Gaussian: 50 particles of x[1]\nno warnings; summary() tells more",
        ),
        (
            of(1, 50, 1, log_weights=torch.zeros(1, 50), divergences=torch.tensor([1])).remember(["a", "b"]),
            "Draws: 50 weighted points of x[1]\n1 divergence; 2 warnings: a",
        ),
        (
            of(2, 50, 1, divergences=torch.tensor([1000, 234])).remember(["word " * 40]),
            "Draws: 2 chains x 50 draws of x[1]\n1,234 divergences; 1 warning: " + "word " * 13 + "...",
        ),
    ],
    ids=range(6),
)
def test_draws_are_two_lines(draws, text):
    assert repr(draws) == str(draws) == text
    assert max(map(len, text.splitlines())) <= 100


def test_the_verdict_of_draws_is_that_of_their_certificate_once_it_is_made():
    draws = of(4, 5)
    draws.__dict__["certificate"] = Certificate()
    assert repr(draws).splitlines()[1] == "no warnings; certificate: not judged"
    draws.__dict__["certificate"] = Certificate(doubts=("mass is missed", "log Z is too low"))
    draws.remember(["mass is missed", "the run was short"])
    assert repr(draws).splitlines()[1] == "3 warnings: mass is missed"


def test_draws_of_moments_alone_say_so():
    draws = MALA(0.5).sample(gaussian(2), chains=3, draws=50, warmup=0, seed=0, keep="moments")
    text = "Draws by MALA from Gaussian: running moments of 150 draws, and the last of 3 chains, of x[2]"
    assert repr(draws).splitlines()[0] == text


def test_targets_say_what_their_variables_are():
    assert repr(POSTERIOR) == f"schools(dim={POSTERIOR.dim}: a, theta[8], omega[3, 3])"
    many = targets.Posterior(lambda **given: given["p0"], {f"p{i}": targets.Real() for i in range(10)})
    assert repr(many) == "Posterior(dim=10: p0, p1, p2, p3, p4, p5, p6, p7 and 2 more)"
    assert repr(gaussian(2)) == "Gaussian(dim=2)"


def test_fitted_samplers_are_two_lines():
    fitted = DDS(steps=4, prior="gaussian").fit(targets.Gaussian([0.0, 0.0]), iterations=2, seed=0)
    first, second = repr(fitted).splitlines()
    assert first == "DDS(steps=4, prior='gaussian') fitted to Gaussian(dim=2), 2 iterations"
    assert second.startswith("log Z ")
    assert "of 2,000 paths, Pareto k-hat" in second
    assert repr(replace(fitted, evaluation=None)) == first


# Log Z


def test_log_z_is_printed_by_its_error():
    assert repr(LogZ(-18.291396, 0.1021)) == "LogZ(-18.29 +- 0.10)"
    assert str(LogZ(0.4561, 0.0031)) == "log Z 0.4561 +- 0.0031"
    assert str(LogZ(0.4561, 0.0031, estimates=(0.4,))) == "log Z 0.4561 +- 0.0031"
    assert str(LogZ(0.4561, 0.0031, estimates=(0.4,) * 3)) == "log Z 0.4561 +- 0.0031, from three independent estimates"
    assert str(LogZ(1.0, 0.1, lower=0.91, upper=1.13)) == "log Z 1.00 +- 0.10; lower bound 0.91; upper bound 1.13"
    assert repr(LogZ(1.0, math.nan)) == "LogZ(1, of unknown error)"


def test_the_difference_of_two_log_z_has_the_error_of_both():
    a, b = LogZ(-1.5, 0.03), LogZ(-3.0, 0.04)
    assert a - b == LogRatio(1.5, 0.05)
    assert b - a == LogRatio(-1.5, 0.05)
    assert a - 1 == LogRatio(-2.5, 0.03)
    assert 1.0 - a == LogRatio(2.5, 0.03)
    assert math.isnan((a - LogZ(0.0, math.nan)).standard_error)
    assert (str(a - b), repr(a - b)) == ("log (Z / Z') 1.500 +- 0.050", "LogRatio(1.500 +- 0.050)")


def test_the_error_of_a_difference_is_the_spread_of_differences():
    generator = torch.Generator().manual_seed(0)
    ends = torch.tensor([0.3, 0.4], dtype=torch.float64) * torch.randn(
        20_000, 2, generator=generator, dtype=torch.float64
    )
    error = (LogZ(0.0, 0.3) - LogZ(0.0, 0.4)).standard_error
    spread = float((ends[:, 0] - ends[:, 1]).std())
    assert abs(spread / error - 1) < 4 / math.sqrt(2 * 20_000)


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (None, TypeError, "log_z: got None, as of draws that state no log Z, expected a LogZ"),
        ("3", TypeError, "log_z: got str, expected a LogZ, or a number"),
        (True, TypeError, "log_z: got bool"),
        (LogZ(-math.inf, 0.1), ArithmeticError, "log_z: got -inf, expected a finite value"),
        (LogZ(math.nan, 0.1), ArithmeticError, "log_z: got nan"),
        (math.inf, ArithmeticError, "log_z: got inf"),
    ],
)
def test_what_has_no_difference(other, error, message):
    with pytest.raises(error, match=message):
        LogZ(1.0, 0.1) - other
    with pytest.raises(error, match=message):
        other - LogZ(1.0, 0.1)


def test_an_estimate_is_not_taken_from_itself():
    one = LogZ(1.0, 0.1)
    with pytest.raises(ArithmeticError, match="got one estimate twice, expected those of two runs"):
        one - one


def test_a_difference_of_runs_is_a_bayes_factor():
    wide, narrow = (
        SMC().sample(targets.LogDensity(lambda x, s=s: -0.5 * (x / s).square().sum(-1), 1), draws=500, seed=seed)
        for s, seed in ((3.0, 0), (1.0, 1))
    )
    found = wide.log_z - narrow.log_z
    assert abs(found.value - math.log(3)) < 4 * found.standard_error < 0.5


def test_certificates_are_short():
    assert repr(Certificate()) == "Certificate(not judged)"
    assert repr(Certificate(log_z=0.5, standard_error=0.01, doubts=("a",))) == (
        "Certificate(doubtful, 1 doubt, log Z 0.500 +- 0.010)"
    )


# Tables


def test_a_summary_is_printed_with_all_its_columns(monkeypatch):
    table = of(4, 200, 2, gaussian(2)).summary()
    for columns in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        for text in (repr(table), str(table), repr(table.copy()), repr(table.round(1))):
            assert max(map(len, text.splitlines())) <= columns
            assert all(column in text for column in table.columns)
            assert "..." not in text
    assert len(repr(table).splitlines()) == 3
    assert table["mean"].shape == (2,)
    assert isinstance(pickle.loads(pickle.dumps(table)), Wide)
    assert all(str(column) in table._repr_html_() for column in table.columns)


def test_printing_a_summary_leaves_pandas_options_alone():
    before = {name: pd.get_option(f"display.{name}") for name in ("width", "max_columns", "max_rows")}
    repr(of(4, 200, 2, gaussian(2)).summary())
    assert before == {name: pd.get_option(f"display.{name}") for name in before}


def test_a_long_summary_leaves_out_rows_as_pandas_does():
    assert "[300 rows x 2 columns]" in repr(Wide({"a": range(300), "b": 0}))
    assert len(Wide({"a": range(300)}).in_lines().splitlines()) == 301


# Words


def test_words():
    assert [in_words(n) for n in (1, 3, 12, 13, 1234)] == ["one", "three", "twelve", "13", "1,234"]
    assert plus_minus(0.4561, 0.0031) == "0.4561 +- 0.0031"
    assert wrapped("ab cd ef\n  gh ij kl", 7) == "ab cd\n  ef\n  gh ij\n    kl"


def test_lines_are_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    assert terminal_width() == 77


# HTML

EVIL = "<script>alert('x')</script>&\""


class Checked(HTMLParser):
    """Every tag is closed, and nothing comes from elsewhere or is run."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.text = [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert tag in {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
        for name, value in attributes:
            assert name in {"style", "scope"}
            assert "url" not in value
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def shown(value):
    """The text of what a notebook shows."""
    return Checked(value._repr_html_()).text


def test_draws_in_a_notebook():
    draws = of(4, 5, 1, gaussian(name=EVIL), attrs={"sampler": EVIL}, log_z=LogZ(0.5, 0.01)).remember([EVIL])
    draws.__dict__["certificate"] = Certificate(log_z=0.5, standard_error=0.01, own=(0.5, 0.01), doubts=(EVIL,))
    text = shown(draws)
    assert text.count(EVIL) == 4
    assert "points4 chains x 5 drawsvariablesx[1]log Z0.500 +- 0.010cost0 log-densities, 0 scores, 0.0 s" in text
    assert "The run has warned:" in text


def test_names_of_variables_are_escaped():
    target = targets.LogDensity(lambda x: -x.square().sum(-1), 1, name="line")
    target.constrain = lambda x: {EVIL: x}
    named = type("Named", (targets.LogDensity,), {"variables": {EVIL: targets.Variable((1,))}})
    draws = of(2, 5, 1, named(lambda x: -x.square().sum(-1), 1))
    assert EVIL in shown(draws)
    assert "<script>" not in draws._repr_html_()


def test_log_z_and_certificates_in_a_notebook():
    assert shown(LogZ(0.5, 0.01)) == "log Z 0.500 +- 0.010"
    assert shown(LogZ(0.5, 0.01) - 0.25) == "log (Z / Z') 0.250 +- 0.010"
    certificate = Certificate(log_z=0.5, standard_error=0.01, own=(0.5, 0.01), regions=2, held=0.9, doubts=(EVIL, "b"))
    text = shown(certificate)
    before = f"Certificate: doubtfulWhat speaks against the draws:{EVIL}.B."
    assert text.startswith(f"{before}Log Z 0.500 +- 0.010, from one estimate, the sampler's. Scouts that share")


def test_pieces_of_html():
    assert html.facts({"a": ""}) == html.listed(()) == html.paragraph("") == ""
    table = html.table(["<a>", "b"], [["<1>", "2"]], [True, False])
    assert Checked(table).text == "<a>b<1>2"
    assert "text-align: left" in table.split("</th>")[0]
    assert "text-align: right" in table.split("</th>")[1]
    assert "color:" not in table.replace("background-color", "")  # those of the page, whether light or dark
