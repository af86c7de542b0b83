"""Models written in other packages against the built-in posterior of the eight schools: densities, scores, draws."""

import pickle
import sys
import warnings
from functools import cache

import cloudpickle
import numpy as np
import pytest
import torch

import samplers
import targets
from targets._elsewhere import Elsewhere, point_by_point
from targets.eight_schools import EFFECTS, ERRORS

F64 = torch.float64
Y, S = np.array(EFFECTS), np.array(ERRORS)
SCHOOLS = list("ABCDEFGH")
BUILT_IN = targets.EightSchools()
STAN = """
data { int<lower=0> J; vector[J] y; vector<lower=0>[J] s; }
parameters { real mu; real<lower=0> tau; vector[J] z; }
transformed parameters { vector[J] theta = mu + tau * z; }
model { mu ~ normal(0, 5); tau ~ cauchy(0, 5); z ~ std_normal(); y ~ normal(theta, s); }
generated quantities { array[2] vector[3] grid; matrix[2, 3] square;
  for (i in 1:2) for (j in 1:3) { grid[i, j] = 10 * i + j; square[i, j] = 100 * i + j; } }
"""


def needs(package, extra=None):
    return pytest.importorskip(package, reason=f"{package} is not installed (extra `{extra or package}`)")


def jax_schools(x):
    import jax.numpy as jnp

    mu, tau, z = x[0], jnp.exp(x[1]), x[2:]
    normal = -0.5 * ((mu / 5) ** 2 + (z**2).sum() + (((Y - mu - tau * z) / S) ** 2).sum())
    return normal - jnp.log1p((tau / 5) ** 2) + x[1]


def jax_values(x):
    import jax.numpy as jnp

    return {"mu": x[0], "tau": jnp.exp(x[1]), "theta": x[0] + jnp.exp(x[1]) * x[2:]}


def from_jax():
    needs("jax")
    return targets.from_jax(
        jax_schools, 10, constrain=jax_values, dims={"theta": ["school"]}, coords={"school": SCHOOLS}
    )


def from_numpyro():
    numpyro = needs("numpyro")
    dist = numpyro.distributions

    def schools(y, s):
        mu = numpyro.sample("mu", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        with numpyro.plate("school", 8):
            z = numpyro.sample("z", dist.Normal(0, 1))
            theta = numpyro.deterministic("theta", mu + tau * z)
            numpyro.sample("y", dist.Normal(theta, s), obs=y)

    return targets.from_numpyro(schools, Y, s=S)


def pymc_schools(pymc):
    with pymc.Model(coords={"school": SCHOOLS}) as model:
        y = pymc.Data("data", Y, dims="school")
        mu = pymc.Normal("mu", 0, 5)
        tau = pymc.HalfCauchy("tau", 5)
        z = pymc.Normal("z", 0, 1, dims="school")
        theta = pymc.Deterministic("theta", mu + tau * z, dims="school")
        pymc.Normal("y", theta, S, observed=y, dims="school")
    return model


def from_pymc():
    pymc = needs("pymc")
    pymc.pytensorf.pytensor.config.mode = "FAST_COMPILE"  # seconds, where the usual mode takes a minute
    return targets.from_pymc(pymc_schools(pymc))


def built(program, **data):
    stan = needs("stan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the server that PyStan starts
        return stan.build(program, data=data)


def from_stan():
    return targets.from_stan(built(STAN, J=8, y=Y, s=S))


MAKERS = {"jax": from_jax, "numpyro": from_numpyro, "pymc": from_pymc, "stan": from_stan}
WITHOUT_STAN = ["jax", "numpyro", pytest.param("pymc", marks=pytest.mark.slow)]
EVERY = pytest.mark.parametrize("name", [*WITHOUT_STAN, pytest.param("stan", marks=pytest.mark.slow)])
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(pymc|pytensor|httpstan|stan|numpyro|jax|pkg_resources).*"),
    pytest.mark.filterwarnings("ignore:pkg_resources is deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:(pymc|pytensor).*"),
]


@cache
def made(name):
    return MAKERS[name]()


def points(seed=0):
    return 2 * torch.randn(5, 3, 10, generator=torch.Generator().manual_seed(seed), dtype=F64)


@EVERY
def test_density_and_score_are_the_built_in_ones(name):
    target, x = made(name), points()
    assert (target.dim, target.dtype, target.known) == (10, F64, frozenset())
    apart = target.log_prob(x) - BUILT_IN.log_prob(x)  # a constant, that of the factors that are left out
    torch.testing.assert_close(apart, apart[:1, :1].expand_as(apart), rtol=0, atol=1e-10)
    torch.testing.assert_close(target.score(x), BUILT_IN.score(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(target.log_prob(x[0, 0]), target.log_prob(x)[0, 0], rtol=1e-13, atol=0)
    assert target.log_prob(x[:0]).shape == (0, 3)
    assert target.score(x[:0]).shape == (0, 3, 10)


@EVERY
def test_draws_carry_named_values(name):
    target, x = made(name), points()
    ours, theirs = BUILT_IN.constrain(x), target.constrain(x)
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-12, atol=1e-12)
    assert {key: tuple(value.shape[2:]) for key, value in theirs.items()} == {
        key: variable.shape for key, variable in target.variables.items()
    }
    assert list(theirs) == list(target.variables)
    draws = samplers.HMC(0.3, "identity", steps=2).sample(target, chains=2, draws=5, warmup=0, init=0.1 * x[0, :2])
    posterior = draws.to_arviz()["posterior"]
    assert posterior["theta"].shape == (2, 5, 8)
    if name in ("jax", "pymc"):
        assert posterior["theta"].dims[2] == "school"
        assert list(posterior["school"].values) == SCHOOLS


@EVERY
def test_nothing_is_shared_and_nothing_is_left_behind(name):
    target, x = made(name), points()
    value, score = target.log_prob_and_score(x)
    kept = x.clone()
    score.zero_()
    value.zero_()
    target.constrain(x)["mu"].zero_()
    assert torch.equal(x, kept)
    assert not torch.equal(target.log_prob(x), value)
    x.add_(1)
    torch.testing.assert_close(target.score(x), BUILT_IN.score(x), rtol=1e-10, atol=1e-10)


@EVERY
def test_other_processes_get_the_same_target(name):
    target, x = made(name), points()
    other = pickle.loads(cloudpickle.dumps(target))
    assert torch.equal(other.score(x), target.score(x))
    assert other.constrain(x).keys() == target.constrain(x).keys()


@EVERY
def test_torch_differentiates_it(name):
    target, x = made(name), points()[0].requires_grad_()
    (gradient,) = torch.autograd.grad((2 * target.log_prob(x)).sum(), x)
    torch.testing.assert_close(gradient, 2 * BUILT_IN.score(x.detach()), rtol=1e-10, atol=1e-10)


@EVERY
def test_a_point_without_a_density_is_not_the_end(name):
    target, x = made(name), points()
    x[0, 0], x[1, 1, 1] = torch.nan, 1e4
    found = target.log_prob(x)
    assert not found[0, 0].isfinite()
    assert not found[1, 1].isfinite()
    assert int(found.isfinite().sum()) == 13
    with pytest.raises(ValueError, match=r"x: got shape \(3,\), expected"):
        target.log_prob(x[0, 0, :3])
    with pytest.raises(TypeError, match="x: got torch.float32, expected torch.float64"):
        target.log_prob(x.float())


@pytest.mark.parametrize(
    "name", [pytest.param("pymc", marks=pytest.mark.slow), pytest.param("stan", marks=pytest.mark.slow)]
)
def test_double_precision_on_the_cpu_only(name):
    with pytest.raises(TypeError, match="dtype: got torch.float32, expected torch.float64, in which"):
        made(name).to(dtype=torch.float32)
    with pytest.raises(ValueError, match="device: got meta, expected cpu, where"):
        made(name).to("meta")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # a step that diverges
@EVERY
def test_hmc_finds_the_exact_moments(name):
    draws = samplers.HMC().sample(made(name), chains=8, draws=400, warmup=300, seed=0)
    arviz = samplers.draws.records.import_arviz()
    posterior = draws.to_arviz()["posterior"]
    for key in ("mu", "tau", "theta"):
        error = torch.as_tensor(arviz.mcse(posterior, var_names=[key])[key].values)
        gap = torch.as_tensor(posterior[key].values).mean((0, 1)) - BUILT_IN.moments[key].mean
        assert bool((gap.abs() < 4 * error).all()), (key, gap, error)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")  # a step that diverges
@EVERY
def test_it_stands_in_a_comparison(name, tmp_path):
    hmc = (samplers.HMC(), {"chains": 4, "draws": 50, "warmup": 50})
    result = samplers.compare({name: made(name)}, {"hmc": hmc}, folder=tmp_path)
    assert [row["error"] for row in result.rows] == [""]


# What the adapters share


class Wall(Elsewhere):
    """log p(x) = -x^2 / 2 for positive x, undefined elsewhere."""

    def _values(self, x):
        return self._values_and_scores(x)[0]

    def _values_and_scores(self, x):
        def at(point):
            if not point[0] > 0:
                raise FloatingPointError
            point *= 2  # its own copy
            return -0.125 * point[0] ** 2, -0.5 * point

        return point_by_point(at, x, ((), (1,)))


def test_a_point_that_is_refused_is_nan_and_the_others_are_not():
    wall, x = Wall(1, dtype=F64), torch.tensor([[1.0], [-1.0], [2.0]], dtype=F64)
    value, score = wall.log_prob_and_score(x)
    torch.testing.assert_close(value, torch.tensor([-0.5, torch.nan, -2.0], dtype=F64), equal_nan=True)
    torch.testing.assert_close(score[[0, 2], 0], torch.tensor([-1.0, -2.0], dtype=F64))
    assert x[:, 0].tolist() == [1.0, -1.0, 2.0]
    with pytest.warns(samplers.SamplingWarning, match="steps diverged"):
        draws = samplers.RandomWalkMetropolis(0.5).sample(wall, chains=4, draws=20, warmup=0, init=x[:1].expand(4, 1))
    assert float(draws.x.min()) > 0


@pytest.mark.parametrize(
    ("module", "function", "extra"),
    [
        ("jax", "from_jax", "jax"),
        ("numpyro", "from_numpyro", "numpyro"),
        ("pymc", "from_pymc", "pymc"),
        ("stan", "from_stan", "stan"),
    ],
)
def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch, module, function, extra):
    monkeypatch.setitem(sys.modules, module, None)
    arguments = {"from_jax": (jax_schools, 10)}.get(function, (None,))
    with pytest.raises(ModuleNotFoundError, match=rf"{function} needs .*pip install 'unnorm\[{extra}\]'"):
        getattr(targets, function)(*arguments)


# JAX alone


@pytest.fixture
def jax():
    return needs("jax")


def test_batched_functions(jax):
    single = from_jax()
    batched = targets.from_jax(jax.vmap(jax_schools), 10, batched=True, constrain=jax.vmap(jax_values))
    x = points()
    torch.testing.assert_close(batched.score(x), single.score(x), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(batched.constrain(x), single.constrain(x))


def test_memory_that_jax_hands_back_is_copied(jax):
    target = targets.from_jax(lambda x: 0.5 * x @ x, 4)  # the score is x itself
    x = torch.ones(4, 4, dtype=F64)
    target.score(x).zero_()
    assert bool((x == 1).all())


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("around", [True, False])
def test_precision_is_the_targets_and_jax_stays_as_it_was(jax, dtype, around):
    before = jax.config.jax_enable_x64
    y = Y.copy()  # JAX may mix up the precisions of an array that it has traced in both
    with jax.enable_x64(around):
        target = targets.from_jax(lambda x: -0.5 * ((y - x) ** 2).sum(), 8, dtype=dtype)
        x = torch.full((3, 8), 1 / 3, dtype=dtype)
        torch.testing.assert_close(target.score(x), torch.from_numpy(y).to(dtype) - x)
        assert target.log_prob(x).dtype == dtype
        assert jax.config.jax_enable_x64 == around
    assert jax.config.jax_enable_x64 == before


def test_functions_that_cannot_be_used_are_named(jax):
    import jax.numpy as jnp

    with pytest.raises(ValueError, match=r"fn: returned shape \(2,\) for x of shape \(2,\), expected \(\)"):
        targets.from_jax(lambda x: -x * x, 2)
    with pytest.raises(ValueError, match=r"fn: returned shape \(\) for x of shape \(3, 2\), expected \(3,\)"):
        targets.from_jax(lambda x: -(x**2).sum(), 2, batched=True)
    with pytest.raises(TypeError, match="fn: returned float32 for x in float64, .* pass dtype=torch.float32"):
        targets.from_jax(lambda x: -(x.astype(jnp.float32) ** 2).sum(), 2)
    with pytest.raises(TypeError, match="fn: got int, expected a function"):
        targets.from_jax(3, 2)
    with pytest.raises(ValueError, match=r"dims: got 'nu', expected names among \['mu', 'tau', 'theta'\]"):
        targets.from_jax(jax_schools, 10, constrain=jax_values, dims={"nu": ["school"]})
    with pytest.raises(TypeError, match="dtype: got torch.float16, expected torch.float64 or torch.float32"):
        from_jax().to(dtype=torch.float16)


# NumPyro alone


def test_numpyro_simplex_and_a_support_that_depends_on_another_site():
    numpyro = needs("numpyro")
    dist = numpyro.distributions

    def model():
        shares = numpyro.sample("p", dist.Dirichlet(np.array([1.5, 2.0, 3.0])))
        numpyro.sample("u", dist.Uniform(0, 2 + shares[0]))

    target = targets.from_numpyro(model)
    assert {key: variable.shape for key, variable in target.variables.items()} == {"p": (3,), "u": ()}
    same = targets.Prior({"p": targets.Simplex(3, prior=torch.distributions.Dirichlet(torch.tensor([1.5, 2, 3])))})
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    values = target.constrain(x)
    torch.testing.assert_close(values["p"].sum(-1), torch.ones(6, dtype=F64))
    assert bool((values["u"] < 2 + values["p"][:, 0]).all())
    share = torch.sigmoid(x[:, 2])
    logistic = (share * (1 - share)).log()  # the uniform's density times the width of its map
    density = torch.distributions.Dirichlet(torch.tensor([1.5, 2, 3], dtype=F64)).log_prob(values["p"])
    assert same.dim == 2
    # the map of the simplex has a Jacobian of its own kind: compare where it is the same point
    first = target.log_prob(x) - density - logistic
    moved = x.clone()
    moved[:, 2] = 0.3
    again = (
        target.log_prob(moved)
        - density
        - torch.tensor([0.3], dtype=F64).sigmoid().mul(1 - torch.tensor([0.3]).double().sigmoid()).log()
    )
    torch.testing.assert_close(first, again, rtol=1e-12, atol=1e-12)


def test_numpyro_models_that_are_no_posterior_are_refused():
    numpyro = needs("numpyro")
    dist = numpyro.distributions

    def nothing():
        numpyro.sample("y", dist.Normal(0, 1), obs=1.0)

    def discrete():
        numpyro.sample("k", dist.Poisson(2.0))

    def free():
        numpyro.sample("y", dist.Normal(numpyro.param("m", 0.0), 1))

    def parts():
        numpyro.sample("m", dist.Normal(0, 1))
        with numpyro.plate("data", 8, subsample_size=4):
            numpyro.sample("y", dist.Normal(0, 1), obs=np.zeros(4))

    for model, words in (
        (nothing, "model: has no continuous latent sites"),
        (discrete, r"model: the sites \['k'\] are discrete"),
        (free, r"model: the sites \['m'\] are parameters without a prior"),
        (parts, r"model: the plates \['data'\] take a random part of the data"),
    ):
        with pytest.raises(ValueError, match=words):
            targets.from_numpyro(model)


def test_numpyro_normals_that_are_cut_far_above_their_centre():
    """Warned of where NumPyro's density is wrong; the mirror image that the warning names has the right one."""
    numpyro = needs("numpyro")
    dist = numpyro.distributions

    def cut(low, scale=1.0, loc=0.0):
        return dist.TruncatedNormal(loc, scale, low=low, high=low + 1)

    def latent(law):
        return lambda: numpyro.sample("x", law)

    def observed():
        centre = numpyro.sample("x", dist.Normal(0, 1e-3))
        with numpyro.plate("data", 3):
            numpyro.sample("y", cut(8.0, loc=centre), obs=np.full(3, 8.2))

    words = r"model: the site '{}' is a normal that .*, the lower one {} standard .*; write its mirror image, minus a"
    for model, key, away in (
        (latent(cut(9.0)), "x", "9"),
        (latent(cut(18.0, scale=2.0)), "x", "9"),
        (latent(cut(np.array([0.0, 10.0])).to_event(1)), "x", "10"),
        (latent(cut(7.5).expand([2]).to_event(1)), "x", "7.5"),
        (observed, "y", "8"),
    ):
        with pytest.warns(samplers.SamplingWarning, match=words.format(key, away)):
            targets.from_numpyro(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", samplers.SamplingWarning)
        for law in (cut(6.0), dist.TruncatedNormal(0.0, 1.0, low=9.0), dist.Normal(0.0, 1.0)):
            targets.from_numpyro(latent(law))
        mirrored = targets.from_numpyro(latent(dist.TruncatedNormal(0.0, 1.0, low=-10.0, high=-9.0)))
    from scipy.stats import truncnorm

    x = torch.linspace(-3, 3, 7, dtype=F64)[:, None]
    kept = -mirrored.constrain(x)["x"].numpy()
    share = torch.sigmoid(x[:, 0]).numpy()
    expected = truncnorm(9, 10).logpdf(kept) + np.log(share * (1 - share))
    np.testing.assert_allclose(mirrored.log_prob(x).numpy(), expected, rtol=1e-9)


# PyMC alone


@pytest.mark.slow
def test_pymc_data_that_are_set_later_do_not_come_in():
    pymc = needs("pymc")
    made("pymc")
    model = pymc_schools(pymc)
    target, x = targets.from_pymc(model), points()
    before = target.log_prob(x)
    with model:
        pymc.set_data({"data": Y[::-1].copy()})
    assert torch.equal(target.log_prob(x), before)
    other = targets.from_pymc(model)
    assert not torch.allclose(other.log_prob(x), before)


@pytest.mark.slow
def test_pymc_models_that_are_no_posterior_are_refused():
    pymc = needs("pymc")
    with pymc.Model() as counts:
        pymc.Poisson("k", 3.0)
    with pytest.raises(ValueError, match=r"model: the variables \['k'\] are discrete"):
        targets.from_pymc(counts)
    with pytest.raises(ValueError, match="model: has no free variables"):
        targets.from_pymc(pymc.Model())
    with pytest.raises(TypeError, match="model: got int, expected a pymc.Model"):
        targets.from_pymc(3)


# Stan alone


@pytest.mark.slow
def test_stan_arrays_keep_their_indices():
    values = made("stan").constrain(points()[0, 0])
    assert values["grid"].tolist() == [[11, 12, 13], [21, 22, 23]]
    assert values["square"].tolist() == [[101, 102, 103], [201, 202, 203]]


@pytest.mark.slow
def test_stan_rejects_a_point_and_the_run_goes_on():
    program = 'parameters { real x; } model { if (x > 1) reject("too far"); x ~ normal(0, 1); }'
    target = targets.from_stan(built(program))
    found = target.log_prob(torch.tensor([[0.5], [1.5]], dtype=F64))
    assert found[0] == -0.125
    assert bool(found[1].isnan())
    start = torch.zeros(4, 1, dtype=F64)
    with pytest.warns(samplers.SamplingWarning, match="steps diverged"):
        draws = samplers.RandomWalkMetropolis(1.0).sample(target, chains=4, draws=50, warmup=0, init=start)
    assert float(draws.x.max()) <= 1
    assert int(draws.stats["diverging"].sum()) > 0


@pytest.mark.slow
def test_stan_programs_that_are_no_posterior_are_refused():
    with pytest.raises(ValueError, match="model: has no parameters, expected at least one"):
        targets.from_stan(built("generated quantities { real y = 1; }"))
    with pytest.raises(ValueError, match="model: Stan rejects the origin and 19 random points; the last with: .*never"):
        targets.from_stan(built('parameters { simplex[3] p; } model { reject("never"); }'))
    with pytest.raises(TypeError, match="model: got str, expected what stan.build of PyStan 3 returns"):
        targets.from_stan("parameters { real x; }")
