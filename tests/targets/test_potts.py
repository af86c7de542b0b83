import itertools
import math

import pytest
import torch
from scipy import stats

import targets
from targets.base import Target
from targets.discrete import DiscreteTarget

F64 = torch.float64


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


MODELS = {
    "torus": targets.Potts((3, 3), 3, [0.5, -0.4], random(9, 3), dtype=F64),
    "open": targets.Potts((2, 4), 4, 0.8, random(4), periodic=False, dtype=F64),
    "ring": targets.Potts(6, 5, 1.2, dtype=F64),
    "graph": targets.Potts(5, 3, random(4), random(5, 3), edges=[[0, 1], [3, 1], [4, 2], [0, 2]], dtype=F64),
    "two states": targets.Potts((3, 4), 2, 0.7, random(12, 2), dtype=F64),
}


def by_definition(target, x):
    """The log-density in plain Python."""
    values = []
    for s in x.long().tolist():
        value = sum(target.fields[i, v].item() for i, v in enumerate(s))
        for (i, j), coupling in zip(target.edges.tolist(), target.edge_couplings.tolist(), strict=True):
            value += coupling * (s[i] == s[j])
        values.append(value)
    return torch.tensor(values, dtype=F64)


def some_labels(target, count=12):
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, target.states, (count, target.dim), generator=generator).to(F64)


@pytest.fixture(params=MODELS)
def target(request):
    return MODELS[request.param]


def test_log_prob_is_the_formula(target):
    x = some_labels(target)
    torch.testing.assert_close(target.log_prob(x), by_definition(target, x), rtol=1e-12, atol=1e-12)
    assert target.log_prob(x.reshape(3, 4, -1)).shape == (3, 4)


def test_conditionals_and_differences_are_exact(target):
    x = some_labels(target, 4)
    sites = torch.arange(target.dim).flip(0)[:3]
    got = target.conditional_logits(x, sites).log_softmax(-1)
    torch.testing.assert_close(got, DiscreteTarget.conditional_logits(target, x, sites).log_softmax(-1))
    differences = target.local_differences(x)
    for site, value in itertools.product(range(target.dim), range(target.states)):
        moved = x.clone()
        moved[:, site] = value
        expected = target.log_prob(moved) - target.log_prob(x)
        torch.testing.assert_close(differences[:, site, value], expected, rtol=0, atol=1e-12)


def test_colours_are_valid(target):
    assert sorted(torch.cat(target.colours).tolist()) == list(range(target.dim))
    for sites in target.colours:
        assert not bool(torch.isin(target.edges, sites).all(-1).any())


def test_what_is_exact_is_that_of_enumeration(target):
    states = target.enumerate()
    log_weight = target.log_prob(states)
    weight = log_weight.softmax(0)
    assert target.log_z == pytest.approx(float(log_weight.logsumexp(0)), abs=1e-10)
    torch.testing.assert_close(target.mean, weight @ states, rtol=0, atol=1e-10)
    for value in range(target.states):
        expected = weight @ (states == value).to(F64)
        torch.testing.assert_close(target.site_probabilities[:, value], expected, rtol=0, atol=1e-10)
    sd = target.covariance.diagonal().sqrt()
    torch.testing.assert_close(target.moments["x"].sd, sd, rtol=0, atol=1e-10)
    assert target.mean_log_prob == pytest.approx(float(weight @ log_weight), abs=1e-10)


def test_annealed(target):
    x = some_labels(target)
    warm = target.annealed(0.3)
    torch.testing.assert_close(warm.log_prob(x), 0.3 * target.log_prob(x), rtol=1e-12, atol=1e-12)
    assert warm.log_z == pytest.approx(float((0.3 * target.log_prob(target.enumerate())).logsumexp(0)), abs=1e-10)
    assert target.annealed(0.0).log_z == pytest.approx(target.dim * math.log(target.states), abs=1e-10)


@pytest.mark.parametrize("name", ["open", "graph"])
def test_exact_draws_fit_by_chi_square(name, generator):
    target = MODELS[name].annealed(1.0)
    weight = target.log_prob(target.enumerate()).softmax(0).numpy()
    draws = target.sample(20_000, generator=generator)
    place = target.states ** torch.arange(target.dim - 1, -1, -1)
    counts = torch.bincount((draws.long() * place).sum(-1), minlength=len(weight)).numpy()
    often = 20_000 * weight > 5
    observed = [*counts[often], counts[~often].sum()]
    expected = [*20_000 * weight[often], 20_000 * weight[~often].sum()]
    keep = [k for k, e in enumerate(expected) if e > 0]
    assert stats.chisquare([observed[k] for k in keep], [expected[k] for k in keep]).pvalue > 1e-5


def test_two_states_are_the_ising_model_with_half_the_coupling():
    field = random(3, 4)
    potts = targets.Potts((3, 4), 2, 0.7, torch.stack([-field.flatten(), field.flatten()], -1), dtype=F64)
    ising = targets.Ising((3, 4), 0.35, field, dtype=F64)
    x = some_labels(potts)
    difference = potts.log_prob(x) - ising.log_prob(2 * x - 1)
    torch.testing.assert_close(difference, torch.full_like(difference, 0.35 * 24))
    assert potts.log_z == pytest.approx(ising.log_z + 0.35 * 24, abs=1e-10)
    torch.testing.assert_close(2 * potts.mean - 1, ising.mean, rtol=0, atol=1e-12)


def test_a_ring_in_closed_form():
    q, k, n = 5, 1.2, 40
    expected = n * math.log(math.exp(k) + q - 1) + math.log1p((q - 1) * (math.expm1(k) / (math.exp(k) + q - 1)) ** n)
    assert targets.Potts(n, q, k).log_z == pytest.approx(expected, abs=1e-10)


def test_an_edge_counts_once():
    target = targets.Potts(2, 3, 0.4, edges=[[1, 0]], dtype=F64)
    assert target.log_prob(torch.zeros(2, dtype=F64)).item() == pytest.approx(0.4)
    assert target.log_z == pytest.approx(math.log(3 * math.exp(0.4) + 6))


def test_what_is_known_depends_on_the_lattice():
    assert targets.Potts((7, 30), 3, periodic=False).known == {"log_z", "sample", "mean", "moments", "prior"}
    assert targets.Potts((6, 30), 3).known == {"log_z", "sample", "mean", "moments", "prior"}
    assert targets.Potts((7, 30), 3).known == {"prior"}
    assert targets.Potts(5, 3, edges=[[0, 1]]).known == {"log_z", "sample", "mean", "moments", "covariance", "prior"}
    with pytest.raises(NotImplementedError, match="log_z is not known exactly"):
        _ = targets.Potts((30, 30)).log_z


def test_magnetisation_runs_from_0_to_1():
    target = targets.Potts((3, 3), 3, dtype=F64)
    assert target.magnetisation(torch.ones(9, dtype=F64)).item() == 1.0
    assert target.magnetisation(torch.arange(9, dtype=F64) % 3).item() == pytest.approx(0.0, abs=1e-12)
    assert target.state_fractions(torch.arange(9, dtype=F64) % 3).tolist() == pytest.approx([1 / 3] * 3)


def test_labels_have_no_gradient():
    with pytest.raises(TypeError, match="not differentiable"):
        Target.log_prob_and_score(MODELS["ring"], some_labels(MODELS["ring"]))


def test_the_dtype_follows():
    single = MODELS["torus"].to(dtype=torch.float32)
    assert single.conditional_logits(some_labels(single).float(), torch.arange(3)).dtype == torch.float32
    assert single.log_prob(some_labels(single).float()).dtype == F64
    assert single.log_z == pytest.approx(MODELS["torus"].log_z, abs=1e-12)


def test_meta():
    target = MODELS["torus"].to("meta")
    x = torch.zeros(3, 9, dtype=F64, device="meta")
    assert target.log_prob(x).device.type == "meta"
    assert target.conditional_logits(x, target.colours[0]).shape == (3, len(target.colours[0]), 3)
    assert target.local_differences(x).shape == (3, 9, 3)


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        (((4, 4), 1), {}, "states: got 1, expected an integer of at least 2"),
        (((4, 4), 3, [0.1] * 3), {}, r"coupling: got shape \(3,\), expected a number or 2"),
        (((4, 4), 3, 0.1, [1.0, 2.0]), {}, r"fields: got shape \(2,\), expected \(3,\) or \(16, 3\)"),
        (((2, 4), 3), {}, "around a side of 2 two edges join the same pair"),
        ((4, 3), {"edges": [[0, 0]]}, "edges: got an edge from a site to itself"),
        ((4, 3), {"edges": [[0, 1], [1, 0]]}, "edges: got the same pair of sites twice"),
        ((4, 3), {"edges": [[0, 4]]}, "edges: got sites 0 to 4, expected 0 to 3"),
        ((4, 3), {"edges": [0, 1]}, r"edges: got shape \(2,\)"),
        ((4, 3, [0.1, 0.2]), {"edges": [[0, 1]]}, r"coupling: got shape \(2,\), expected a number or 1"),
    ],
)
def test_bad_input(arguments, more, message):
    with pytest.raises(ValueError, match=message):
        targets.Potts(*arguments, **more)
