"""Networks of patches: what a site sees, convolutions, sizes, errors, and the score models that they make."""

import patch_cases
import pytest
import torch
from patch_cases import F64, filled, local, network_on, seeded
from seeded_bugs_patches import BUGS

from samplers import ScoreDiffusion
from samplers.generative import Karras, LocalScore, NoiseOf, Training, load
from samplers.networks import Lattice, PatchNetwork
from samplers.processes.linear import VP

CHECKS = [name for name in dir(patch_cases) if name.startswith("check_")]


@pytest.mark.parametrize("name", CHECKS)
def test_checks(name):
    getattr(patch_cases, name)()


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize("shared", [True, False])
def test_parameters(shared):
    """Of nine pixels: 9 w + w, then w^2 + w each way, then w + 1; at every site where they are not shared."""
    width, features = 6, 2
    network = network_on(Lattice((4, 5)), (1, 0), inputs=1, outputs=1, shared=shared, modulated=False)
    sites = 1 if shared else 20
    wanted = sites * (10 * width + 2 * width * (width + 1) + width + 1) + 2 * width * (features + 1)
    assert sum(p.numel() for p in network.parameters()) == wanted


def test_every_weight_is_used_and_zero_at_first():
    for options in ({}, {"place": True}, {"shared": False, "modulated": False}):
        fresh = PatchNetwork(
            Lattice((3, 4)), inputs=1, outputs=1, features=2, width=4, generator=seeded(), radii=(1, 0, 1), **options
        )
        x, features = torch.randn(2, 12, 1, generator=seeded(1)), torch.ones(2, 2)
        assert not fresh(x, features).any()
        network = filled(fresh)
        network(x.to(F64), features.to(F64)).square().sum().backward()
        assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in network.parameters())
        assert network.reach == 2


def test_what_a_lattice_refuses():
    with pytest.raises(ValueError, match=r"shape: got no side, expected one or more"):
        Lattice(())
    with pytest.raises(ValueError, match=r"radius: got 2 around a periodic side of 4, expected at most 1"):
        Lattice((4, 8), True).within(2)
    with pytest.raises(ValueError, match=r"radii: got none, expected the radius of each layer"):
        LocalScore((4,), radii=())
    with pytest.raises(ValueError, match=r"radii: got -1"):
        LocalScore((4,), radii=(1, -1))
    with pytest.raises(ValueError, match=r"radii: got 2 around a periodic side of 3"):
        LocalScore((3,), radii=(2,), periodic=True)
    with pytest.raises(TypeError, match=r"periodic: got 'yes', expected True or False"):
        LocalScore((4,), periodic="yes")
    with pytest.raises(ValueError, match=r"degrees: got 0"):
        LocalScore((4,), degrees=0)
    with pytest.raises(ValueError, match=r"shape: got 6 numbers in 1 x \(2, 3\), expected 5"):
        local(VP(), Karras(), torch.eye(5), shape=(2, 3))
    with pytest.raises(ValueError, match=r"given_channels: got 1 of 5 numbers, expected conditions of .*, got 3"):
        local(VP(), Karras(), torch.eye(5), context=4, given_channels=1)
    with pytest.raises(ValueError, match=r"given_channels: got 1 of 5 numbers, expected conditions of .*, got 0"):
        local(VP(), Karras(), torch.eye(5), given_channels=1)
    with pytest.raises(ValueError, match=r"least_time: got 1, expected less than the horizon"):
        local(VP(), Karras(), torch.eye(5), least_time=1.0)
    network = local(VP(), Karras(), torch.eye(5), context=3)
    with pytest.raises(ValueError, match=r"context: got none, expected 3 numbers"):
        network(torch.zeros(2, 5), torch.ones(2))


def test_finite_in_float32_at_the_ends():
    network = filled(local(VP(horizon=0.1), NoiseOf(), torch.eye(4), dtype=torch.float32)).to(torch.float32)
    for t in (1e-12, 1e-5, 0.1):
        assert bool(network(torch.ones(3, 4), torch.full((3,), t)).isfinite().all())


def ring(n, seed=0):
    """Rows of a ring of six in which neighbours are alike, far from Gaussian, and each with the sign of its first."""
    noise = torch.randn(n, 6, generator=seeded(seed))
    x = (noise + noise.roll(1, 1) + noise.roll(-1, 1)).sign() + 0.2 * torch.randn(n, 6, generator=seeded(seed + 1))
    return x, torch.stack([x[:, 0].sign(), noise[:, 0]], 1)


def test_models_learn_and_files_hold_them(tmp_path):
    """Training lowers the loss of new rows; a model and a conditional one come back from their files bit for bit."""
    x, y = ring(2_000)
    spec = LocalScore((6,), radii=(1, 1), width=16, periodic=True)
    model = ScoreDiffusion(network=spec, training=Training(batch=128, learning_rate=1e-2, average=0.9, validation=0))
    fitted, start = (model.fit(x, iterations=n, progress=False) for n in (80, 0))
    new, loss = fitted.transformation.forward(ring(1_000, seed=5)[0])[0], model.loss
    gain = loss(start.model, new, seeded(9)) - loss(fitted.model, new, seeded(9))
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5
    again = load(fitted.save(tmp_path / "plain.pt"))
    assert again.spec == spec
    assert torch.equal(again.sample(draws=5, seed=1).x, fitted.sample(draws=5, seed=1).x)
    told = model.fit(x, given=y, iterations=3, progress=False)
    twin = load(told.save(tmp_path / "told.pt"))
    assert torch.equal(told.given(y[0]).sample(draws=3, seed=1).x, twin.given(y[0]).sample(draws=3, seed=1).x)
