"""Signs of life: a bar on a terminal and in a notebook, a line a minute elsewhere, and how long it will take."""

import sys
import types

import pytest

import samplers
import targets
from samplers.runs import progress
from samplers.runs.progress import Progress, duration


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


class Asked:
    """A run that may be asked how long it will take."""

    def __init__(self, foretold=True, seconds_left=float("inf"), settled=True):
        self.foretold, self.seconds_left, self.settled = foretold, seconds_left, settled


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def steps(bar, clock, count, seconds):
    for _ in range(count):
        clock.now += seconds
        bar.advance(lambda: "acceptance 0.80")


def test_without_a_terminal_there_is_a_line_a_minute(clock, capsys):
    bar = Progress(1000, 0, None, "HMC on line")
    steps(bar, clock, 240, 0.5)  # two minutes
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "HMC on line: about 8 minutes for 995 steps",
        "HMC on line: 120 of 1,000 steps, about 7 minutes left; acceptance 0.80",
        "HMC on line: 240 of 1,000 steps, about 6 minutes left; acceptance 0.80",
    ]


def test_a_short_run_says_nothing(clock, capsys):
    steps(Progress(100, 0, None, "HMC on line"), clock, 100, 0.25)
    assert capsys.readouterr().err == ""


def test_a_run_whose_end_is_not_known_says_how_far_it_is(clock, capsys):
    steps(Progress(None, 0, None, "SMC on line", "temperatures"), clock, 2, 45)
    assert capsys.readouterr().err == "SMC on line: 2 temperatures; acceptance 0.80\n"


def test_nothing_is_said_where_progress_is_false(clock, capsys):
    steps(Progress(1000, 0, False, "HMC on line", "steps", Asked()), clock, 500, 1.0)
    assert capsys.readouterr().err == ""


def test_a_long_training_says_beforehand_how_long_it_will_take(clock, capsys):
    steps(Progress(4000, 0, None, "DDS on funnel", "iterations", Asked()), clock, 30, 0.1)
    assert capsys.readouterr().err == "DDS on funnel: about 7 minutes for 3,979 iterations\n"


def test_the_first_iteration_which_compiles_does_not_count(clock, capsys):
    bar = Progress(300, 0, None, "DDS on funnel", "iterations", Asked())
    clock.now += 50
    bar.advance(lambda: "")
    steps(bar, clock, 30, 0.1)
    assert capsys.readouterr().err == ""  # half a minute of which nothing is left to say


def test_a_continued_training_tells_of_what_is_left(clock, capsys):
    steps(Progress(4000, 2000, None, "DDS on funnel", "iterations", Asked()), clock, 30, 0.1)
    assert capsys.readouterr().err == "DDS on funnel: about 3 minutes for 1,979 iterations\n"


def test_minutes_that_end_it_earlier_are_told(clock, capsys):
    steps(Progress(4000, 0, None, "DDS on funnel", "iterations", Asked(seconds_left=120)), clock, 30, 0.1)
    said = "DDS on funnel: 2 minutes as asked, in which about 1,199 of 3,979 iterations\n"
    assert capsys.readouterr().err == said


def test_the_time_of_a_run_whose_end_is_not_known_is_told(clock, capsys):
    steps(Progress(None, 0, None, "HMC on funnel", "steps", Asked(seconds_left=120)), clock, 30, 0.1)
    assert capsys.readouterr().err == "HMC on funnel: 2 minutes as asked, in which about 1,199 steps\n"


def test_beside_a_bar_only_a_training_says_it(clock, capsys):
    for foretold in (True, False):
        bar = Progress(4000, 0, True, "DDS on funnel", "iterations", Asked(foretold))
        steps(bar, clock, 30, 0.1)
        bar.close()
        assert ("about 7 minutes for 3,979 iterations\n" in capsys.readouterr().err) == foretold


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = Progress(10, 0, None, "HMC on line")
    bar.advance(lambda: "acceptance 0.80")
    bar.close()
    assert "1/10 [" in capsys.readouterr().err


def test_a_notebook_has_a_bar_without_widgets(monkeypatch, capsys):
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    bar = Progress(10, 0, None, "HMC on line")
    bar.advance(lambda: "acceptance 0.80")
    bar.close()
    said = capsys.readouterr().err
    assert "1/10 [" in said
    assert "IProgress" not in said
    del shell.kernel  # a terminal of IPython, whose stderr is none here
    assert not progress.in_notebook()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"),
        (45, "45 seconds"),
        (89, "89 seconds"),
        (90, "2 minutes"),
        (420, "7 minutes"),
        (5399, "90 minutes"),
        (5400, "1.5 hours"),
        (86_400, "24.0 hours"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_fit_foretells_and_chains_do_not(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SPELL", 0.0)
    monkeypatch.setattr(progress, "ALIKE", float("inf"))
    monkeypatch.setattr(progress, "LONG", 0.0)
    target = targets.Gaussian([0.0, 0.0])
    samplers.DDS(steps=4, prior="gaussian").fit(target, iterations=5, progress=True)
    assert "DDS on Gaussian: about 0 seconds for 2 iterations" in capsys.readouterr().err
    samplers.MALA(0.5).sample(target, chains=2, draws=5, warmup=0, progress=True)
    assert "about" not in capsys.readouterr().err


def test_slow_first_steps_do_not_count(clock, capsys):
    """Ten seconds of steps that take 1 s and get faster: 35 minutes would be foretold of what takes 4."""
    bar = Progress(2400, 0, None, "HMC on line")
    for seconds in (1.0, 0.75, 0.5, 0.35, 0.25, 0.15):
        steps(bar, clock, round(1.05 / seconds) + 1, seconds)
    assert capsys.readouterr().err == ""
    steps(bar, clock, 40, 0.1)
    assert capsys.readouterr().err == "HMC on line: about 4 minutes for 2,355 steps\n"


def test_nothing_is_foretold_before_a_run_has_settled(clock, capsys):
    job = Asked(settled=False)
    bar = Progress(4000, 0, None, "HMC on line", "steps", job)
    steps(bar, clock, 100, 0.1)
    assert capsys.readouterr().err == ""
    job.settled = True
    steps(bar, clock, 20, 0.1)
    assert capsys.readouterr().err.startswith("HMC on line: about 6 minutes for 3,8")


def test_later_lines_go_by_the_last_half_minute(clock, capsys):
    bar = Progress(1000, 0, None, "HMC on line")
    steps(bar, clock, 30, 1.0)
    steps(bar, clock, 70, 0.5)
    assert "about 8 minutes left" in capsys.readouterr().err.splitlines()[-1]
