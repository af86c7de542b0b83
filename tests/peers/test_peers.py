"""Samplers of other packages under the verb `sample`: right, counted, and leaving no trace in JAX."""

import importlib.util
import math
import subprocess
import sys
from functools import cache

import pytest
import torch
from torch.distributions import Normal

import samplers
import targets
from samplers import peers
from samplers.draws import INDEPENDENT
from samplers.registry import SAMPLERS

NAMES = {
    "blackjax-nuts": peers.BlackjaxNUTS,
    "blackjax-smc": peers.BlackjaxTemperedSMC,
    "numpyro-nuts": peers.NumpyroNUTS,
    "emcee": peers.Emcee,
}
CHAINS = {"blackjax-nuts": torch.float64, "numpyro-nuts": torch.float32, "emcee": torch.float64}
EVERY_PEER = pytest.mark.parametrize("name", NAMES)
EVERY_CHAIN = pytest.mark.parametrize("name", CHAINS)


def needs(name):
    for package in NAMES[name].packages:
        pytest.importorskip(package, reason=f"{package} is in the extra `peers`, which is not installed")


class Watched(targets.Gaussian):
    """A correlated Gaussian that counts the points it is asked for."""

    def __init__(self, dtype=torch.float64):
        covariance = torch.tensor([[1.0, 0.8], [0.8, 2.0]], dtype=dtype)
        super().__init__(torch.tensor([1.0, -1.0], dtype=dtype), covariance=covariance)
        self.asked = 0

    def log_prob(self, x):
        self.asked += x.numel() // self.dim
        return super().log_prob(x)

    def log_prob_and_score(self, x):
        self.asked += x.numel() // self.dim
        return super().log_prob_and_score(x)


@cache
def run(name):
    needs(name)
    target = Watched(CHAINS[name])
    return target, NAMES[name]().sample(target, draws=300, warmup=200, thin=2, seed=2**40 + 1)


@EVERY_CHAIN
def test_mean_and_sd_of_a_gaussian(name):
    target, draws = run(name)
    assert draws.x.dtype == target.dtype
    arviz = samplers.draws.records.import_arviz()
    posterior = draws.to_arviz()["posterior"]
    pooled = draws.x.double().flatten(0, 1)
    sds = target.covariance.diagonal().sqrt()
    for found, exact, method in ((pooled.mean(0), target.mean, "mean"), (pooled.std(0), sds, "sd")):
        error = torch.tensor(arviz.mcse(posterior, method=method)["x"].values)
        assert ((found - exact.double()).abs() < 5 * error).all()


@EVERY_CHAIN
def test_every_evaluation_is_counted(name):
    target, draws = run(name)
    assert draws.cost.log_prob == target.asked > 0
    assert draws.cost.score == (0 if name == "emcee" else target.asked)
    if name == "emcee":  # the starts, which emcee evaluates again, and one a step
        assert target.asked == draws.x.shape[0] * (2 + 200 + 2 * 300)
    else:  # vectorised chains wait for the longest; the least is what the kept half of their steps took
        assert target.asked > draws.stats["n_steps"].sum()


@EVERY_CHAIN
def test_the_record_of_a_run(name, tmp_path):
    target, draws = run(name)
    assert draws.x.shape == (32 if name == "emcee" else 4, 300, 2)
    assert draws.divergences.sum() == 0
    assert torch.allclose(draws.stats["lp"].double(), target.log_prob(draws.x).double(), atol=1e-4)
    wanted = {"lp", "acceptance_rate"} | (set() if name == "emcee" else {"diverging", "energy", "n_steps"})
    assert set(draws.stats) == wanted
    assert 0.3 < float(draws.stats["acceptance_rate"].double().mean()) <= 1
    assert draws.attrs["sampler"] == NAMES[name].__name__
    assert draws.attrs["seed"] == 2**40 + 1
    assert set(NAMES[name].packages) <= draws.attrs["versions"].keys()
    assert 0 < draws.attrs.get("compile_seconds", 1e-9) < draws.cost.seconds
    again = samplers.Draws.load(draws.save(tmp_path / "run.nc"))
    assert torch.equal(again.x, draws.x)


def test_jax_is_left_as_it_was():
    jax = pytest.importorskip("jax", reason="jax is in the extra `peers`, which is not installed")
    for name in ("blackjax-nuts", "numpyro-nuts"):
        run(name)
    assert not jax.config.jax_enable_x64
    assert jax.numpy.ones(1).dtype == "float32"


def test_the_bridge_is_exact_and_hands_on_errors():
    jax = pytest.importorskip("jax", reason="jax is in the extra `peers`, which is not installed")
    from samplers.peers.bridge import Bridge

    target = Watched()
    bridge = Bridge(target)
    x = target.sample(6, generator=torch.Generator().manual_seed(0))
    with bridge.precision():
        log_prob = bridge.log_prob()
        nested = jax.vmap(jax.vmap(jax.value_and_grad(lambda x: 2 * log_prob(x))))
        points = x.reshape(2, 3, 2).numpy()
        value, score = (torch.tensor(part.__array__()) for part in bridge.compile(nested, points)(points))
        assert target.asked == 6
        assert torch.equal(value.reshape(6), 2 * target.log_prob(x))
        assert torch.equal(score.reshape(6, 2), 2 * target.score(x))

        broken = Bridge(targets.LogDensity(lambda x: x.no_such_thing(), 2, dtype=torch.float64))
        call = broken.compile(jax.vmap(broken.log_prob()), x.numpy())
        with pytest.raises(AttributeError, match="no_such_thing"):
            call(x.numpy())


def test_log_z_of_a_tempered_mixture():
    """A bimodal mixture at temperature 1 / 2, whose Z is a sum of three Gaussian integrals."""
    needs("blackjax-smc")
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    target = targets.Tempered(targets.GaussianMixture(means, scales=1.0, weights=weights), 0.5)
    # (sum_k w_k N(x; m_k, I))^2 = sum_kl w_k w_l N(m_k - m_l; 0, 2 I) N(x; ...)
    squares = torch.cdist(means, means).square()
    exact = float((weights.outer(weights) * (-squares / 4).exp() / (4 * math.pi)).sum().log())
    sampler = peers.BlackjaxTemperedSMC(base=targets.Gaussian(torch.zeros(2), 3.0), leapfrogs=5, replicates=8)
    draws = sampler.sample(target, draws=400, seed=3)
    assert len(set(draws.log_z.estimates)) == 8
    assert 0 < draws.log_z.standard_error < 0.05
    assert abs(draws.log_z.value - exact) < 5 * draws.log_z.standard_error
    assert draws.log_weights.shape == (1, 3200)
    mean_weight = float(draws.log_weights.logsumexp(1)) - math.log(3200)
    assert mean_weight == pytest.approx(draws.log_z.value, abs=1e-6)
    assert draws.attrs["kind"] == INDEPENDENT
    assert all(len(betas) > 2 and betas[-1] == 1 for betas in draws.attrs["betas"])
    assert draws.cost.score > 0


def test_a_posterior_is_annealed_from_its_prior():
    needs("blackjax-smc")
    y, asked = torch.tensor([1.0, 2.0, 4.0]), []

    def log_likelihood(mu):
        asked.append(len(mu))
        return Normal(mu[:, None], 1.0).log_prob(y).sum(-1)

    target = targets.Posterior(
        log_likelihood=log_likelihood, parameters={"mu": targets.Real(prior=Normal(0.0, 5.0))}, dtype=torch.float32
    )
    asked.clear()
    draws = peers.BlackjaxTemperedSMC(leapfrogs=5).sample(target, draws=1000, seed=1)
    assert draws.attrs["base"].endswith("prior")
    assert draws.cost.log_prob == sum(asked) > 0
    covariance = torch.eye(3, dtype=torch.float64) + 25
    exact = float(torch.distributions.MultivariateNormal(torch.zeros(3).double(), covariance).log_prob(y.double()))
    assert math.isnan(draws.log_z.standard_error)
    assert abs(draws.log_z.value - exact) < 0.2
    mu = draws.resample(4000, generator=torch.Generator().manual_seed(0))
    assert float(mu.mean()) == pytest.approx(25 * 7 / 76, abs=0.15)


@EVERY_PEER
def test_a_discrete_target_is_refused_in_the_words_of_kernels(name):
    ising = targets.Ising((3, 3), coupling=0.2)
    with pytest.raises(TypeError) as peer:
        NAMES[name]().sample(ising)
    with pytest.raises(TypeError) as kernel:
        samplers.HMC().sample(ising)
    assert str(peer.value) == str(kernel.value).replace("HMC", NAMES[name].__name__)


@EVERY_PEER
def test_a_missing_package_is_named(name, monkeypatch):
    package = NAMES[name].packages[-1]
    for other in NAMES[name].packages:
        if importlib.util.find_spec(other) is None:
            package = other
            break
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"needs the package {package}: pip install 'unnorm\[peers\]'"):
        NAMES[name]().sample(Watched())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("emcee", {"chains": 7}, "chains: got 7, expected an even number of at least 4"),
        ("emcee", {"chains": 2}, "chains: got 2, expected an even number of at least 4"),
        ("emcee", {"chains": 4, "init": torch.ones(4, 2)}, "init: the walkers lie in a subspace"),
        ("blackjax-nuts", {"chains": 0}, "chains: got 0"),
        ("blackjax-nuts", {"init": torch.ones(3, 2)}, r"init: got \(3, 2\), expected \(4, 2\)"),
        ("numpyro-nuts", {"init": torch.full((4, 2), torch.nan)}, "where chain 0 starts"),
        ("numpyro-nuts", {"draws": 0}, "draws: got 0"),
        ("numpyro-nuts", {"checkpoint": "run.pt"}, "checkpoint: got 'run.pt', expected None"),
        ("blackjax-smc", {"draws": 0}, "draws: got 0"),
    ],
)
def test_bad_arguments(name, arguments, message):
    needs(name)
    with pytest.raises(ValueError, match=message):
        NAMES[name]().sample(Watched(), **arguments)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (peers.BlackjaxNUTS, {"target_acceptance": 1.0}, "target_acceptance: got 1.0"),
        (peers.NumpyroNUTS, {"step_size": 0}, "step_size: got 0"),
        (peers.NumpyroNUTS, {"max_doublings": 0}, "max_doublings: got 0"),
        (peers.Emcee, {"stretch": 1.0}, "stretch: got 1.0"),
        (peers.BlackjaxTemperedSMC, {"target_ess": 0}, "target_ess: got 0"),
        (peers.BlackjaxTemperedSMC, {"replicates": 0}, "replicates: got 0"),
    ],
)
def test_bad_hyperparameters(kind, fields, message):
    with pytest.raises(ValueError, match=message):
        kind(**fields)


def test_a_half_precision_target_is_refused():
    needs("blackjax-nuts")
    with pytest.raises(TypeError, match=r"dtype: got torch.float16, expected torch.float64 or torch.float32"):
        peers.BlackjaxNUTS().sample(targets.Gaussian(torch.zeros(2, dtype=torch.float16)), init=torch.zeros(4, 2))


def test_a_proposal_outside_the_support_is_refused_and_counted():
    needs("emcee")
    half = targets.LogDensity(lambda x: torch.where(x > 0, -x, torch.nan).sum(-1), 1, dtype=torch.float64)
    with pytest.warns(samplers.SamplingWarning, match="diverged"):
        draws = peers.Emcee().sample(half, draws=200, warmup=100, init=lambda n, g: torch.rand(n, 1, generator=g))
    assert bool((draws.x > 0).all())
    assert draws.divergences.sum() > 0


def test_names_on_the_command_line():
    assert {name: SAMPLERS[name] for name in NAMES} == NAMES


@pytest.mark.slow
def test_nothing_of_the_extra_is_imported():
    code = "import samplers.peers, samplers.registry, sys; print([m for m in sys.modules if m in ('jax', 'emcee')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
