"""Where divergent steps begin and which form of a hierarchy is advised, on draws whose widths are known."""

import math

import pytest
import torch
from torch.distributions import HalfNormal, LKJCholesky, MultivariateNormal, Normal

import targets
from samplers import Draws
from samplers.draws.divergences import divergence_advice, divergence_complaints, divergent_place
from samplers.draws.objections import objections
from samplers.draws.other_form import hierarchical, scaled_effects

CHAINS, DRAWS, GROUPS = 16, 1000, 4


def hierarchy(power, scale=0.5):
    """log tau ~ N(0, scale^2), e_j = tau^power z_j: (chains, draws, 1 + groups) of exact draws, and their target."""
    generator = torch.Generator().manual_seed(0)
    log_tau = scale * torch.randn(CHAINS, DRAWS, 1, generator=generator, dtype=torch.float64)
    effects = (power * log_tau).exp() * torch.randn(CHAINS, DRAWS, GROUPS, generator=generator, dtype=torch.float64)
    target = targets.Posterior(
        lambda tau, e: -e.square().sum(-1) - tau, {"tau": targets.Positive(), "e": targets.Real(GROUPS)}
    )
    return torch.cat([log_tau, effects], -1), target


def diverged(x, target, where, **given):
    """Draws of which that of each chain with the largest (smallest) coordinate 0 began a divergent step."""
    worst = (where * x[..., 0]).argmax(1)
    diverging = torch.zeros(x.shape[:2], dtype=torch.bool)
    diverging[torch.arange(len(x)), worst] = True
    return Draws(x, stats={"diverging": diverging}, divergences=diverging.sum(1), target=target, **given)


def test_the_place_is_named_with_its_distance():
    x, target = hierarchy(0.0)
    place = divergent_place(diverged(x, target, -1))
    z = (x[..., 0] - x[..., 0].mean()) / x[..., 0].std()
    assert place.name == "tau"
    assert place.shift == pytest.approx(float(z.amin(1).mean()))


@pytest.mark.parametrize(
    ("power", "where", "form"),
    [
        (1.0, -1, "the non-centred form: e is narrow there"),  # a funnel's neck
        (-1.0, 1, "the centred form: e is narrow there"),  # tau e is what the data know
        (1.0, 1, None),  # the wide end
        (-1.0, -1, None),
        (0.0, -1, None),  # no width goes by tau
        (0.0, 1, None),
        (-0.4, 1, None),  # narrower, but tau e has a width that goes by tau more than that of e does
        (0.4, -1, None),
    ],
)
def test_a_form_is_advised_only_where_its_widths_go_less_by_the_scale(power, where, form):
    x, target = hierarchy(power)
    found = divergent_place(diverged(x, target, where))
    assert (found.form is None) if form is None else found.form.startswith(form)


def test_a_scale_that_is_no_parameter_is_told_by_its_coordinate():
    x, _ = hierarchy(1.0, scale=1.0)
    place = divergent_place(diverged(x, None, -1))
    assert place.name == "x[0]"
    assert place.form.startswith("parameters whose width does not go by x[0]")


def test_few_chains_tell_no_place():
    x, target = hierarchy(1.0)
    draws = diverged(x, target, -1)
    draws.stats["diverging"][1:] = False
    z = (x[..., 0] - x[..., 0].mean()) / x[..., 0].std()
    assert float(z[0].min()) > -4  # of one chain this is no surprise
    assert divergent_place(draws) is None
    assert divergence_advice(draws).startswith("Try ")


@pytest.mark.parametrize(
    ("aim", "first"),
    [
        (0.9, "Try target_acceptance=0.95; if that does not help, a longer warmup"),
        (0.95, "Try target_acceptance=0.975"),
        (0.995, "Try a longer warmup"),
    ],
)
def test_the_next_target_acceptance_is_half_as_far_from_one(aim, first):
    from samplers import HMC

    x, target = hierarchy(0.0)
    draws = Draws(
        x, divergences=torch.ones(CHAINS, dtype=torch.int64), target=target, kernel=HMC(target_acceptance=aim)
    )
    assert divergence_advice(draws).startswith(first)
    draws.attrs["hyperparameters"] = {"step_size": 0.3}
    assert divergence_advice(draws).startswith("Try a smaller step_size")


def test_moments_and_weights_have_no_place():
    x, target = hierarchy(1.0)
    assert divergent_place(Draws(x, divergences=torch.ones(CHAINS), target=target)) is None
    weighted = diverged(x[:1], target, -1, log_weights=torch.zeros(1, DRAWS))
    assert divergent_place(weighted) is None
    assert math.isfinite(float(weighted.x.sum()))


def two_scales(**more):
    """A centred model with two groups of effects, each with a scale of its own."""
    kinds = {
        "mu": targets.Real(prior=Normal(0.0, 1.0)),
        "sd_a": targets.Positive(prior=HalfNormal(1.0)),
        "sd_b": targets.Positive(prior=HalfNormal(1.0)),
        "a": targets.Real(3, prior=lambda mu, sd_a: Normal(mu, sd_a)),
        "b": targets.Real(4, prior=lambda sd_b: Normal(0.0, sd_b)),
    }
    return targets.Posterior(log_likelihood=lambda a, b: -(a.sum(-1) + b.sum(-1)).square(), parameters=kinds, **more)


@pytest.mark.parametrize(("worst", "first"), [(1, "a (its scale is sd_a), b"), (2, "b (its scale is sd_b), a")])
def test_every_scale_of_a_centred_model_is_named_with_its_effects_and_the_other_form(worst, first):
    target = two_scales()
    x = torch.randn(CHAINS, DRAWS, target.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    diverging = torch.zeros(x.shape[:2], dtype=torch.bool)
    diverging[torch.arange(CHAINS), x[..., worst].argmin(1)] = True
    advice = divergence_advice(Draws(x, stats={"diverging": diverging}, target=target))
    assert "other parameters" not in advice
    assert f"the non-centred form of {first}" in advice
    assert "docs/start.md" in advice


def test_both_lines_of_the_other_form_are_a_model():
    effect = scaled_effects(two_scales())[0]
    assert effect.lines == (
        'the parameter "z_a": Real(3, prior=Normal(0.0, 1.0)), and in the function '
        "a = mu[:, None] + sd_a[:, None] * z_a"
    )
    pure = targets.Posterior(
        log_likelihood=lambda t: -(t.square()),
        parameters={
            "s": targets.Positive(prior=HalfNormal(1.0)),
            "t": targets.Real(prior=lambda s: Normal(0.0, s)),
        },
        batched=False,
    )
    assert scaled_effects(pure)[0].lines == (
        'the parameter "z_t": Real(prior=Normal(0.0, 1.0)), and in the function t = s * z_t'
    )


def test_where_priors_do_not_tell_the_page_is_named():
    x, target = hierarchy(0.0)
    assert scaled_effects(target) == []
    said = divergence_advice(diverged(x, target, -1))
    assert 'other form of a hierarchy, centred or non-centred: the section "Divergent steps"' in said


def no_hierarchy():
    return targets.Posterior(
        log_likelihood=lambda s: -s, parameters={"s": targets.Positive(prior=HalfNormal(1.0))}, dtype=torch.float64
    )


@pytest.mark.parametrize(
    "target",
    [None, targets.LogDensity(lambda x: -x.square().sum(-1), dim=5, dtype=torch.float64), no_hierarchy()],
)
def test_where_there_is_no_hierarchy_another_sampler_is_advised(target):
    x = torch.randn(4, 50, 1 if isinstance(target, targets.Posterior) else 5, dtype=torch.float64)
    said = divergence_advice(Draws(x, divergences=torch.ones(4, dtype=torch.int64), target=target))
    assert "centred" not in said
    assert said == "Try smaller steps; if that does not help, a longer warmup, then another sampler (docs/which.md)"


def test_a_non_centred_model_may_be_a_hierarchy_and_a_regression_without_arrays_is_none():
    def model(**more):
        parameters = {
            "tau": targets.Positive(prior=HalfNormal(1.0)),
            "mu": targets.Real(prior=Normal(0.0, 1.0)),
            **more,
        }
        return targets.Posterior(log_likelihood=lambda mu, **_: -mu.square(), parameters=parameters)

    assert hierarchical(model(z=targets.Real(8, prior=Normal(0.0, 1.0))))
    assert not hierarchical(model())


def test_divergences_that_are_usual_for_a_kernel_are_no_doubt_in_its_certificate_or_its_file(tmp_path):
    """4 chains of 200 steps, of which tempering may lose 10 %."""
    from samplers import HMC, ParallelTempering

    def made(count, kernel, **attrs):
        x = torch.randn(4, 200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        target = targets.Gaussian(torch.zeros(2, dtype=torch.float64))
        lost = torch.tensor([count, 0, 0, 0])
        return Draws(x, target=target, kernel=kernel, divergences=lost, attrs=attrs)

    assert not divergence_complaints(made(80, ParallelTempering()))
    assert not objections(made(80, ParallelTempering())).against
    assert divergence_complaints(made(81, ParallelTempering()))
    assert divergence_complaints(made(1, HMC()))
    assert not divergence_complaints(made(150, ParallelTempering(), thin=2))
    kept = made(80, None, usual_divergences=0.1)  # as a run of tempering writes them
    kept.save(tmp_path / "draws.nc")
    assert not divergence_complaints(Draws.load(tmp_path / "draws.nc"))


def test_the_other_form_of_correlated_effects_is_not_that_of_a_scalar_scale():
    target = targets.Posterior(
        log_likelihood=lambda line: -line.square().sum((-1, -2)),
        parameters={
            "line": targets.Real(
                4, 2, prior=lambda mean, scale, corr: MultivariateNormal(mean, scale_tril=scale[..., None] * corr)
            ),
            "mean": targets.Real(2, prior=Normal(0.0, 2.0)),
            "scale": targets.Positive(2, prior=HalfNormal(1.0)),
            "corr": targets.CorrelationCholesky(2, prior=LKJCholesky(2, 2.0)),
        },
    )
    lines = scaled_effects(target)[0].lines
    assert lines.startswith('the parameter "z_line": Real(4, 2, prior=Normal(0.0, 1.0)), and in the function line = ')
    assert "scale[" not in lines
    assert lines.endswith("for a MultivariateNormal mean + z_line @ scale_tril.mT")
