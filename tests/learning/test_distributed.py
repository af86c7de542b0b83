"""Training in two processes of a gloo group: what they share, and what they do not; of an energy and of samples."""

import warnings

import pytest
import torch

import targets
from samplers import DDS, SamplingWarning, ScoreDiffusion, generative
from samplers.diffusion import ResidualMLP, Training, distributed

DIFFUSION = ScoreDiffusion(network=generative.ScoreMLP(width=8, blocks=1), training=generative.Training(batch=32))
METHOD = DDS(steps=6, network=ResidualMLP(width=8, layers=1), training=Training(batch=32, warmup=0))


def target():
    return targets.GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), scales=0.5)


def trained(folder, iterations=6):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return METHOD.fit(target(), seed=3, iterations=iterations, progress=False, checkpoint=folder)


def diffused(folder, iterations=6):
    samples = target().sample(200, generator=torch.Generator().manual_seed(0))
    return DIFFUSION.fit(samples, seed=3, iterations=iterations, progress=False, checkpoint=folder)


def process(rank, folder):
    torch.set_num_threads(1)
    group = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=group, rank=rank, world_size=2)
    parameter = torch.zeros(3, requires_grad=True)
    parameter.grad = torch.tensor([1.0, 2.0, 3.0]) * (1 + 2 * rank)
    idle = torch.zeros(2, requires_grad=True)
    distributed.average_gradients([parameter, idle])
    flags = [distributed.anywhere(rank == 1), distributed.anywhere(False)]
    fitted = trained(f"{folder}/run")
    model = diffused(f"{folder}/model")
    torch.save(
        {
            "gradient": parameter.grad,
            "idle": idle.grad,
            "flags": flags,
            "shared": distributed.share(rank),
            "parameters": dict(fitted.measure.named_parameters()),
            "elbo": fitted.history["elbo"],
            "network": dict(model.model.state_dict()),
            "loss": model.history["loss"],
            "validation": model.validation,
        },
        f"{folder}/rank{rank}.pt",
    )
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    torch.multiprocessing.spawn(process, args=(str(folder),), nprocs=2)
    return folder, [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
def test_gradients_are_averaged_and_flags_are_raised_everywhere(both):
    for found in both[1]:
        assert torch.equal(found["gradient"], torch.tensor([2.0, 4.0, 6.0]))
        assert torch.equal(found["idle"], torch.zeros(2))
        assert found["flags"] == [True, False]
        assert found["shared"] == 0


@pytest.mark.slow
def test_both_processes_learn_the_same_from_different_paths(both):
    first, second = (found["parameters"] for found in both[1])
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert both[1][0]["elbo"] != both[1][1]["elbo"]


@pytest.mark.slow
def test_a_diffusion_model_is_the_same_in_both_processes(both):
    first, second = both[1]
    assert all(torch.equal(first["network"][name], second["network"][name]) for name in first["network"])
    assert first["validation"] == second["validation"]
    assert first["loss"] != second["loss"]


@pytest.mark.slow
def test_two_processes_do_not_learn_from_the_rows_of_one(both, tmp_path):
    alone = diffused(tmp_path / "alone").model.state_dict()
    assert not all(torch.equal(both[1][0]["network"][name], alone[name]) for name in alone)


@pytest.mark.slow
def test_two_processes_are_not_one(both, tmp_path):
    alone = dict(trained(tmp_path / "alone").measure.named_parameters())
    assert not all(torch.equal(both[1][0]["parameters"][name], alone[name]) for name in alone)


@pytest.mark.slow
def test_each_process_has_a_checkpoint(both):
    assert (both[0] / "run").exists()
    assert (both[0] / "run.1").exists()
    assert (both[0] / "model.1").exists()


def test_without_a_group_nothing_happens(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert distributed.join("cpu") == torch.device("cpu")
    assert not distributed.active()
    assert distributed.rank() == 0
    parameter = torch.zeros(2, requires_grad=True)
    parameter.grad = torch.ones(2)
    distributed.average_gradients([parameter])
    assert torch.equal(parameter.grad, torch.ones(2))
    assert distributed.share("x") == "x"
    assert distributed.anywhere(True)
