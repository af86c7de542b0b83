"""Keyword arguments that a sampler does not take: what the word of another package is here, and where it belongs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, ParamSpec, Self, TypeVar

from targets.arguments import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

# our word: those of PyMC, Stan, NumPyro, BlackJAX, TensorFlow Probability, emcee and their like
OURS = {
    "chains": "n_chains num_chains nchains parallel_chains nwalkers n_walkers num_walkers walkers",
    "draws": "num_samples n_samples nsamples num_draws n_draws num_results iter_sampling n_particles num_particles "
    "particles",
    "warmup": "tune num_warmup n_warmup iter_warmup warmup_steps burn_in burnin burn n_burn nburn num_burnin_steps "
    "num_adapts",
    "thin": "thinning thin_by num_steps_between_results",
    "init": "initvals inits init_params initial_params initial_state current_state start x0",
    "seed": "random_seed rng rng_key rng_seed key random_state generator",
    "progress": "progress_bar progressbar show_progress show_progressbar",
    "target_acceptance": "target_accept target_accept_prob target_accept_rate target_acceptance_rate adapt_delta delta",
    "step_size": "stepsize epsilon eps",
    "trajectory_length": "path_length int_time",
    "steps": "num_steps num_leapfrog_steps n_leapfrog num_integration_steps leapfrogs",
    "inverse_mass_matrix": "metric mass_matrix inv_mass dense_mass dense_e",
    "iterations": "num_iterations n_iterations num_iters n_iter max_iter epochs n_epochs num_epochs",
}
BY_OTHERS = {word: ours for ours, words in OURS.items() for word in words.split()}

_BATCH = "all chains move as one batch in this process; leave it out"
_TREE = "a trajectory is no tree here; HMC bounds it by trajectory_length= or max_steps="
NO_COUNTERPART = {
    **dict.fromkeys(("cores", "num_cores", "n_jobs", "chain_method", "parallel", "pool"), _BATCH),
    **dict.fromkeys(("max_treedepth", "max_tree_depth", "max_num_doublings"), _TREE),
}


def check_keywords(
    what: str, function: Callable[..., Any], given: Mapping[str, Any], beside: Mapping[str, Any]
) -> None:
    """TypeError for a keyword that a function does not take, which names ours.

    what: the function, in messages. beside: functions that might take it, by what they are called in messages.
    """
    taken = _names(function)
    if taken is None:
        return
    for name in given:
        if name not in taken:
            raise TypeError(f"{what}: takes no {name}={_instead(name, taken, beside)}")


def _instead(name: str, taken: tuple[str, ...], beside: Mapping[str, Any]) -> str:
    if name in NO_COUNTERPART:
        return f": {NO_COUNTERPART[name]}"
    ours = BY_OTHERS.get(name, name)
    if ours in taken:
        return f"; expected {ours}="
    for place, function in beside.items():
        if ours in (_names(function) or ()):
            return f"; expected {ours}= in {place}"
    return f"{did_you_mean(name, taken, weak=False)} It takes {', '.join(taken) or 'no keywords'}"


@lru_cache(maxsize=512)
def _names(function: Callable[..., Any]) -> tuple[str, ...] | None:
    """The keywords that a function takes, self left out; None where it takes any, or where Python cannot tell."""
    try:
        parameters = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return tuple(one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))


def naming_ours(verb: Callable[P, R]) -> Callable[P, R]:
    """A method, such as `sample`, whose errors for keywords that it does not take name ours."""

    @wraps(verb)
    def called(*args: P.args, **keywords: P.kwargs) -> R:
        owner = type(args[0]) if args else None
        name = getattr(owner, "__name__", "")
        beside = {} if owner is None else {f"{name}(...)": owner.__init__}
        check_keywords(f"{name}.{verb.__name__}", verb, keywords, beside)
        return verb(*args, **keywords)

    return called


class Keywords:
    """A sampler whose constructor, `sample` and `fit` name our words where those of other packages come."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for verb in ("sample", "fit"):
            if verb in cls.__dict__:
                setattr(cls, verb, naming_ours(cls.__dict__[verb]))

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        """TypeError for keywords that the constructor does not take."""
        del args
        verbs = {f"{verb}(...)": getattr(cls, verb) for verb in ("sample", "fit") if hasattr(cls, verb)}
        check_keywords(cls.__name__, cls.__init__, keywords, verbs)
        return super().__new__(cls)
