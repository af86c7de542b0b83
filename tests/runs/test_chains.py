"""The driver: same bits, resume, interruption, streaming, moments, and every bad input by its message."""

import errno
import math
import signal

import numpy as np
import pytest
import torch
from kernel_cases import ALL, diagonal_metric, skewed

import samplers
import targets
from samplers import (
    HMC,
    MALA,
    MAMS,
    MCLMC,
    ULA,
    Cost,
    Draws,
    RandomWalkMetropolis,
    RiemannianLangevin,
    SamplingWarning,
    UnderdampedLangevin,
)
from samplers.testing import check_invariance

# forty steps of warmup tune badly, and the runs say so: here only their bits are looked at
pytestmark = pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")

TUNED = {
    "random walk": RandomWalkMetropolis(),
    "ULA": ULA(),
    "MALA": MALA(),
    "HMC": HMC(),
    "MAMS": MAMS(),
    "MCLMC": MCLMC(),
    "underdamped": UnderdampedLangevin(),
    "Riemannian": RiemannianLangevin(diagonal_metric),
    "Riemannian, unadjusted": RiemannianLangevin(diagonal_metric, adjusted=False),
}
SMALL = {"chains": 8, "draws": 30, "warmup": 40, "seed": 3}


class Stopping(targets.Target):
    """The skewed target, which raises at its n-th evaluation."""

    def __init__(self, at, error=RuntimeError):
        super().__init__(2, dtype=torch.float64, name="skewed")
        self.inner, self.at, self.error, self.calls = skewed(), at, error, 0

    def log_prob(self, x):
        self._count()
        return self.inner.log_prob(x)

    def log_prob_and_score(self, x):
        self._count()
        return self.inner.log_prob_and_score(x)

    def _count(self):
        self.calls += 1
        if self.calls == self.at:
            raise self.error("stopped")


def same(a, b):
    assert torch.equal(a.x, b.x)
    assert a.stats.keys() == b.stats.keys()
    assert all(torch.equal(a.stats[name], b.stats[name]) for name in a.stats)
    assert (a.cost.log_prob, a.cost.score) == (b.cost.log_prob, b.cost.score)


@pytest.mark.parametrize("name", TUNED)
def test_same_seed_same_bits_and_another_seed_others(name):
    first, again = (TUNED[name].sample(skewed(), **SMALL) for _ in range(2))
    same(first, again)
    other = TUNED[name].sample(skewed(), **{**SMALL, "seed": 4})
    assert not torch.equal(first.x, other.x)


def test_global_generator_is_left_alone():
    before = torch.get_rng_state()
    HMC().sample(skewed(), **SMALL)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", TUNED | {k: v for k, v in ALL.items() if "dense" in k})
@pytest.mark.parametrize("share", [0.05, 0.4, 0.75])
def test_a_run_that_crashes_anywhere_continues_to_the_same_bits(name, share, tmp_path):
    kernel = (TUNED | ALL)[name]
    counting = Stopping(at=-1)
    whole = kernel.sample(counting, **SMALL)
    path = tmp_path / "run.pt"
    # start and Pathfinder are before the first step; stop at a share of the evaluations that come after
    first = Stopping(at=-1)
    kernel.sample(first, **{**SMALL, "draws": 1, "warmup": 0})
    crash = Stopping(at=max(first.calls + 1, int(share * counting.calls)))
    with pytest.raises(RuntimeError, match="stopped"):
        kernel.sample(crash, checkpoint=path, **SMALL)
    if not path.exists():
        pytest.skip("crashed before the first step: there is nothing to continue")
    same(whole, kernel.sample(skewed(), checkpoint=path, **SMALL))


def test_a_finished_checkpoint_gives_its_draws_again(tmp_path):
    first = MALA().sample(skewed(), checkpoint=tmp_path / "run.pt", **SMALL)
    same(first, MALA().sample(Stopping(at=20), checkpoint=tmp_path / "run.pt", **SMALL))


def test_ctrl_c_returns_the_draws_so_far_and_the_run_continues(tmp_path):
    class Interrupting(Stopping):
        def _count(self):
            self.calls += 1
            if self.calls == self.at:
                signal.raise_signal(signal.SIGINT)

    options = {**SMALL, "init": torch.zeros(8, 2), "warmup": 0, "checkpoint": tmp_path / "run.pt"}
    whole = MALA(0.3).sample(skewed(), **{**options, "checkpoint": None})
    with pytest.warns(SamplingWarning, match="interrupted after 11 of 30 draws"):
        part = MALA(0.3).sample(Interrupting(at=13), **options)  # one at the start, one to know it again
    assert torch.equal(part.x, whole.x[:, :11])
    same(whole, MALA(0.3).sample(skewed(), **options))


def test_keyboard_interrupt_inside_the_density_keeps_the_draws():
    with pytest.warns(SamplingWarning, match="interrupted after 10 of 30"):
        part = MALA(0.3).sample(Stopping(12, KeyboardInterrupt), **{**SMALL, "init": torch.zeros(8, 2), "warmup": 0})
    assert part.x.shape == (8, 10, 2)


def test_thinning_keeps_every_third_draw():
    options = {"chains": 4, "warmup": 0, "init": torch.zeros(4, 2)}
    all_of_them = MALA(0.3).sample(skewed(), draws=30, **options)
    thinned = MALA(0.3).sample(skewed(), draws=10, thin=3, **options)
    assert torch.equal(thinned.x, all_of_them.x[:, 2::3])


def test_cost_counts_points():
    draws = MALA(0.3).sample(skewed(), chains=4, draws=10, warmup=0)
    assert draws.cost.score == draws.cost.log_prob == 4 * 11
    assert HMC(0.3, steps=5).sample(skewed(), chains=4, draws=10, warmup=0).cost.score == 4 * (10 * 5 + 1)
    assert RandomWalkMetropolis(0.3).sample(skewed(), chains=4, draws=10, warmup=0).cost.score == 0


@pytest.mark.parametrize("keep", ["draws", "moments"])
def test_kernels_are_frozen_after_warmup(keep):
    """Draws after warmup are those of the tuned kernel run by hand."""
    draws = MALA().sample(skewed(), keep=keep, **SMALL)
    assert draws.kernel.step_size is not None
    assert draws.attrs["tuned"]["step_size"] == draws.kernel.step_size


# Moments and streams


def test_moments_equal_those_of_the_draws():
    whole = MALA(0.3).sample(skewed(), **SMALL)
    kept = MALA(0.3).sample(skewed(), keep="moments", **SMALL)
    flat = whole.x.reshape(-1, 2)
    torch.testing.assert_close(kept.moments.mean, flat.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(kept.moments.variance, flat.var(0), rtol=1e-12, atol=1e-12)
    assert torch.equal(kept.x[:, 0], whole.x[:, -1])


def test_streamed_draws_are_those_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("samplers.draws.stream.BLOCK_BYTES", 8 * 2 * 8 * 7)  # seven draws a block
    whole = MALA(0.3).sample(skewed(), **SMALL)
    streamed = MALA(0.3).sample(skewed(), stream=tmp_path / "run", **SMALL)
    same(whole, streamed)
    torch.testing.assert_close(streamed.moments.mean, whole.x.mean((0, 1)))
    assert [block.shape[1] for block in streamed.blocks()] == [7, 7, 7, 7, 2]
    loaded = Draws.load(tmp_path / "run", skewed())
    assert torch.equal(loaded.x, whole.x)
    assert loaded.cost == streamed.cost


def test_a_streamed_run_that_crashes_continues(tmp_path, monkeypatch):
    monkeypatch.setattr("samplers.draws.stream.BLOCK_BYTES", 8 * 2 * 8 * 7)
    options = {**SMALL, "stream": tmp_path / "run", "checkpoint": tmp_path / "run.pt", "init": torch.zeros(8, 2)}
    whole = MALA(0.3).sample(skewed(), **{**SMALL, "init": torch.zeros(8, 2)})
    with pytest.raises(RuntimeError, match="stopped"):
        MALA(0.3).sample(Stopping(60), **options)
    assert 0 < Draws.load(tmp_path / "run").x.shape[1] < 30
    same(whole, MALA(0.3).sample(skewed(), **options))


def test_a_stream_is_continued_where_it_was_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("samplers.draws.stream.BLOCK_BYTES", 8 * 2 * 8 * 7)
    plain = {**SMALL, "checkpoint": tmp_path / "run.pt", "init": torch.zeros(8, 2)}
    with pytest.raises(RuntimeError, match="stopped"):
        MALA(0.3).sample(Stopping(60), stream=tmp_path / "run", **plain)
    with pytest.raises(ValueError, match="belongs to another run: storage is 'folder' there and 'memory' here"):
        MALA(0.3).sample(skewed(), **plain)
    with pytest.raises(ValueError, match="holds 0 draws, but the checkpoint was written when it held"):
        MALA(0.3).sample(skewed(), stream=tmp_path / "elsewhere", **plain)


def test_a_full_disk_leaves_what_was_written_readable(tmp_path, monkeypatch):
    import zarr

    monkeypatch.setattr("samplers.draws.stream.BLOCK_BYTES", 8 * 2 * 8 * 7)
    whole = MALA(0.3).sample(skewed(), **SMALL)
    written, plain = [], zarr.Array.__setitem__

    def failing(array, selection, value):
        written.append(1)
        if len(written) > 8:  # in the third block
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(array, selection, value)

    monkeypatch.setattr(zarr.Array, "__setitem__", failing)
    with pytest.raises(OSError, match="failed after 14 draws .No space left on device.; those stay readable"):
        MALA(0.3).sample(skewed(), stream=tmp_path / "run", checkpoint=tmp_path / "run.pt", **SMALL)
    assert torch.equal(Draws.load(tmp_path / "run").x, whole.x[:, :14])
    monkeypatch.setattr(zarr.Array, "__setitem__", plain)
    same(whole, MALA(0.3).sample(skewed(), stream=tmp_path / "run", checkpoint=tmp_path / "run.pt", **SMALL))


@pytest.mark.slow
def test_a_really_full_disk(tmp_path):
    """On a file system of 4 MB, where the machine lets us make one."""
    import subprocess

    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with pytest.raises(OSError, match="stay readable"):
            samplers_stream(tmp_path / "run")
        assert Draws.load(tmp_path / "run").x.isfinite().all()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def samplers_stream(path):
    import samplers.draws.stream

    samplers.draws.stream.BLOCK_BYTES = 2**20
    try:
        MALA(0.3).sample(skewed(), chains=1000, draws=1000, warmup=0, stream=path)
    finally:
        samplers.draws.stream.BLOCK_BYTES = 64 * 2**20


def test_a_stream_does_not_overwrite(tmp_path):
    MALA(0.3).sample(skewed(), stream=tmp_path / "run", **SMALL)
    with pytest.raises(FileExistsError, match=r"stream: .* is not empty"):
        MALA(0.3).sample(skewed(), stream=tmp_path / "run", **SMALL)
    with pytest.raises(ValueError, match="stream, keep"):
        MALA(0.3).sample(skewed(), stream=tmp_path / "other", keep="moments", **SMALL)


# Progress


def test_progress_bar_shows_phase_acceptance_divergences_and_evaluations(capsys):
    MALA(0.3).sample(skewed(), progress=True, **SMALL)
    shown = capsys.readouterr().err
    for word in ("MALA on skewed", "warmup", "acceptance", "divergences", "evaluations"):
        assert word in shown
    MALA(0.3).sample(skewed(), **SMALL)  # not a terminal
    assert capsys.readouterr().err == ""


# Bad input


def quadratic(x):
    return -0.5 * x.square().sum(-1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chains": 0}, "chains: got 0, expected an integer of at least 1"),
        ({"draws": 0}, "draws: got 0"),
        ({"draws": 2.5}, "draws: got 2.5"),
        ({"warmup": -1}, "warmup: got -1"),
        ({"thin": 0}, "thin: got 0"),
        ({"seed": -1}, "seed: got -1"),
        ({"keep": "all"}, "keep: got 'all'"),
        ({"init": torch.zeros(3, 2)}, r"init: got \(3, 2\), expected \(8, 2\)"),
        ({"init": lambda n, generator: np.zeros(n)}, r"init: got ndarray, expected \(8, 2\)"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MALA().sample(skewed(), **(SMALL | options))


def test_a_kernel_may_be_prepared_for_its_target():
    """What a kernel finds before the run takes its place, once, and counts in the cost."""
    seen = []

    class Prepared(RandomWalkMetropolis):
        def prepare(self, target, seed):
            seen.append((target.name, target.dtype, seed))
            return RandomWalkMetropolis(0.7), Cost(log_prob=100, score=20, seconds=50.0)

    draws = Prepared(1e-9).sample(skewed(), dtype=torch.float32, **SMALL)
    plain = RandomWalkMetropolis(0.7).sample(skewed(), dtype=torch.float32, **SMALL)
    assert seen == [("skewed", torch.float32, SMALL["seed"])]
    assert torch.equal(draws.x, plain.x)
    assert draws.cost.log_prob == plain.cost.log_prob + 100
    assert draws.cost.score == plain.cost.score + 20
    assert draws.cost.seconds > 50
    assert RandomWalkMetropolis(0.7).prepare(skewed(), 0)[1] == Cost()


def test_a_mass_matrix_takes_the_dtype_of_the_target_and_must_fit():
    target = targets.Gaussian(torch.zeros(2))
    draws = MALA(0.1, torch.eye(2).double()).sample(target, **SMALL)
    assert draws.x.dtype == torch.float32
    assert MALA(0.1, [1.0, 2.0]).inverse_mass_matrix.shape == (2,)
    with pytest.raises(ValueError, match=r"inverse_mass_matrix: got shape \(3,\), expected \(2,\) or \(2, 2\)"):
        MALA(0.1, torch.ones(3)).sample(target, **SMALL)


def test_a_function_is_not_a_target():
    with pytest.raises(
        TypeError, match="target: got function, expected a targets.Target; wrap a function in LogDensity"
    ):
        MALA().sample(quadratic)


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (
            lambda x: quadratic(x)[:, None],
            ValueError,
            r"fn: returned shape \(8, 1\) for x of shape \(8, 2\), expected \(8,\)",
        ),
        (lambda x: quadratic(x).double(), TypeError, "fn: returned torch.float64 for x in torch.float32"),
        (lambda x: quadratic(x).to("meta"), ValueError, "fn: returned a tensor on meta for x on cpu"),
        (lambda x: quadratic(x.detach()), TypeError, "not differentiable with respect to x"),
        (lambda x: 1.0, TypeError, "fn: returned float"),
    ],
)
def test_a_bad_log_density_is_named_at_the_start(fn, error, message):
    with pytest.raises(error, match=message):
        MALA().sample(targets.LogDensity(fn, 2), **SMALL)


def test_a_start_that_is_not_finite_names_chain_and_point():
    start = torch.zeros(8, 2)
    start[5] = torch.tensor([-1.0, 3.0])
    target = targets.LogDensity(lambda x: x[:, 0].sqrt() * 0 + quadratic(x), 2)
    with pytest.raises(
        ValueError, match=r"init: .* where chain 5 starts: log_prob nan at x = \[-1, 3\] \(1 of 8 chains\)"
    ):
        RandomWalkMetropolis().sample(target, **SMALL, init=start)


def test_starts_chosen_by_the_driver_are_drawn_again_until_finite():
    target = targets.LogDensity(lambda x: torch.where(x[:, 0] > 0, quadratic(x), -torch.inf), 2)
    draws = RandomWalkMetropolis().sample(target, **SMALL)
    assert (draws.x[..., 0] > 0).all()


def test_a_nan_halfway_is_rejected_counted_and_reported():
    """The density is N(0, I) where x_0 < 1 and NaN beyond: chains must sample the part that is finite."""
    target = targets.LogDensity(lambda x: torch.where(x[:, 0] < 1, quadratic(x), torch.nan), 2, dtype=torch.float64)
    for kernel in (MALA(0.5), HMC(0.5, steps=3), ULA(0.2), RandomWalkMetropolis(1.0)):
        with pytest.warns(SamplingWarning, match="diverged"):
            draws = kernel.sample(target, chains=32, draws=200, warmup=0, init=torch.zeros(32, 2))
        assert draws.x.isfinite().all()
        assert (draws.x[..., 0] < 1).all()
        assert draws.divergences.sum() == draws.stats["diverging"].sum() > 0


def test_a_run_that_only_diverges_says_so():
    target = targets.LogDensity(lambda x: torch.where(x.abs().sum(-1) == 0, 0.0 * x.sum(-1), torch.nan), 2)
    with pytest.warns(SamplingWarning, match="every one of the 30 steps diverged in all 8 chains, which never moved"):
        ULA(0.1).sample(target, chains=8, draws=30, warmup=0, init=torch.zeros(8, 2))


def test_chains_that_never_move_are_named():
    target = targets.Gaussian(torch.zeros(2), 1e-3)
    start = torch.zeros(8, 2)
    with pytest.warns(SamplingWarning, match=r"8 of 8 chains never moved in 5 steps \(chains \[0, 1, 2"):
        RandomWalkMetropolis(1e4).sample(target, chains=8, draws=5, warmup=0, init=start)


def never_moved(kernel, target, start, **more):
    with pytest.warns(SamplingWarning, match="never moved") as said:
        kernel.sample(target, chains=8, warmup=0, init=start, **{"draws": 200, **more})
    (text,) = [str(one.message) for one in said if "never moved" in str(one.message)]
    assert "outside the support" not in text
    return text


def test_the_cause_that_was_measured_is_said_of_chains_that_never_moved():
    narrow, start = targets.Gaussian(torch.zeros(2), 1e-3), torch.zeros(8, 2)
    text = never_moved(RandomWalkMetropolis(1e4), narrow, start)
    assert "the density is finite and log_prob changes by" in text
    assert text.endswith("the step size, 1e+04, is too large there")
    alone = targets.LogDensity(lambda x: torch.where(x.abs().sum(-1) == 0, 0.0 * x.sum(-1), torch.nan), 2)
    for kernel in (ULA(0.1), RandomWalkMetropolis(0.1)):
        assert "100% of the points at a distance of 0.0001 (1 + |x|) from there it is not" in never_moved(
            kernel, alone, start
        )
    wall = targets.LogDensity(lambda x: torch.where(x.abs().sum(-1) == 0, 0.0 * x.sum(-1), -torch.inf), 2)
    assert "from there it is not" in never_moved(RandomWalkMetropolis(0.1), wall, start)
    flat = targets.LogDensity(lambda x: 0.0 * x.sum(-1), 2)
    text = never_moved(RandomWalkMetropolis(0.1), flat, torch.full((8, 2), 1e9))
    assert "were accepted (mean probability 1), and the steps are too short to change coordinates of size 1e+09" in text
    text = never_moved(RandomWalkMetropolis(3.0), targets.Gaussian(torch.zeros(2), 0.5), start, draws=2)
    assert "mean acceptance probability of" in text
    assert "so few steps" in text


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    MALA(0.3).sample(skewed(), checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="belongs to another run: seed is 3 there and 4 here"):
        MALA(0.3).sample(skewed(), checkpoint=path, **{**SMALL, "seed": 4})
    more = {**SMALL, "draws": SMALL["draws"] + 1}
    with pytest.raises(ValueError, match=r"draws is \d+ there and \d+ here\. .* draws\.kernel\.sample\(target, init="):
        MALA(0.3).sample(skewed(), checkpoint=path, **more)
    with pytest.raises(ValueError, match="belongs to another run: .*sampler is 'MALA' there and 'ULA' here"):
        ULA(0.3).sample(skewed(), checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="dim is 2 there and 3 here"):
        MALA(0.3).sample(targets.Gaussian(torch.zeros(3).double(), name="skewed"), checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="belongs to another target: .* log-density was"):
        MALA(0.3).sample(targets.Gaussian(torch.ones(2).double(), 2.0, name="skewed"), checkpoint=path, **SMALL)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused_and_left(keep, tmp_path):
    path = tmp_path / "run.pt"
    MALA(0.3).sample(skewed(), checkpoint=path, **SMALL)
    content = path.read_bytes()
    path.write_bytes(content[: math.floor(keep * len(content))])
    with pytest.raises(ValueError, match=r"checkpoint: .*run.pt is truncated or not a checkpoint"):
        MALA(0.3).sample(skewed(), checkpoint=path, **SMALL)
    assert path.exists()


def test_public_names():
    assert set(samplers.__all__) <= set(dir(samplers))


@pytest.mark.parametrize(
    ("part", "came"), [(0, r"\w*State"), (1, "Info"), (slice(None, None, -1), r"\(Info, \w*State\)")]
)
def test_a_step_that_does_not_return_state_and_info_is_told(part, came):
    class Own(RandomWalkMetropolis):
        def step(self, target, state, generator):
            return super().step(target, state, generator)[part]

    target = targets.Gaussian([0.0, 0.0])
    runs = (
        lambda: Own(0.5).sample(target, chains=2, draws=3, warmup=0, seed=0),
        lambda: samplers.SMC(kernel=Own(0.5), betas=2).sample(target, draws=8, seed=0),
        lambda: check_invariance(Own(0.5), target, chains=100, seed=0),
    )
    for run in runs:
        with pytest.raises(TypeError, match=rf"Own.step: returned {came}, expected \(State, Info\): the new state"):
            run()
