"""What is kept of divergent steps, where it is known which steps diverge: a flat density between two walls.

On it a trajectory of n leapfrogs of size e ends at x + n e p. It diverges if that is beyond a wall,
and is accepted else.
"""

import functools
import warnings
from dataclasses import fields

import pytest
import torch
from stand_in_compiler import stand_in_compiler

import samplers
import targets
from samplers import HMC, MALA, MAMS, MCLMC, Draws, SamplingWarning
from samplers.draws import divergent_steps
from samplers.kernels import RegionalHMC, evaluate, isokinetic
from samplers.runs import chains as runs
from samplers.runs.divergence_log import DivergenceLog
from samplers.runs.recorder import Recorder

DOUBLE, CHAINS, STEPS, SIZE, LEAPFROGS, SEED = torch.float64, 5, 30, 0.25, 2, 3
FLAT = targets.LogDensity(
    lambda x: torch.where(x[..., 0].abs() < 1, 0.0 * x.sum(-1), torch.nan), 2, dtype=DOUBLE, name="flat between walls"
)


def steep(x):
    return -0.5 * x.square().sum(-1) - 1e5 * (x[..., 0] - 1).clamp_min(0).square()


STEEP = targets.LogDensity(steep, 2, dtype=DOUBLE)
START = torch.zeros(CHAINS, 2, dtype=DOUBLE)
KERNEL = HMC(SIZE, "identity", steps=LEAPFROGS)
RUN = {"chains": CHAINS, "draws": STEPS, "warmup": 0, "seed": SEED, "init": START, "progress": False}


@pytest.fixture(autouse=True)
def quiet():
    """Runs that diverge are rightly warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        yield


def by_hand():
    """(draw, chain, start, end, momentum) of each divergent step, from the same random numbers."""
    generator = torch.Generator().manual_seed(SEED)
    x, found = START, []
    for draw in range(STEPS):
        momentum = torch.randn(x.shape, generator=generator, dtype=DOUBLE)
        torch.rand(CHAINS, generator=generator, dtype=DOUBLE)
        end = x + SIZE * momentum
        end = end + SIZE * momentum
        beyond = end[:, 0].abs() >= 1
        found += [(draw, int(i), x[i], end[i], momentum[i]) for i in beyond.nonzero()[:, 0]]
        x = torch.where(beyond[:, None], x, end)
    draws, chains, *points = zip(*found, strict=True)
    return torch.tensor(draws), torch.tensor(chains), *map(torch.stack, points)


def check_by_hand():
    draw, chain, start, end, momentum = by_hand()
    draws = KERNEL.sample(FLAT, **RUN)
    kept = draws.divergent_steps
    assert len(kept) == len(draw) == int(draws.divergences.sum()) > 20
    assert kept.more == 0
    for mine, value in ((kept.draw, draw), (kept.chain, chain), (kept.start, start), (kept.end, end)):
        assert torch.equal(mine, value)
    assert torch.equal(kept.momentum, momentum)
    assert bool(kept.energy_error.isnan().all())
    assert bool((kept.n_steps == LEAPFROGS).all())


def check_by_kernel(kernel, target=STEEP):
    """Each is again what the kernel's own functions make of its start and momentum."""
    draws = kernel.sample(target, **RUN)
    kept = draws.divergent_steps
    assert torch.equal(torch.stack([kept.draw, kept.chain], 1), draws.stats["diverging"].T.nonzero())
    assert len(kept) > 5
    earlier = torch.cat([START[:, None], draws.x[:, :-1]], 1)
    assert torch.equal(kept.start, earlier[kept.chain, kept.draw])
    assert torch.equal(kept.start, draws.x[kept.chain, kept.draw])
    state = evaluate(target, kept.start)
    if isinstance(kernel, HMC):
        end, momentum = HMC(SIZE * 4, "identity", steps=LEAPFROGS).leapfrog(target, state, kept.momentum, LEAPFROGS)
        error = -HMC.energy_lost(state, kept.momentum, end, momentum)
        assert float(error.min()) > 1000
    else:
        end, _, gained = isokinetic.leapfrog(kernel, target, state, kept.momentum, LEAPFROGS)
        error = gained - (end.log_prob - state.log_prob)
    torch.testing.assert_close(kept.end, end.x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(kept.energy_error, error, rtol=1e-10, atol=1e-10)


ONE_REGION = targets.GaussianMixture(torch.zeros(1, 2, dtype=DOUBLE), scales=torch.ones(1, dtype=DOUBLE))
KERNELS = {
    "HMC": HMC(SIZE * 4, "identity", steps=LEAPFROGS),
    "RegionalHMC": RegionalHMC(SIZE * 4, "identity", steps=LEAPFROGS, regions=ONE_REGION),
    "MAMS": MAMS(SIZE * 4, "identity", steps=LEAPFROGS),
}


def same(one, other):
    assert (one is None) == (other is None)
    if one is None:
        return
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
        else:
            assert a == b


def test_divergent_steps_are_those_that_are_found_by_hand():
    check_by_hand()


@pytest.mark.parametrize("name", KERNELS)
def test_the_kernel_leads_from_start_and_momentum_to_the_end(name):
    check_by_kernel(KERNELS[name])


def test_steps_of_a_compiled_target_keep_the_same(monkeypatch):
    stand_in_compiler(monkeypatch)
    check_by_kernel(KERNELS["HMC"], targets.LogDensity(steep, 2, dtype=DOUBLE, compile=True))


def add_with(**changed):
    """DivergenceLog.add of an info of which fields are others."""
    add = DivergenceLog.add

    def wrong(self, t, start, info):
        told = {name: change(start, info) for name, change in changed.items()}
        taken = type("Info", (), {f.name: getattr(info, f.name) for f in fields(info)} | told)
        add(self, told.get("t", t), told.get("start", start), taken)

    return wrong


BUGS = {
    "end and start exchanged": add_with(start=lambda x, info: info.proposal, proposal=lambda x, info: x),
    "momentum of the end": add_with(start_momentum=lambda x, info: info.momentum),
    "energy error of the other sign": add_with(energy_error=lambda x, info: -info.energy_error),
    "chains in another order": add_with(diverging=lambda x, info: info.diverging.flip(0)),
    "steps that did not diverge": add_with(diverging=lambda x, info: ~info.diverging),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_mistake_is_rejected(name, monkeypatch):
    monkeypatch.setattr(DivergenceLog, "add", BUGS[name])
    with pytest.raises(AssertionError):
        check_by_kernel(KERNELS["HMC"])


def test_a_kernel_without_trajectories_keeps_start_and_end():
    draws = MALA(0.5, "identity").sample(FLAT, **RUN)
    kept = draws.divergent_steps
    assert kept.momentum is kept.energy_error is kept.n_steps is None
    assert bool((kept.end[:, 0].abs() >= 1).all())
    assert torch.equal(kept.start, draws.x[kept.chain, kept.draw])


def test_the_direction_of_mclmc_is_kept():
    kept = MCLMC(0.5, "identity", decoherence_length=1.0).sample(FLAT, **RUN).divergent_steps
    # the flat density turns nothing
    torch.testing.assert_close(kept.end, kept.start + 0.5 * 2**0.5 * kept.momentum)


def test_a_run_without_divergent_steps_keeps_none(tmp_path):
    draws = MALA(0.1).sample(targets.Gaussian([0.0, 0.0]), chains=4, draws=20, warmup=0, seed=0)
    assert draws.divergent_steps is None
    assert Draws.load(draws.save(tmp_path / "run.nc")).divergent_steps is None


def test_what_is_beyond_the_most_is_counted(monkeypatch):
    whole = KERNEL.sample(FLAT, **RUN).divergent_steps
    monkeypatch.setattr(divergent_steps, "MOST", 7)
    kept = KERNEL.sample(FLAT, **RUN).divergent_steps
    assert (len(kept), kept.more) == (7, len(whole) - 7)
    assert torch.equal(kept.end, whole.end[:7])
    assert repr(kept).startswith(f"7 divergent steps, the first of {len(whole)}, ")
    assert [divergent_steps.most_kept(dim, 8) for dim in (2, 10_000, 10**8)] == [7, 7, 1]
    monkeypatch.undo()
    assert [divergent_steps.most_kept(dim, 8) for dim in (2, 10_000)] == [1000, 279]  # 64 MiB / (3 x 80 kB)


def test_a_step_belongs_to_the_next_draw_that_is_kept():
    every = KERNEL.sample(FLAT, **RUN).divergent_steps
    thinned = KERNEL.sample(FLAT, **{**RUN, "draws": STEPS // 3, "thin": 3}).divergent_steps
    assert torch.equal(thinned.start, every.start)
    assert torch.equal(thinned.draw, every.draw // 3)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_change_nothing_nor_does_a_crash(block, tmp_path, monkeypatch):
    """At any step, also after its divergences were taken in: they are not there twice."""
    whole = KERNEL.sample(FLAT, **RUN)
    monkeypatch.setattr(runs, "DivergenceLog", functools.partial(DivergenceLog, block=block))
    same(KERNEL.sample(FLAT, **RUN).divergent_steps, whole.divergent_steps)
    add = DivergenceLog.add
    for draw in (3, int(whole.divergent_steps.draw[9])):

        def broken(self, t, *given, at=draw):
            add(self, t, *given)
            if t == at:
                raise RuntimeError("stopped")

        path = tmp_path / f"{draw}.pt"
        with monkeypatch.context() as patch:
            patch.setattr(DivergenceLog, "add", broken)
            with pytest.raises(RuntimeError, match="stopped"):
                KERNEL.sample(FLAT, checkpoint=path, **RUN)
        for _ in range(2):  # continued, and read from the finished one
            again = KERNEL.sample(FLAT, checkpoint=path, **RUN)
            assert torch.equal(again.x, whole.x)
            same(again.divergent_steps, whole.divergent_steps)


def test_an_interrupted_run_has_those_so_far(monkeypatch):
    whole = KERNEL.sample(FLAT, **RUN).divergent_steps
    write = Recorder.write

    def pressed(self, *given):
        if self._filled == 10:
            raise KeyboardInterrupt
        write(self, *given)

    monkeypatch.setattr(Recorder, "write", pressed)
    part = KERNEL.sample(FLAT, **RUN).divergent_steps
    so_far = whole.draw < 10
    assert torch.equal(part.end, whole.end[so_far])


def test_files_folders_and_moments_have_them(tmp_path):
    whole = KERNEL.sample(FLAT, **RUN)
    same(Draws.load(whole.save(tmp_path / "run.nc"), FLAT).divergent_steps, whole.divergent_steps)
    streamed = KERNEL.sample(FLAT, stream=tmp_path / "folder", **RUN)
    same(streamed.divergent_steps, whole.divergent_steps)
    same(Draws.load(tmp_path / "folder").divergent_steps, whole.divergent_steps)
    moments = KERNEL.sample(FLAT, keep="moments", **RUN)
    same(moments.divergent_steps, whole.divergent_steps)
    same(Draws.load(moments.save(tmp_path / "moments.nc")).divergent_steps, whole.divergent_steps)


def test_arviz_reads_them_with_the_draws(tmp_path):
    import xarray as xr

    from samplers.draws.records import arviz_1, import_arviz

    draws = KERNEL.sample(FLAT, **RUN)
    kept = draws.divergent_steps
    path = draws.save(tmp_path / "run.nc")
    trees = [draws.to_arviz(), import_arviz().from_netcdf(path), xr.open_datatree(path, engine="h5netcdf")]
    for tree in trees:
        group = tree["divergent_steps"]
        assert torch.equal(torch.from_numpy(group["divergence_end"].values), kept.end)
        picked = tree["posterior"]["x"].sel(chain=group["chain"], draw=group["draw"])
        assert torch.equal(torch.from_numpy(picked.values), kept.start)
        if arviz_1() or tree is not trees[2]:
            assert len(import_arviz().summary(tree)) == 2
        assert tree.isel(chain=[0, 1])["posterior"].sizes["chain"] == 2
    thinned = draws.to_arviz(thin=4)["divergent_steps"]
    assert thinned["draw"].values.tolist() == [-(-one // 4) for one in kept.draw.tolist()]


def test_tempering_keeps_those_at_the_target():
    sampler = samplers.ParallelTempering(KERNEL, targets.Gaussian(torch.zeros(2, dtype=DOUBLE), 3.0), temperatures=3)
    draws = sampler.sample(STEEP, chains=4, draws=30, warmup=0, seed=0, init=START[:4], progress=False)
    kept = draws.divergent_steps
    assert kept is None or len(kept) == int(draws.divergences.sum())
