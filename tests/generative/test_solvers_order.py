"""The measured order of every reverse solver is the one that it declares; no measurement has a sampling error."""

import math

import pytest
import torch
from seeded_bugs_generative import BUGS
from solver_cases import (
    BAND,
    F64,
    MIXTURE,
    PROCESSES,
    SOLVERS,
    check_order,
    exact_law,
    exact_path,
    flow_case,
    flow_reference,
    mixture_score,
    noised_law,
    seeded,
)

from samplers.generative import solvers


@pytest.mark.parametrize("name", SOLVERS)
def test_order(name, monkeypatch):
    check_order(SOLVERS[name], "VP", monkeypatch)


CORRELATED = ["Euler-Maruyama", "exponential, lam 1/2", "DDIM, eta 1", "two corrections", "EDM with churn"]
CORRELATED += ["torchsde, srk", "Heun", "DPM-Solver 2", "DPM-Solver++ 2M"]


@pytest.mark.parametrize("name", CORRELATED)
def test_order_with_correlated_noise(name, monkeypatch):
    check_order(SOLVERS[name], "SubVP", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", SOLVERS)
def test_order_for_every_process(name, process, monkeypatch):
    steps = 128 if process == "VE" else 32  # whose noise grows by a factor of 200: longer steps are far from the limit
    check_order(SOLVERS[name], process, monkeypatch, steps=steps)


# To t = 0, where the last step shrinks with the others

TO_ZERO = ("Euler-Maruyama", "exponential", "torchsde, srk", "Euler", "Heun")


@pytest.mark.parametrize("name", TO_ZERO)
def test_order_to_zero(name, monkeypatch):
    process, errors = PROCESSES["VP"], []
    for steps in (32, 64):
        solver = SOLVERS[name](steps=steps)
        if solver.deterministic:
            x, reference = flow_case("VP", 0.0)
            errors.append(float((solver.solve(mixture_score(process), process, x) - reference).abs().max()))
        else:
            errors.append(exact_law(solver, process, monkeypatch).error(*noised_law(process, 0.0)))
    assert abs(math.log2(errors[0] / errors[1]) - solver.order) < BAND


@pytest.mark.parametrize("lam", [-1.0, 0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("kind", [solvers.EulerMaruyama, solvers.ExponentialIntegrator])
def test_marginals_of_the_plug_in_family_agree(kind, lam):
    """At every tenth of the horizon the law tends to that of the process, at order 1, whatever lam."""
    process, errors = PROCESSES["VP"], []
    for steps in (40, 80):
        laws = exact_path(kind(steps, lam=lam), process)[:: -steps // 10]
        errors.append([law.error(*noised_law(process, tenth / 10)) for tenth, law in enumerate(laws)])
    assert errors[1][-1] == pytest.approx(0.0, abs=1e-12)
    assert all(after < 0.6 * before for before, after in zip(*(row[:-1] for row in errors), strict=True))


# Steps of a length found on the way


@pytest.mark.parametrize("method", ["RK45", "DOP853"])
@pytest.mark.parametrize("name", ["VP", "SubVP"])
def test_adaptive_flow_keeps_its_tolerance(name, method):
    process = PROCESSES[name]
    x, reference = flow_case(name, 0.0)
    rough, fine = (
        solvers.AdaptiveFlow(rtol=tolerance, atol=tolerance, method=method).solve(mixture_score(process), process, x)
        for tolerance in (1e-3, 1e-6)
    )
    assert float((fine - reference).abs().max()) < 1e-4  # a tolerance is of one step
    assert float((fine - reference).abs().max()) < 0.1 * float((rough - reference).abs().max())


# The seeded bugs


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()


# A few evaluations


def sliced(x, y):
    directions = torch.randn(2, 32, generator=seeded(9), dtype=F64)
    ends = [(z @ (directions / directions.norm(dim=0))).sort(0).values for z in (x, y)]
    return float((ends[0] - ends[1]).square().mean().sqrt())


@pytest.mark.parametrize("name", ["VP", "VE", "OU"])
def test_20_evaluations_are_worth_200_of_euler(name):
    """All are within what tells two sets of 2000 exact draws apart, by sliced W2 (5 of its standard deviations)."""
    process, generator, n = PROCESSES[name], seeded(5), 2000
    x = process.diffuse(MIXTURE.sample(n, generator=generator), 0.0, process.horizon, generator)
    pairs = [[MIXTURE.sample(n, generator=generator) for _ in range(2)] for _ in range(10)]
    floor = torch.tensor([sliced(*pair) for pair in pairs])
    for solver in (solvers.Euler(200), solvers.DPMSolver2(10), solvers.EDM(10)):
        assert solver.evaluations in (200, 19)
        found = solver.solve(mixture_score(process), process, x)
        errors = torch.tensor([sliced(found, pair[0]) for pair in pairs])
        assert float(errors.mean()) < float(floor.mean() + 5 * floor.std())


def test_the_reference_is_one():
    """The same flow from the score on another path: the marginal moments at t = 0."""
    process, generator = PROCESSES["OU"], seeded(5)
    x = process.diffuse(MIXTURE.sample(2000, generator=generator), 0.0, process.horizon, generator)
    found, exact = flow_reference(process, x, 0.0), MIXTURE.sample(2000, generator=generator)
    z = (found.mean(0) - exact.mean(0)) / (found.var(0) / 2000 + exact.var(0) / 2000).sqrt()
    assert float(z.abs().max()) < 5
