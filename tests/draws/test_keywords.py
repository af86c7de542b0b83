"""Keywords of other packages in constructors and verbs of samplers: the message names ours."""

import copy
import dataclasses
import inspect
import pickle

import pytest

import samplers
import targets
from samplers.draws.keywords import BY_OTHERS, NO_COUNTERPART, OURS

PLANE = targets.Gaussian([0.0, 0.0])
SAMPLERS = [
    value
    for name in samplers.__all__
    if inspect.isclass(value := getattr(samplers, name)) and hasattr(value, "sample") and value is not samplers.Kernel
]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("n_chains", "HMC.sample: takes no n_chains=; expected chains="),
        ("num_chains", "expected chains="),
        ("tune", "expected warmup="),
        ("num_warmup", "expected warmup="),
        ("num_samples", "expected draws="),
        ("random_seed", "expected seed="),
        ("target_accept", r"expected target_acceptance= in HMC\(...\)"),
        ("step_size", r"expected step_size= in HMC\(...\)"),
        ("cores", "takes no cores=: all chains move as one batch"),
        ("drwas", "did you mean draws. It takes target, chains, draws"),
    ],
)
def test_the_verb_names_our_word(given, expected):
    with pytest.raises(TypeError, match=expected):
        samplers.HMC().sample(PLANE, **{given: 1})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("target_accept", "HMC: takes no target_accept=; expected target_acceptance=$"),
        ("adapt_delta", "expected target_acceptance="),
        ("stepsize", "expected step_size="),
        ("tune", r"expected warmup= in sample\(...\)"),
        ("chains", r"expected chains= in sample\(...\)"),
        ("max_treedepth", "trajectory_length= or max_steps="),
    ],
)
def test_the_constructor_names_our_word(given, expected):
    with pytest.raises(TypeError, match=expected):
        samplers.HMC(**{given: 0.9})


@pytest.mark.parametrize("cls", SAMPLERS, ids=lambda cls: cls.__name__)
def test_every_sampler_says_so(cls):
    with pytest.raises(TypeError, match=r"expected seed= in (sample|fit)\(...\)"):
        cls(random_seed=1)
    for verb in ("sample", "fit"):
        if hasattr(cls, verb):
            with pytest.raises(TypeError, match="takes no random_seed=; expected seed="):
                getattr(cls, verb)(object.__new__(cls), PLANE, random_seed=1)


@pytest.mark.parametrize("cls", ["samplers.diffusion.fitted.Fitted", "samplers.generative.fitted.FittedDiffusion"])
def test_fitted_samplers_say_so(cls):
    module, _, name = cls.rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    with pytest.raises(TypeError, match="takes no num_samples=; expected draws="):
        cls.sample(object.__new__(cls), num_samples=3)


def test_the_words_of_others_are_none_of_ours():
    assert not BY_OTHERS.keys() & OURS.keys()
    assert not BY_OTHERS.keys() & NO_COUNTERPART.keys()
    ours = {name for cls in SAMPLERS for verb in ("sample", "__init__") for name in _keywords(getattr(cls, verb))}
    assert set(OURS) <= ours


def _keywords(function):
    return inspect.signature(function).parameters


def test_constructors_stay_what_they_were():
    kernel = samplers.HMC(target_acceptance=0.8)
    assert "target_acceptance" in inspect.signature(samplers.HMC).parameters
    for again in (copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel)), dataclasses.replace(kernel)):
        assert again.hyperparameters() == kernel.hyperparameters()
