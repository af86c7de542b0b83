"""A certificate for draws, from scouts that share nothing with the sampler."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Generator

from samplers.draws.certificate import LEAST_HELD, MOST_MISSED, STANDARD_ERRORS, Certificate, plus_minus
from samplers.draws.objections import LEAST_ESS, Objections, objections
from samplers.draws.points import PointSet
from samplers.scouts.bridge import bridge
from samplers.scouts.by_regions import log_z_by_regions
from samplers.scouts.fan import paths_for
from samplers.scouts.regions import Regions, measured
from samplers.scouts.sample import Sample
from samplers.scouts.search import hidden, search
from samplers.scouts.unseen import unseen, visible
from targets import Target

FANS = 1
SEED = 4_000_037  # added to the draws' own
POINTS, FEWEST_POINTS, MOST_POINTS = 16_384, 64, 1024  # of all masses that are measured anew, and of one
MOST_ERROR = 0.3  # of an estimate by regions, above which it is none
APART = 5.0  # standard errors by which two estimates of log Z disagree


@torch.no_grad()
def certify(
    draws: PointSet,
    target: Target | None = None,
    found: Regions | None = None,
    by_annealing: tuple[float, float] | None = None,
) -> Certificate:
    """The certificate of draws of their target; target: the same one, where evaluations are to be counted.

    found: regions that share nothing with the draws; new scouts are sent where there are none. by_annealing: log Z and
    its standard error, by what shares no randomness with them.
    """
    target = draws.target if target is None else target
    own = None if draws.log_z is None else (draws.log_z.value, draws.log_z.standard_error)
    told = _of_the_run(draws)
    first = Certificate(
        own=own,
        by_annealing=by_annealing,
        pareto_k=draws.pareto_k,
        doubts=tuple(told.against),
        of_run=tuple(told.against),
        too_few=tuple(told.too_few),
    )
    if target is None:
        return _bounded(replace(first, searched="the target is not at hand"))
    why = _impossible(draws, target)
    try:
        return _bounded(replace(first, searched=why) if why else _searched(first, draws, target, found))
    except Exception as error:  # of a user's density, at points that no sampler has met
        said = f"{target.name} failed on the way ({type(error).__name__}: {error})"
        return _bounded(replace(first, searched=said))


def _searched(first: Certificate, draws: PointSet, target: Target, found: Regions | None) -> Certificate:
    generator = Generator(target.device).manual_seed(int(draws.attrs.get("seed", 0)) + SEED)
    if found is None:
        found = search(target, target.prior if "prior" in target.known else None, generator, FANS)
    if found is None:
        return first
    points = max(FEWEST_POINTS, min(MOST_POINTS, POINTS // len(found)))
    found = measured(target, found.means, found.factors, found.captures, points, generator)
    if first.own is None:
        first = replace(first, by_bridge=bridge(draws, target, generator))
    return _judged(first, found, Sample.of_draws(draws), target, generator)


def _judged(first: Certificate, found: Regions, sample: Sample, target: Target, generator: Generator) -> Certificate:
    held = float(sample.share(found.inside(sample.x).any(1, keepdim=True))[0])
    by_regions = log_z_by_regions(found, sample)
    total = found.total()
    known = replace(
        first,
        regions=len(found),
        held=held,
        effective=sample.effective,
        by_regions=by_regions if by_regions[1] < MOST_ERROR else None,
        at_least=total if total[1] < MOST_ERROR else None,
    )
    log_z, error = first.own or first.by_bridge or by_regions
    if known.by_regions is not None and by_regions[0] > log_z:  # a log Z that is too low must not make shares too large
        log_z, error = by_regions
    if math.isnan(log_z):
        return known
    lacking = unseen(found, target, sample, log_z, error if math.isfinite(error) else 0.0, generator)
    # neither the scouts nor the sampler: the chance that it lacks a region by Laplace's rule of succession
    regions = math.exp(-float((2 * found.log_mass.log_softmax(0)).logsumexp(0)))  # of equal mass
    chance = (regions * lacking.total / (1 + lacking.total) + 1) / (regions + 2)
    known = replace(known, missed=lacking.total, hidden=hidden(found, log_z) * chance)
    if lacking.total <= MOST_MISSED:
        return replace(known, too_few=(*_too_few(sample, lacking.unvisited), *known.too_few))
    at = tuple(lacking.regions.means[0].tolist())
    doubts = (lacking.said(log_z), *known.doubts)
    return replace(known, missed_regions=len(lacking), missed_at=at, doubts=doubts)


def _of_the_run(draws: PointSet) -> Objections:
    """What draws tell of themselves."""
    try:
        return objections(draws)
    except ValueError as error:  # of weights from which nothing can be drawn
        return Objections([str(error)])


def _too_few(sample: Sample, unvisited: float) -> list[str]:
    """Why the draws may lack what they do not show to be missed, and how many would show it."""
    n, found = sample.effective, []
    if n < LEAST_ESS:
        found.append(
            f"{n:,.3g} effective draws show a region to be missed only where it holds {visible(n):.2g} of the mass or "
            f"more. {LEAST_ESS:.0f} of them, {LEAST_ESS / n:.2g} times as many, would show {visible(LEAST_ESS):.2g}"
        )
    if unvisited > MOST_MISSED:
        found.append(f"no draw lies in a region that holds {unvisited:.2g} of the mass, which may be chance")
    return found


def _impossible(draws: PointSet, target: Target) -> str:
    """Why no scouts can be sent to judge draws, or nothing."""
    if target.discrete:
        return f"{target.name} is discrete"
    if not bool(draws.x.isfinite().all()):
        return "some draws are not finite"
    if paths_for(target.dim) == 0:
        return f"{target.dim} dimensions are too many"
    if not target.has_density:
        return f"{target.name} has no log-density"
    try:
        target.log_prob_and_score(draws.x.reshape(-1, target.dim)[:1])
    except Exception as error:  # of a user's function, whatever it is
        return f"it takes a score, and {target.name} gives none ({type(error).__name__})"
    return ""


def _bounded(found: Certificate) -> Certificate:
    """With log Z and its interval, and a doubt where another estimate is above the one to believe."""
    if found.own is None and found.by_bridge is None and found.by_regions is None:
        return found
    value, error = next(iter(found.estimates.values()))
    if not found.of_mass:
        found = replace(found, doubts=(*_disagreements(found), *found.doubts))
    hidden_too = found.hidden if found.held >= LEAST_HELD else 0.0
    above = math.log1p(sum(share for share in (found.missed, hidden_too) if share > 0))
    wide = STANDARD_ERRORS * error
    upper = value + wide + above
    if found.at_least is not None:
        upper = max(upper, found.at_least[0] + STANDARD_ERRORS * found.at_least[1])
    return replace(found, log_z=value, standard_error=error, lower=value - wide, upper=upper)


def _disagreements(found: Certificate) -> Iterator[str]:
    (first, own), *others = found.estimates.items()
    why = "The draws do not follow the density"
    if found.own:
        why = "Mass is lost, or points of much weight are rare"
    for name, other in others:
        if _above(other, own):
            yield f"estimates of log Z disagree: {first} {plus_minus(*own)}, {name} {plus_minus(*other)}. {why}"
    if found.at_least is not None and _above(found.at_least, own):
        yield (
            f"log Z is too low: {first} {plus_minus(*own)}, and scouts that share nothing with it measured "
            f"{plus_minus(*found.at_least)} in their regions alone. Mass is lost"
        )


def _above(other: tuple[float, float], own: tuple[float, float]) -> bool:
    """By more than both leave to chance, and than is worth a word."""
    return other[0] - own[0] > max(APART * math.hypot(own[1], other[1]), math.log1p(MOST_MISSED))
