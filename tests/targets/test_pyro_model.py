"""Pyro models against the same models written as `Posterior`."""

import sys

import pytest
import torch
from torch.distributions import Dirichlet, HalfCauchy, Normal

import targets

F64 = torch.float64
Y = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12], dtype=F64)
S = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18], dtype=F64)


@pytest.fixture
def pyro():
    return pytest.importorskip("pyro", reason="Pyro is not installed (extra `pyro`)")


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(F64)
    yield
    torch.set_default_dtype(before)


def schools(y, s, pyro):
    mu = pyro.sample("mu", pyro.distributions.Normal(0.0, 5.0))
    tau = pyro.sample("tau", pyro.distributions.HalfCauchy(5.0))
    with pyro.plate("schools", 8):
        z = pyro.sample("z", pyro.distributions.Normal(0.0, 1.0))
        pyro.sample("y", pyro.distributions.Normal(mu + tau * z, s), obs=y)


@pytest.mark.usefixtures("double")
def test_a_pyro_model_is_the_same_posterior(pyro):
    target = targets.from_pyro(schools, Y, S, pyro=pyro)
    same = targets.Posterior(
        log_likelihood=lambda mu, tau, z: Normal(mu[:, None] + tau[:, None] * z, S).log_prob(Y).sum(-1),
        parameters={
            "mu": targets.Real(prior=Normal(0.0, 5.0)),
            "tau": targets.Positive(prior=HalfCauchy(5.0)),
            "z": targets.Real(8, prior=Normal(0.0, 1.0)),
        },
    )
    assert (target.dim, target.dtype, target.name) == (10, F64, "schools")
    x = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(target.log_prob(x), same.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(target.score(x), same.score(x), rtol=1e-11, atol=1e-11)
    ours, theirs = same.constrain(x), target.constrain(x)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value)
    assert {key: v.shape for key, v in target.variables.items()} == {"mu": (), "tau": (), "z": (8,)}
    assert target.known == frozenset()


@pytest.mark.usefixtures("double")
def test_a_site_on_the_simplex_keeps_its_shape_and_its_jacobian(pyro):
    def shares():
        pyro.sample("p", pyro.distributions.Dirichlet(torch.tensor([1.5, 2.0, 3.0])))

    target = targets.from_pyro(shares)
    same = targets.Prior({"p": targets.Simplex(3, prior=Dirichlet(torch.tensor([1.5, 2.0, 3.0])))})
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(target.log_prob(x), same.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(target.constrain(x)["p"], same.constrain(x)["p"])


@pytest.mark.usefixtures("double")
def test_making_a_pyro_target_leaves_the_global_generator(pyro):
    state = torch.get_rng_state()
    targets.from_pyro(schools, Y, S, pyro=pyro)
    assert torch.equal(state, torch.get_rng_state())


def test_a_model_without_continuous_latent_sites_is_refused(pyro):
    def nothing():
        pyro.sample("y", pyro.distributions.Normal(0.0, 1.0), obs=torch.tensor(1.0))

    with pytest.raises(ValueError, match="model: has no continuous latent sites, expected at least one"):
        targets.from_pyro(nothing)


def test_without_pyro_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyro.infer.mcmc.util", None)
    monkeypatch.setitem(sys.modules, "pyro", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'unnorm\[pyro\]'"):
        targets.from_pyro(schools)
