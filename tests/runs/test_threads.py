"""The number of threads of torch in a run: put back, chosen by size and by time, never at the price of a bit."""

import signal
import types

import pytest
import torch

import targets
from samplers import MALA
from samplers.runs import threads as module
from samplers.runs.threads import SMALL, Threads

TARGET = targets.Gaussian(torch.zeros(2))
SHORT = {"chains": 4, "draws": 12, "warmup": 5, "seed": 1, "init": torch.zeros(4, 2), "progress": False}


@pytest.fixture(autouse=True)
def two_threads():
    """Torch has two threads where a run begins; how many cores there are does not matter."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Noting(targets.Target):
    """A Gaussian that notes with how many threads it is asked, and does something at its n-th evaluation."""

    def __init__(self, at=None, what=None):
        super().__init__(2, name="noting")
        self.seen, self.at, self.what = [], at, what

    def log_prob(self, x):
        return self.log_prob_and_score(x)[0]

    def log_prob_and_score(self, x):
        self.seen.append(torch.get_num_threads())
        if len(self.seen) == self.at:
            self.what()
        return TARGET.log_prob_and_score(x)


@pytest.mark.parametrize(("asked", "expected"), [(None, 1), (1, 1), (2, 2), (3, 3)])
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_a_run_of_small_tensors_has_one_thread_or_what_is_asked_for(asked, expected):
    target = Noting()
    draws = MALA(0.3).sample(target, **SHORT, threads=asked)
    assert set(target.seen[-12:]) == {expected}
    assert draws.attrs["threads"] == expected
    assert torch.get_num_threads() == 2
    plain = MALA(0.3).sample(TARGET, **SHORT, threads=1)
    assert torch.equal(draws.x, plain.x)
    assert (draws.cost.log_prob, draws.cost.score) == (plain.cost.log_prob, plain.cost.score)


@pytest.mark.parametrize("threads", [None, 1, 3, "measured"])
@pytest.mark.parametrize("what", ["error", "Ctrl-C", "Ctrl-C twice"])
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_the_count_is_put_back_however_a_run_ends(threads, what):
    def end():
        if what == "error":
            raise RuntimeError("stopped")
        for _ in range(1 if what == "Ctrl-C" else 2):
            signal.raise_signal(signal.SIGINT)

    run = lambda: MALA(0.3).sample(Noting(12, end), **SHORT, threads=threads)  # noqa: E731
    if what == "error":
        with pytest.raises(RuntimeError, match="stopped"):
            run()
    else:
        run()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "all"])
def test_other_counts_are_refused(bad):
    with pytest.raises(ValueError, match="threads: got "):
        MALA(0.3).sample(TARGET, **SHORT, threads=bad)


@pytest.fixture
def taking(monkeypatch):
    """Makes steps that take as many seconds as are stated for the count that torch has, and give that count."""
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)

    def made(seconds):
        def step():
            clock.now += seconds[torch.get_num_threads()]
            return torch.get_num_threads()

        return step

    return made


@pytest.mark.parametrize(("every", "chosen"), [(0.5, 2), (0.89, 2), (0.91, 1), (1.0, 1), (2.9, 1)])
def test_what_is_faster_is_taken_and_asked_again(every, chosen, taking):
    with Threads("measured") as threads:
        threads.look(list)
        took = [threads(taking({1: 1.0, 2: every}), lambda: 0.0) for _ in range(module.FIRST + 9)]
        assert torch.get_num_threads() == 1  # between steps
    assert torch.get_num_threads() == 2
    series = [1, 2] * module.TRIES
    assert took == series + [chosen] * (module.FIRST - 8) + series + [chosen]


def test_threads_that_wait_for_one_another_are_tried_once(taking):
    with Threads("measured") as threads:
        threads.look(list)
        took = [threads(taking({1: 1.0, 2: 3.1}), lambda: 0.0) for _ in range(20)]
    assert took == [1, 2] + [1] * 18


def test_steps_are_compared_by_the_evaluations_they_make(taking):
    """Those with two threads take twice as long and make four times as many evaluations."""
    spent = [0.0]

    def step():
        spent[0] += {1: 10.0, 2: 40.0}[torch.get_num_threads()]
        return taking({1: 1.0, 2: 2.0})()

    with Threads("measured") as threads:
        threads.look(list)
        assert [threads(step, lambda: spent[0]) for _ in range(10)][8:] == [2, 2]


@pytest.mark.parametrize(("size", "depends", "timing", "count"), [
    (SMALL - 1, True, False, 1), (SMALL, False, True, 1), (SMALL, True, False, 2),
])  # fmt: skip
def test_large_steps_are_timed_only_where_the_bits_do_not_depend_on_it(size, depends, timing, count):
    def step():
        return [torch.zeros(size) + (torch.get_num_threads() if depends else 1)]

    with Threads(None) as threads:
        threads.look(step)
        assert (threads.timing, threads.count, torch.get_num_threads()) == (timing, count, count)


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # of so short a run
def test_large_runs_have_the_bits_of_one_thread():
    wide = targets.Gaussian(torch.zeros(40))
    options = {"chains": 1000, "draws": 15, "warmup": 15, "seed": 1, "progress": False}
    one, default = (MALA().sample(wide, **options, threads=count) for count in (1, None))
    assert torch.equal(one.x, default.x)
    assert one.cost.score == default.cost.score
