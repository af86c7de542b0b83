"""Isokinetic dynamics against its closed form, and what the microcanonical kernels say of themselves."""

import math
from dataclasses import replace

import pytest
import torch
from kernel_cases import MASS, skewed
from seeded_bugs_microcanonical import RIGHT

import targets
from samplers import MAMS, MCLMC
from samplers.adaptation.microcanonical import DecoherenceLength, EnergyErrors
from samplers.kernels import isokinetic
from samplers.testing import check_invariance, check_leapfrog

F64 = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def directions_and_scores(dim, seed=0, chains=50):
    g = generator(seed)
    return isokinetic.directions(torch.empty(chains, dim, dtype=F64), g), torch.randn(chains, dim, generator=g).double()


@pytest.mark.parametrize("dim", [2, 3, 20])
def test_a_turn_is_the_flow_of_the_isokinetic_equation(dim):
    """du/dt = sqrt(d) / (d - 1) (I - uu') g and dK/dt = sqrt(d) u.g, by Runge and Kutta's fourth-order steps."""
    u, pull = directions_and_scores(dim)
    time, steps, rate = 0.7, 200, math.sqrt(dim)

    def slope(u):
        along = (u * pull).sum(-1, keepdim=True)
        return rate / (dim - 1) * (pull - along * u), rate * along[:, 0]

    v, kinetic, h = u, torch.zeros(len(u), dtype=F64), time / steps
    for _ in range(steps):
        a, ka = slope(v)
        b, kb = slope(v + 0.5 * h * a)
        c, kc = slope(v + 0.5 * h * b)
        d, kd = slope(v + h * c)
        v, kinetic = v + h / 6 * (a + 2 * b + 2 * c + d), kinetic + h / 6 * (ka + 2 * kb + 2 * kc + kd)
    turned, gained = isokinetic.turned(u, pull, time)
    torch.testing.assert_close(turned, v, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(gained, kinetic, rtol=1e-7, atol=1e-7)


def test_turns_add_up_and_run_back():
    u, pull = directions_and_scores(5)
    whole, gained = isokinetic.turned(u, pull, 1.1)
    part, first = isokinetic.turned(u, pull, 0.3)
    rest, second = isokinetic.turned(part, pull, 0.8)
    torch.testing.assert_close(rest, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(first + second, gained, rtol=1e-12, atol=1e-12)
    back, lost = isokinetic.turned(-whole, pull, 1.1)
    torch.testing.assert_close(back, -u, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(lost, -gained, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_turn_by_a_score_of_any_size_is_finite_and_right(dtype):
    """Far out cosh r overflows; the direction is then the score's, and K is (d - 1) (r + log((1 + c) / 2))."""
    dim, u = 3, torch.tensor([[0.6, 0.0, -0.8]], dtype=dtype)
    for size in (1e3, 1e8, 1e15):
        pull = torch.tensor([[0.0, 0.0, size]], dtype=dtype)
        turned, gained = isokinetic.turned(u, pull, 1.0)
        torch.testing.assert_close(turned, torch.tensor([[0.0, 0.0, 1.0]], dtype=dtype))
        expected = (dim - 1) * (math.sqrt(dim) / (dim - 1) * size + math.log((1 - 0.8) / 2))
        torch.testing.assert_close(gained, torch.tensor([expected], dtype=dtype))
    for pull, expected in ((torch.zeros(1, 3, dtype=dtype), 0.0), (1e-12 * torch.ones(1, 3, dtype=dtype), -0.2e-12)):
        turned, gained = isokinetic.turned(u, pull, 1.0)
        torch.testing.assert_close(turned, u)
        # sqrt(d) g.u to first order, of which no digits are lost
        torch.testing.assert_close(gained, torch.tensor([math.sqrt(dim) * expected], dtype=dtype), rtol=1e-5, atol=0)


@pytest.mark.parametrize("mass", ["identity", torch.tensor([0.5, 2.0]).double(), MASS])
def test_trajectories_run_back_have_the_volume_of_their_energy_and_order_two(mass):
    report = check_leapfrog(MAMS(0.3, mass, steps=5), skewed(), seed=8)
    assert report.return_error < 1e-10


def test_a_wrong_energy_has_not_the_volume(monkeypatch):
    turned = isokinetic.turned

    def wrong(u, pull, time):
        u, gained = turned(u, pull, time)
        return u, u.shape[-1] / (u.shape[-1] - 1) * gained

    monkeypatch.setattr(isokinetic, "turned", wrong)
    with pytest.raises(AssertionError, match="leapfrog changes volume"):
        check_leapfrog(MAMS(0.3, "identity"), skewed(), seed=8)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_directions_keep_their_length(dtype, error):
    target = targets.Gaussian(torch.zeros(4, dtype=dtype), torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=dtype))
    kernel, g = MCLMC(0.3), generator()
    with torch.no_grad():
        state = kernel.init(target, torch.ones(16, 4, dtype=dtype), g)
        for _ in range(500):
            state, _ = kernel.step(target, state, g)
    assert state.x.dtype == state.direction.dtype == dtype
    assert float((state.direction.double().norm(dim=-1) - 1).abs().max()) < error


def test_mams_is_the_algorithm_written_out():
    """To the bit of its decisions: the seeded bugs are mistakes in this form."""
    kernels, target = (RIGHT, MAMS(RIGHT.h, "identity", steps=RIGHT.steps)), skewed()
    x, ends = target.sample(200, generator=generator(1)), []
    for kernel in kernels:
        state, _ = kernel.step(target, kernel.init(target, x, generator()), generator(2))
        ends.append(state.x)
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [MAMS(), MCLMC()])
def test_a_line_has_no_directions(kernel):
    line = targets.Gaussian(torch.zeros(1, dtype=F64))
    with pytest.raises(ValueError, match=r"target: got dim 1, expected at least 2: M.* two points; use HMC there"):
        kernel.sample(line)
    with pytest.raises(ValueError, match="target: got dim 1"):
        kernel.init(line, torch.zeros(3, 1, dtype=F64), generator())


@pytest.mark.parametrize("dim", [2, 30])
def test_mams_in_a_plane_and_in_many_dimensions(dim):
    check_invariance(MAMS(0.8, "identity", steps=2), targets.Gaussian(torch.zeros(dim, dtype=F64)), seed=3)


def test_mclmc_steps_that_are_not_finite_are_not_taken_and_turn():
    """A density on a half plane: chains stay where the way leads out, with a direction of their own."""
    half = targets.LogDensity(
        lambda x: torch.where(x[:, 0] > 0, -0.5 * x.square().sum(-1), -torch.inf), 2, dtype=F64, name="half"
    )
    kernel, x = MCLMC(0.5, "identity", decoherence_length=1e6), torch.tensor([[1e-3, 0.0]], dtype=F64).expand(400, 2)
    state = kernel.init(half, x, generator())
    state = replace(state, direction=torch.tensor([[-1.0, 0.0]], dtype=F64).expand(400, 2))
    new, info = kernel.step(half, state, generator(1))
    assert bool(info.diverging.all())
    assert torch.equal(new.x, x)
    assert float(new.direction.mean(0).norm()) < 5 / math.sqrt(400)
    torch.testing.assert_close(new.direction.norm(dim=-1), torch.ones(400, dtype=F64))


def test_mclmc_forgets_a_direction_in_the_decoherence_length():
    """Without a force u.u' is exp(-h / l) for a step in many dimensions, up to O(1 / d)."""
    dim, kernel = 400, MCLMC(0.3, "identity", decoherence_length=0.7)
    flat = targets.Gaussian(torch.zeros(dim, dtype=F64), 1e6)
    state = kernel.init(flat, torch.zeros(500, dim, dtype=F64), generator())
    new, _ = kernel.step(flat, state, generator(1))
    assert float((state.direction * new.direction).sum(-1).mean()) == pytest.approx(math.exp(-0.3 / 0.7), abs=0.01)


def test_mclmc_warmup_finds_the_energy_error_asked_for():
    target = targets.Gaussian(torch.zeros(20, dtype=F64), torch.logspace(-1, 1, 20, dtype=F64))
    for asked in (5e-4, 5e-3):
        kernel = MCLMC(energy_variance=asked).sample(target, chains=64, draws=1, warmup=300, seed=0).kernel
        with torch.no_grad():
            state = kernel.init(target, target.sample(20_000, generator=generator(1)), generator(2))
            _, info = kernel.step(target, state, generator(3))
        # h follows (v / m)^(1/6): a tenth of the step size is more than half of the error
        assert 0.6 < float(info.energy_error.square().mean()) / (20 * asked) < 1.6
    given = MCLMC(0.2, decoherence_length=0.7).sample(target, chains=8, draws=1, warmup=50, seed=0).kernel
    assert (given.step_size, given.decoherence_length) == (0.2, 0.7)


def test_energy_errors_solve_a_power_law():
    """Of mean square d c h^6 and nothing else: the step size is (v / c)^(1/6), from near at once, from afar in time."""
    ones, exact = torch.ones(8, dtype=F64), (5e-4 / 2.0) ** (1 / 6)
    near = EnergyErrors(start=1.5 * exact, target=5e-4, dim=3)
    near.update(math.sqrt(3 * 2.0) * near.value**3 * ones)
    assert near.value == pytest.approx(exact, rel=1e-12)
    rule = EnergyErrors(start=20.0, target=5e-4, dim=3)
    for _ in range(200):
        rule.update(math.sqrt(3 * 2.0) * rule.value**3 * ones)
    rule.settle()
    assert rule.value == pytest.approx(exact, rel=1e-2)
    for wrong in (math.nan, math.inf):
        before = rule.value
        rule.update(wrong * ones)
        assert rule.value < before


def test_decoherence_length_is_a_share_of_the_autocorrelation_time():
    """Of an autoregression of lag one, whose time is (1 + a) / (1 - a) steps, 2 % of which are beyond the cut."""
    a, g, rule = 0.8, generator(), DecoherenceLength()
    x = torch.randn(4000, 3, generator=g)
    for _ in range(200):
        rule.update(x, 0.1)
        x = a * x + math.sqrt(1 - a * a) * torch.randn(4000, 3, generator=g)
    lags = math.ceil(math.log(0.05) / math.log(a))  # those that are summed, with the first below the cut
    exact = 1 + 2 * a * (1 - a**lags) / (1 - a)
    assert rule.value == pytest.approx(0.8 * 0.1 * exact, rel=0.03)
    few = DecoherenceLength()
    few.update(x[:4], 0.1)
    assert few.value is None


@pytest.mark.parametrize("field", ["decoherence_length", "energy_variance"])
def test_bad_fields_are_named(field):
    with pytest.raises(ValueError, match=f"{field}: got -1"):
        MCLMC(**{field: -1})
    with pytest.raises(ValueError, match="steps, trajectory_length: got both"):
        MAMS(steps=3, trajectory_length=1.0)


@pytest.mark.parametrize("at", [20, 85, 100, 130])
def test_a_run_of_mclmc_that_stops_anywhere_in_warmup_continues_to_the_same_bits(at, tmp_path):
    """In a window of the mass matrix, while the decoherence length is measured, and after."""
    calls, target = [], skewed()

    class Stopping(type(target)):
        def log_prob_and_score(self, x):
            calls.append(x)
            if len(calls) == at:
                raise RuntimeError("stopped")
            return super().log_prob_and_score(x)

    broken = Stopping(*target.factors, name="skewed")
    options = {"chains": 16, "draws": 20, "warmup": 120, "init": target.sample(16, generator=generator()), "seed": 1}
    whole = MCLMC().sample(target, **options)
    with pytest.raises(RuntimeError, match="stopped"):
        MCLMC().sample(broken, checkpoint=tmp_path / "run.pt", **options)
    rest = MCLMC().sample(target, checkpoint=tmp_path / "run.pt", **options)
    assert torch.equal(rest.x, whole.x)
    assert rest.kernel.hyperparameters() == whole.kernel.hyperparameters()
    assert whole.kernel.decoherence_length != MCLMC.default_decoherence_length
