"""Whether a density is the one that stored draws belong to: values, what it is made of, what it does."""

import functools
import logging
import os
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal, Uniform

import samplers
import targets
from samplers import AIS, DDS, HMC, MALA, SMC, SVGD, AnnealedLangevin
from samplers.diffusion import ResidualMLP, Training
from samplers.identity import known
from samplers.identity.contents import digest, leaves
from samplers.identity.known import CHANGES, settled
from samplers.smoothing import SLIPS

F64 = torch.float64
DATA = torch.linspace(-1, 1, 50, dtype=F64)
X = torch.linspace(-0.7, 0.9, 16, dtype=F64).reshape(8, 2)
HELD = DATA


def likelihood(y, x):
    return -0.5 * (x[:, :1] - y).square().sum(-1)


class Model:
    def __init__(self, y):
        self.y, self.calls = y, 0

    def __call__(self, x):
        self.calls += 1
        return likelihood(self.y, x)


def held(x):
    return likelihood(HELD, x)


def in_numpy(y):
    array = y.numpy()
    return targets.from_numpy(lambda x: -0.5 * ((x[:, :1] - array) ** 2).sum(-1), dim=2)


def in_frame(y):
    frame = pd.DataFrame({"y": y.numpy()})
    return targets.from_numpy(lambda x: -0.5 * ((x[:, :1] - frame["y"].to_numpy()) ** 2).sum(-1), dim=2)


def in_list(y):
    listed = y.tolist()
    return targets.LogDensity(lambda x: likelihood(torch.tensor(listed, dtype=F64), x), 2, dtype=F64)


def of_points(y):
    return targets.LogDensity(lambda x: -0.5 * (x[0] - y).square().sum(), 2, batched=False, dtype=F64)


WHERE = {
    "closure": lambda y: targets.LogDensity(lambda x: likelihood(y, x), 2, dtype=F64),
    "default": lambda y: targets.LogDensity(lambda x, y=y: likelihood(y, x), 2, dtype=F64),
    "partial": lambda y: targets.LogDensity(functools.partial(likelihood, y), 2, dtype=F64),
    "attribute": lambda y: targets.LogDensity(Model(y), 2, dtype=F64),
    "list": in_list,
    "of one point": of_points,
    "numpy": in_numpy,
    "frame": in_frame,
}


@pytest.mark.parametrize("where", WHERE)
def test_data_in_another_order_are_other_data(where):
    """No value tells them apart here, as none would a datum whose weight is below rounding."""
    make = WHERE[where]
    first = known(make(DATA), X)
    assert first.other(make(DATA.clone())) is None
    assert "what it is made of is not" in first.other(make(DATA.flip(0)))
    assert "the log-density was" in first.other(make(DATA + 0.001))


def test_data_in_a_global_of_the_module(monkeypatch):
    target = targets.LogDensity(held, 2, dtype=F64)
    first = known(target, X)
    assert first.other(target) is None
    monkeypatch.setitem(globals(), "HELD", DATA.flip(0))
    assert "global HELD" in first.other(target)


def test_a_datum_written_over_in_its_place():
    y = DATA.clone()
    target = WHERE["closure"](y)
    first = known(target, X)
    y[:2] = y[:2].flip(0)
    assert "closure y" in first.other(target)


def fragile(limit=10**9, name="fragile"):
    calls = 0

    def density(x):
        nonlocal calls
        calls += 1
        if calls > limit:
            raise RuntimeError("the device is gone")
        return (x - x.exp()).sum(-1)

    target = targets.LogDensity(density, 2, dtype=F64, name=name)
    target.calls = lambda: calls
    return target


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_density_that_was_evaluated_before_is_the_same(n):
    """Also at as many points as there are dimensions, where a function is tried point by point at first."""
    used = fragile(5)
    used.log_prob(X[:n])
    assert known(used, X[:n]).other(fragile()) is None


def box(low, high):
    return targets.LogDensity(
        lambda x: torch.where(((x > low) & (x < high)).all(-1), 0.0 * x.sum(-1), -torch.inf), 2, dtype=F64
    )


def test_what_counts_its_calls_or_is_wrapped_is_the_same():
    first = known(fragile(5), X)
    assert first.other(fragile()) is None
    assert first.other(targets.LogDensity(lambda point: (point - point.exp()).sum(-1), 2, dtype=F64)) is None


@pytest.mark.parametrize("x", [X + 11, X], ids=["within", "nowhere finite"])
def test_a_box_that_is_widened_where_no_point_tells(x):
    first = known(box(10.0, 13.0), x)
    assert first.other(box(10.0, 13.0)) is None
    assert "closure high" in first.other(box(10.0, 14.0))


def test_priors_and_intervals_are_part_of_a_posterior():
    def model(sd, high):
        kinds = {"a": targets.Real(prior=Normal(0.0, sd)), "b": targets.Interval(0.0, high, prior=Uniform(0.0, high))}
        return targets.Posterior(log_likelihood=lambda a, b: -a.square() - b, parameters=kinds)

    first = known(model(1.0, 1.0), X)
    assert first.other(model(1.0, 1.0)) is None
    assert first.other(model(1.0 + 1e-6, 1.0)) is not None
    assert first.other(model(1.0, 1.0 + 1e-6)) is not None


def test_what_cannot_be_looked_into_is_told_by_finite_values_alone():
    def locked(low):
        lock, numbers = threading.Lock(), np.array([low])

        def density(x):
            with lock:
                return torch.as_tensor(np.where(x.numpy() > numbers, 0.0, -np.inf).sum(-1))

        return targets.LogDensity(density, 2, dtype=F64)

    assert known(locked(-2.0), X).other(locked(-2.0)) is None
    assert "it cannot be told" in known(locked(2.0), X).other(locked(2.0))


def test_each_value_is_compared_at_its_own_size():
    """A difference of 1e-8 nats is rounding at 1e8 nats, and none at 1."""

    def shifted(by):
        return targets.LogDensity(lambda x: -x[:, 0].exp() + by * (x[:, 0] < 10), 2, dtype=F64)

    x = torch.tensor([[0.0, 0.0], [18.42, 0.0]], dtype=F64)
    assert "the log-density was" in known(shifted(0.0), x).other(shifted(1e-8))


SCRIPT = """
import functools, json, sys
import numpy as np, pandas as pd, torch, targets
from samplers.identity import known
Y, WORDS, TABLE = np.arange(5.0), {"b", "a", "c"}, pd.DataFrame({"y": [1.0, 2.0]})
@functools.lru_cache
def scaled(k): return Y * k
class Model(torch.nn.Module):
    def forward(self, x):
        return -x.square().sum(-1) * float(scaled(2).sum()) * TABLE["y"].sum() * (1 + ("a" in {"a", "z"})) * len(WORDS)
model = Model()
t = targets.LogDensity(lambda x: model(x), 2, dtype=torch.float64)
one = known(t, torch.ones(2, 2, dtype=torch.float64))
print(json.dumps([sorted(one.made.items()), one.steps]))
"""


@pytest.mark.slow
def test_the_same_script_has_the_same_density_in_another_process():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    ]
    one, other = (process.communicate()[0] for process in running)
    assert one == other
    assert "global Y" in one
    assert "opaque" not in one


def test_functions_sent_to_another_process_are_the_same():
    import pickle

    import cloudpickle

    target = WHERE["closure"](DATA)
    again = pickle.loads(cloudpickle.dumps(target))
    assert leaves(again) == leaves(target)


# Checkpoints

BASE = targets.Gaussian(torch.zeros(2, dtype=F64), 1.5)
TRAINED = DDS(steps=2, network=ResidualMLP(width=4, layers=1, features=2), prior=BASE, training=Training(batch=8))
QUICK = {
    "HMC": lambda t, p: HMC(0.3).sample(t, chains=2, draws=12, warmup=0, checkpoint=p),
    "SMC": lambda t, p: SMC(MALA(0.2, "identity"), BASE, betas=6, moves=2).sample(t, draws=16, checkpoint=p),
    "AIS": lambda t, p: AIS(MALA(0.2, "identity"), BASE, betas=6, moves=2).sample(t, draws=16, checkpoint=p),
    "annealed Langevin": lambda t, p: AnnealedLangevin(
        kind="temperature", sigma_max=2.0, levels=3, steps=3, step_size=0.01
    ).sample(t, draws=8, checkpoint=p),
    "SVGD": lambda t, p: SVGD(step_size=0.01).sample(t, draws=8, iterations=12, checkpoint=p),
    "training": lambda t, p: TRAINED.fit(t, iterations=12, checkpoint=p).sample(draws=8),
}


@pytest.mark.parametrize("family", QUICK)
@pytest.mark.parametrize("share", [0.5, 0.75])
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_a_density_that_keeps_failing_leaves_what_was_done(family, share, tmp_path):
    run, path, counting = QUICK[family], tmp_path / "new" / "run.pt", fragile()
    whole = run(counting, None)
    last = min(counting.calls(), 36)  # before training come 480 to see whether its prior is wide enough
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(fragile(counting.calls() - int((1 - share) * last)), path)
    assert path.exists()
    rest = fragile()
    again = run(rest, path)
    assert torch.equal(again.x, whole.x)
    assert rest.calls() < counting.calls() + 4


def test_a_chain_of_measurements_that_fails_at_a_level_is_continued(tmp_path, monkeypatch):
    target = targets.GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=F64), scales=1.0)
    sampler, path = SLIPS(sigma=1.0, m=4, steps=2), tmp_path / "run.pt"
    whole = sampler.sample(target, draws=8, init=X, checkpoint=None)
    original = type(target).log_prob
    monkeypatch.setattr("samplers.smoothing.walks.Walks.walk", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sampler.sample(target, draws=8, init=X, checkpoint=path)
    monkeypatch.undo()
    assert path.exists()
    assert torch.equal(sampler.sample(target, draws=8, init=X, checkpoint=path).x, whole.x)
    assert type(target).log_prob is original


@pytest.mark.parametrize("family", ["HMC", "SMC", "SVGD"])
@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_one_datum_of_many_is_corrected(family, tmp_path):
    y = torch.linspace(-1, 1, 20_000, dtype=F64)
    corrected = y.index_fill(0, torch.tensor([7]), 0.5)
    QUICK[family](WHERE["closure"](y), tmp_path / "run.pt")
    with pytest.raises(ValueError, match="checkpoint: .* belongs to another target: .* Name another file"):
        QUICK[family](WHERE["closure"](corrected), tmp_path / "run.pt")


@pytest.mark.filterwarnings("ignore::samplers.SamplingWarning")
def test_files_of_learned_samplers_know_the_data(tmp_path):
    path = TRAINED.fit(WHERE["closure"](DATA), iterations=0).save(tmp_path / "new" / "fitted.pt")
    samplers.load(path, WHERE["closure"](DATA.clone()))
    with pytest.raises(ValueError, match="what it is made of is not: .*closure y; for another density take"):
        samplers.load(path, WHERE["closure"](DATA.flip(0)))


@pytest.mark.parametrize("family", QUICK)
def test_places_where_nothing_can_be_written_are_refused_before_the_first_step(family, tmp_path):
    target = fragile()
    with pytest.raises(ValueError, match=f"checkpoint: {tmp_path} is a folder, expected the path of a file"):
        QUICK[family](target, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="checkpoint: .*file is a file, expected a folder"):
        QUICK[family](target, tmp_path / "file" / "run.pt")
    assert target.calls() == 0


def test_a_checkpoint_of_another_sampler_is_refused_before_the_pilot(tmp_path):
    QUICK["SVGD"](fragile(), tmp_path / "run.pt")
    target = fragile()
    with pytest.raises(ValueError, match="belongs to another run: .*sampler is 'SVGD' there and 'SMC' here"):
        SMC().sample(target, draws=16, checkpoint=tmp_path / "run.pt")
    assert target.calls() == 0


def test_an_error_leaves_the_streamed_draws(tmp_path):
    counting = fragile()
    HMC(0.3).sample(counting, chains=2, draws=3, warmup=0)
    with pytest.raises(RuntimeError, match="the device is gone"):
        HMC(0.3).sample(fragile(counting.calls()), chains=2, draws=12, warmup=0, stream=tmp_path / "new" / "run")
    assert samplers.Draws.load(tmp_path / "new" / "run").x.shape == (2, 3, 2)


def whole_module(x):
    import data_of_a_test

    return np.where(x[:, 0] > 50, data_of_a_test.far, -0.5 * x[:, 0] ** 2)


def from_module(x):
    from data_of_a_test import far

    return np.where(x[:, 0] > 50, far, -0.5 * x[:, 0] ** 2)


def nested_module(x):
    def value():
        import data_of_a_test as data

        return data.far

    return np.where(x[:, 0] > 50, value(), -0.5 * x[:, 0] ** 2)


@pytest.mark.parametrize("function", [whole_module, from_module, nested_module])
def test_data_of_a_module_that_is_imported_where_it_is_called(function, monkeypatch):
    module = types.ModuleType("data_of_a_test")
    monkeypatch.setitem(sys.modules, "data_of_a_test", module)
    digests = []
    for module.far in (0.0, 1.0, 0.0):
        digests.append(digest(function))
    assert digests[0] == digests[2] != digests[1]


def test_a_module_that_the_first_evaluation_imports_is_no_change():
    before, after = {"/a": "1", "/b": "1"}, {"/a": "1", "/b": "2", "/fn/import data.far": "3", "/c": "4"}
    assert settled(before, after) == {"/a": "1", "/b": CHANGES, "/fn/import data.far": "3", "/c": CHANGES}


LOGGER = logging.getLogger("a model")


class Node:
    """Leads to all others, as the objects of a program do."""

    def __init__(self):
        self.others, self.by_object, self.several = [], {}, set()


def nodes(n):
    made = [Node() for _ in range(n)]
    for node in made:
        node.others, node.by_object, node.several = made, {other: 1.0 for other in made}, set(made)
    return made


def test_a_density_that_writes_to_a_log_or_hangs_in_a_web_of_objects_is_known_in_a_moment():
    web = nodes(40)

    def density(x):
        LOGGER.debug("%d of %d", len(x), len(web))
        return -x.square().sum(-1)

    began = time.process_time()
    found = leaves(density)
    assert time.process_time() - began < 5
    assert found["/global LOGGER"] == "logger a model"
    assert len(found) < 20_000


def test_keys_of_any_kind_and_the_items_of_a_set_enter():
    plain = {(1, "a"): 1.0, (2, "b"): 2.0, 3: 3.0, Node: 4.0}
    assert digest(plain) == digest(dict(reversed(plain.items())))
    assert digest(plain) != digest(plain | {(2, "b"): 2.5})
    assert digest(plain) != digest({(1, "a"): 1.0, (2, "c"): 2.0, 3: 3.0, Node: 4.0})
    assert digest({1, 2, (3, 4)}) == digest({(3, 4), 2, 1}) != digest({1, 2, (3, 5)})
    one, other = Node(), Node()
    other.others = [1]
    assert digest({one}) != digest({other})
    assert digest({one: 1}) != digest({other: 1})
