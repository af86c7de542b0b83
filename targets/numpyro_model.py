"""Posteriors of NumPyro models (extra `numpyro`)."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch

from targets._elsewhere import missing
from targets.base import Target
from targets.jax_density import JaxDensity, precision
from targets.sampling_warning import warn

FAR = 7.0  # standard deviations, in double precision: off by 4e-5 there, by 0.07 at 8, and infinite at 8.5


def from_numpyro(
    model: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Target:
    """The posterior of a NumPyro model with continuous latent sites: `from_numpyro(model, *args, **kwargs)`.

        log p(x) = log joint of the model at the sites' values + log |d values / d x|    (-numpyro's potential energy)

    Sites and deterministic ones keep their names, come out constrained, and have the names of their plates as dims. In
    double precision, which JAX is switched to while it evaluates the target and nowhere else: data that are JAX arrays
    were rounded to float32 when they were made unless x64 was enabled, NumPy arrays are taken as they are.

    Raises ModuleNotFoundError with the command that installs NumPyro where it is missing; ValueError for a model
    without latent sites, with discrete ones or `param` sites, which are named, or with plates that subsample. Warns
    (SamplingWarning) of normals between two ends that lie more than 7 standard deviations above their centre, at a draw
    of the prior: NumPyro's density of them is wrong.
    """
    try:
        import jax
        from numpyro import handlers
        from numpyro.distributions.transforms import biject_to
        from numpyro.infer import util
    except ModuleNotFoundError as error:
        raise missing("from_numpyro", "NumPyro", "numpyro") from error

    with precision(True):
        trace = handlers.trace(handlers.seed(model, jax.random.key(0))).get_trace(*args, **kwargs)
        latent = {key: site for key, site in trace.items() if _latent(site)}
        _check(latent, trace)
        _warn_of_far_ends(trace)
        shapes = {
            key: tuple(biject_to(site["fn"].support).inverse_shape(site["value"].shape)) for key, site in latent.items()
        }
    sizes = [prod(shape) for shape in shapes.values()]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    kept = [*latent, *(key for key, site in trace.items() if site["type"] == "deterministic")]

    def sites(x: Any) -> dict[str, Any]:
        parts = jax.numpy.split(x, ends[:-1])
        return {key: part.reshape(shape) for (key, shape), part in zip(shapes.items(), parts, strict=True)}

    def log_prob(x: Any) -> Any:
        return -util.potential_energy(model, args, kwargs, sites(x))

    def constrain(x: Any) -> dict[str, Any]:
        values = util.constrain_fn(model, args, kwargs, sites(x), return_deterministic=True)
        return {key: values[key] for key in kept}

    return JaxDensity(
        log_prob,
        sum(sizes),
        batched=False,
        constrain=constrain,
        dims={key: dims for key in kept if (dims := _plates(trace[key]))},
        coords=None,
        dtype=torch.float64,
        device=None,
        name=getattr(model, "__name__", "numpyro model"),
    )


def _latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def _check(latent: dict[str, Any], trace: dict[str, Any]) -> None:
    def named(kind: Callable[[dict[str, Any]], bool]) -> list[str]:
        return [key for key, site in trace.items() if kind(site)]

    discrete = [key for key, site in latent.items() if site["fn"].support.is_discrete]
    if discrete:
        raise ValueError(f"model: the sites {discrete} are discrete, expected continuous ones")
    if not latent:
        raise ValueError("model: has no continuous latent sites, expected at least one")
    free = named(lambda site: site["type"] == "param")
    if free:
        raise ValueError(f"model: the sites {free} are parameters without a prior, expected sample sites")
    parts = named(lambda site: site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]))
    if parts:
        raise ValueError(f"model: the plates {parts} take a random part of the data, expected all of it")


def _warn_of_far_ends(trace: dict[str, Any]) -> None:
    from numpyro.distributions import Normal, TwoSidedTruncatedDistribution

    for key, site in trace.items():
        law = site["fn"] if site["type"] == "sample" else None
        while law is not None and not isinstance(law, TwoSidedTruncatedDistribution):
            law = getattr(law, "base_dist", None)  # of plates, events, masks and transformed laws
        if law is None or not isinstance(law.base_dist, Normal):
            continue
        away = float(np.max((law.low - law.base_dist.loc) / law.base_dist.scale, initial=-np.inf))
        if away > FAR:
            warn(
                f"model: the site {key!r} is a normal that is kept between two ends, the lower one {away:.3g} standard "
                "deviations above its centre, where NumPyro's log-density is wrong or infinite; write its mirror "
                "image, minus a TruncatedNormal(-loc, scale, low=-high, high=-low), whose density is right"
            )


def _plates(site: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of the plates along the axes of a value, where every axis has one."""
    shape = site["value"].shape
    frames = {frame.dim: frame for frame in site.get("cond_indep_stack", ())}
    if site["type"] != "sample" or not shape or site["fn"].event_shape:
        return None
    axes = [frames.get(axis - len(shape)) for axis in range(len(shape))]
    return None if None in axes else tuple(frame.name for frame in axes if frame is not None)
