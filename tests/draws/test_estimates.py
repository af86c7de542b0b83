"""R-hat, ESS and standard errors at any scale, and what is said of them in words."""

import warnings

import numpy as np
import pytest
import torch
from torch.distributions import HalfNormal, LKJCholesky

import targets
from samplers import HMC, Draws, Gibbs, SamplingWarning
from samplers.compare.truth import mean_and_sd
from samplers.draws import estimates
from samplers.draws.still import still

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def said(draws, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = draws.summary(**options)
    assert all(issubclass(one.category, SamplingWarning) for one in caught), caught
    return table, [str(one.message) for one in caught]


# Scale


@pytest.mark.parametrize("scale", [1e-12, 1e-9, 1e-300, 1e200, 1e305])
def test_estimates_follow_the_scale(scale):
    x = normal(4, 300, 2).cumsum(1)[:, ::20] + normal(4, 15, 2, seed=1)
    for method in ("mean", "sd"):
        here, there = (estimates.mcse({"x": value}, method)["x"] for value in (x, x * scale))
        np.testing.assert_allclose(there / scale, here, rtol=1e-9)
    for function, method in ((estimates.ess, "mean"), (estimates.ess, "bulk"), (estimates.r_hat, "split")):
        here, there = (function({"x": value}, method)["x"] for value in (x, x * scale))
        np.testing.assert_allclose(there, here, rtol=1e-9)
    own, small = mean_and_sd(Draws(x))["x"], mean_and_sd(Draws(x * scale))["x"]
    torch.testing.assert_close(small.sd_error / scale, own.sd_error, rtol=1e-9, atol=0.0)


def test_standard_errors_of_a_small_variable_beside_a_usual_one():
    """A power of two changes no digit, so that nothing else may differ; scalars of one variable have scales apart."""
    x, small = normal(4, 200, 2), 2.0**-60
    one = Draws(x * torch.tensor([1.0, small], dtype=F64)).summary(round_to="none")
    whole = Draws(x).summary(round_to="none")
    for column in whole:
        unit = 1.0 if column in ("ess_bulk", "ess_tail", "r_hat") else small
        assert one[column].tolist() == [whole[column].iloc[0], unit * whole[column].iloc[1]], column


@pytest.mark.parametrize("form", ["wide", "long", "xarray"])
def test_tables_of_every_form_are_in_the_unit_of_the_variable(form):
    x, small = normal(4, 200, 2), 2.0**-60
    here, there = (Draws(value).summary(fmt=form, round_to="none", var_names=["x"]) for value in (x, x * small))
    if form == "xarray":
        (dim,) = set(here.dims) & {"metric", "summary"}
        mean, other = (table["x"].sel({dim: "mcse_mean"}).values for table in (here, there))
    elif form == "long":
        mean, other = (table.loc["mcse_mean", "x"].to_numpy() for table in (here, there))
    else:
        mean, other = (table["mcse_mean"].to_numpy() for table in (here, there))
    assert (other == small * mean).all()


def test_a_large_offset_does_not_spoil_the_errors():
    x = normal(4, 500, 1)
    here, there = (estimates.mcse({"x": value}, "sd")["x"] for value in (x, 1e8 + 1e-3 * x))
    np.testing.assert_allclose(there / 1e-3, here, rtol=1e-3)


# Judged before rounding


OFFSET = 0.17


def shifted():
    """Draws whose rank R-hat is just above the limit."""
    x = normal(4, 2000, 2, seed=3)
    return x + OFFSET * torch.tensor([0.0, 1.0]) * torch.tensor([-1.0, 1.0, -1.0, 1.0])[:, None, None]


@pytest.mark.parametrize("options", [{}, {"round_to": 0}, {"kind": "stats"}, {"var_names": ["x"], "round_to": 1}])
def test_r_hat_is_judged_before_it_is_rounded(options):
    draws = Draws(shifted())
    exact = float(estimates.r_hat(draws.constrained, "rank")["x"].max())
    assert 1.01 < exact < 1.015
    with pytest.warns(SamplingWarning, match=r"R-hat reaches 1\.01\d+ at x\[1\] \(1 of 2 variables above 1.01\)"):
        draws.summary(**options)


def test_every_variable_is_judged_whichever_are_shown():
    target = targets.Posterior(lambda a, b: -(a.square() + b.square()) / 2, {"a": targets.Real(), "b": targets.Real()})
    draws = Draws(shifted(), target=target)
    with pytest.warns(SamplingWarning, match="at b "):
        assert list(draws.summary(var_names=["a"]).index) == ["a"]
    few = Draws(normal(1, 40, 1), attrs={"kind": "independent draws"})
    with pytest.warns(SamplingWarning, match="the effective sample size is"):
        few.summary(kind="stats", round_to=0)


def test_draws_that_are_not_finite_are_counted():
    x = normal(4, 500, 1)
    x[1, 3] = torch.nan
    assert any("1 of 2000 values of x are not finite" in text for text in said(Draws(x))[1])


# Constant, and stuck


def test_constants_by_construction_are_no_fault():
    target = targets.Posterior(
        log_likelihood=lambda L, s: -s.square().sum(-1) + 0 * L.sum((-1, -2)),
        parameters={
            "L": targets.CorrelationCholesky(3, prior=LKJCholesky(3, 2.0)),
            "s": targets.Positive(2, prior=HalfNormal(1.0)),
        },
        derived=lambda L, s: {"area": torch.full_like(s[..., 0], 0.1)},
    )
    draws = Draws(target.prior.sample(4000, generator=torch.Generator().manual_seed(0)).reshape(8, 500, -1))
    draws.target = target
    table, texts = said(draws)
    assert texts == []
    assert table.loc["area", "mean"] == 0.1
    assert table.loc["area", "sd"] == 0.0
    held = still(draws)
    assert held.stuck == []
    assert held.constant == ["L[0, 0]", "L[0, 1]", "L[0, 2]", "L[1, 2]", "area"]
    assert mean_and_sd(draws)["area"].mean == 0.1


def test_a_coordinate_that_never_moves_is_stuck():
    """Of a continuous target; what is computed from it is named."""
    target = targets.Posterior(
        lambda a, b: -a.square() - b, {"a": targets.Real(), "b": targets.Positive()}, derived=lambda a, b: {"c": b + 1}
    )
    x = normal(8, 500, 2)
    x[..., 1] = 0.3
    draws = Draws(x, target=target)
    assert still(draws).stuck == ["b", "c"]
    assert still(draws).constant == []
    assert any(text.startswith("all draws of b are the same (2 of 3 variables)") for text in said(draws)[1])
    assert still(Draws(x)).stuck == ["x[1]"]  # without a target as well


def test_chains_stuck_at_different_points_do_not_agree():
    x = normal(8, 1, 1).expand(8, 500, 1)
    assert still(Draws(x)).stuck == []
    assert any(text.startswith("R-hat reaches ") and "e+" in text for text in said(Draws(x))[1])


def field(strength, sites=4):
    h = torch.zeros(sites, dtype=F64)
    h[0] = strength
    return targets.PairwiseMRF(0.3 * (torch.ones(sites, sites, dtype=F64) - torch.eye(sites, dtype=F64)), h)


def spins(target, held):
    x = target.sample(4000, generator=torch.Generator().manual_seed(1)).reshape(8, 500, -1).clone()
    x[..., held] = 1.0
    return Draws(x, target=target)


def test_a_spin_that_its_field_pins_is_not_stuck():
    held = still(spins(field(50.0), [0]))
    assert (held.constant, held.stuck) == (["x[0]"], [])


@pytest.mark.parametrize("strength", [0.0, 1.0, -50.0])
def test_a_spin_that_should_move_is_stuck(strength):
    assert still(spins(field(strength), [0])).stuck == ["x[0]"]


def test_a_stuck_spin_beside_a_pinned_one_where_nothing_is_exactly_known():
    h = torch.zeros(24, dtype=F64)
    h[0] = 50.0
    target = targets.PairwiseMRF(torch.zeros(24, 24, dtype=F64), h)
    assert "mean" not in target.known
    x = normal(8, 200, 24).sign()
    x[..., :2] = 1.0
    held = still(Draws(x, target=target))
    assert (held.constant, held.stuck) == (["x[0]"], ["x[1]"])


def test_a_frozen_phase_is_stuck():
    """No spin can move alone, and all together could: where the mean is known, and where it is not."""
    for target in (targets.Ising((4, 4), coupling=3.0), targets.Ising((6, 6), coupling=3.0)):
        x = torch.ones(8, 100, target.dim, dtype=target.dtype)
        assert len(still(Draws(x, target=target)).stuck) == target.dim
    colours = targets.Potts((6, 6), states=3, coupling=5.0)
    assert len(still(Draws(torch.zeros(8, 100, 36), target=colours)).stuck) == 36
    pinned = targets.PairwiseMRF(torch.zeros(4, 4, dtype=F64), torch.full((4,), 50.0, dtype=F64))
    assert still(Draws(x[..., :4], target=pinned)).stuck == []


# Few draws, and moments


@pytest.mark.parametrize(("chains", "count"), [(1, 1), (1, 3), (2, 1), (4, 2), (4, 3)])
def test_few_draws_are_called_few(chains, count):
    table, texts = said(Draws(normal(chains, count, 2)))
    assert len(table) == 2
    assert any("are too few to tell R-hat or an effective sample size" in text for text in texts)
    assert not any("nan" in text for text in texts)
    assert any("R-hat needs several chains" in text for text in texts) == (chains == 1)


def test_the_summary_of_moments_is_of_all_draws(tmp_path):
    target = targets.Gaussian(torch.zeros(2, dtype=F64), torch.tensor([1.0, 2.0], dtype=F64))
    options = {"chains": 4, "draws": 300, "warmup": 20, "seed": 0}
    kept = HMC(step_size=0.5).sample(target, **options).x.reshape(-1, 2)
    running = HMC(step_size=0.5).sample(target, **options, keep="moments")
    for draws in (running, Draws.load(running.save(tmp_path / "moments.nc"))):
        table, (text,) = said(draws, round_to="none")
        assert "only the running moments of 1200 draws were kept" in text
        np.testing.assert_allclose(table["mean"], kept.mean(0), rtol=1e-9)
        np.testing.assert_allclose(table["sd"], kept.std(0), rtol=1e-9)
        assert list(table.index) == ["x[0]", "x[1]"]


# 16 bits


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_densities_in_16_bits_are_refused_and_draws_in_them_kept(dtype, tmp_path):
    gaussian = targets.Gaussian(torch.zeros(1))
    with pytest.raises(TypeError, match="dtype: got torch.b?float16, expected torch.float64 or torch.float32"):
        HMC().sample(gaussian, dtype=dtype)
    with pytest.raises(TypeError, match="dtype: got torch.b?float16"):
        targets.LogDensity(lambda x: x.sum(-1), 1, dtype=dtype)
    spins = targets.Ising((3, 3), coupling=0.1)
    options = {"chains": 4, "draws": 400, "warmup": 0, "dtype": dtype}
    draws = Gibbs().sample(spins, **options)
    assert draws.x.dtype == dtype
    assert said(draws)[0]["sd"].between(0.9, 1.05).all()
    on_disk = Gibbs().sample(spins, **options, stream=tmp_path / "stream")
    for again in (Draws.load(draws.save(tmp_path / "run.nc")), on_disk, Draws.load(tmp_path / "stream")):
        assert again.x.dtype == dtype
        assert torch.equal(again.x, draws.x)
        assert again.stats["lp"].dtype == draws.stats["lp"].dtype
