"""Where divergent steps begin, and what to do about it.

A rejected proposal leaves its chain in place, so that the draw of a divergent step is where it began. Chains count
alike, however often one of them diverged. Where these places differ from the other draws in a coordinate r, how wide
each coordinate x_j is, given all others, is compared in the upper and the lower third of r:

    L_j = log(sd_high / sd_low),    D = mean of r, high - low;    if r = log tau:  x_j / tau has L - D, tau x_j L + D

One step size suits all of space where L is near zero. Betancourt and Girolami 2013, https://arxiv.org/abs/1312.0906.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.draws.other_form import hierarchical, other_form, scaled_effects
from samplers.draws.points import PointSet

SURE = 4.0  # standard errors of a mean over as many chains as diverged
NARROW = 0.2  # in |L|, from which on a coordinate is called narrower
VERY_NARROW = 0.7
MOST_DIM, ROWS, ROWS_PER_DIM = 200, 20_000, 10
OTHER_SAMPLER = "another sampler (docs/which.md)"
HIGHEST = 0.99  # target acceptance beyond which smaller steps are no advice


def divergence_complaints(draws: PointSet) -> list[str]:
    """What a reader must know of divergent steps, and what may help, in the order in which to try it.

    Nothing of so few as are usual in runs of that kernel.
    """
    if draws.divergences is None or not bool((draws.divergences > 0).any()):
        return []
    if float(draws.divergences.sum()) <= usual_share(draws) * _steps(draws):
        return []
    count, chains = int(draws.divergences.sum()), int((draws.divergences > 0).sum())
    return [
        f"{count} divergent steps in {chains} of {len(draws.divergences)} chains: proposals had a non-finite density "
        f"or a large energy error, and parts of the target may be out of reach. {divergence_advice(draws)}"
    ]


def usual_share(draws: PointSet) -> float:
    """The share of the steps that may diverge without a fault, as the kernel of the draws declares it.

    Of draws from a file it is kept among the attributes.
    """
    kept = draws.attrs.get("usual_divergences", 0.0)
    return float(getattr(draws.kernel, "usual_divergences", kept))


def _steps(draws: PointSet) -> int:
    """How many steps the divergent ones are counted among: those of the run after its warmup."""
    kept = draws.x.shape[1] if draws.moments is None else draws.moments.count // len(draws.x)
    return len(draws.x) * kept * int(draws.attrs.get("thin") or 1)


def divergence_advice(draws: PointSet) -> str:
    """Where divergent steps begin, as far as the draws tell, and what to try first, second and third."""
    place = divergent_place(draws)
    tries = [_smaller_steps(draws), "a longer warmup"]
    said = ""
    if place is not None:
        end = "large" if place.shift > 0 else "small"
        said = f"They begin where {place.name} is {end} ({abs(place.shift):.1f} standard deviations from its mean). "
        if place.form is not None:
            tries.insert(0, place.form)
        else:
            tries.append(other_form(draws.target, place.variable))
    else:
        tries.append(other_form(draws.target))
    tries.append("" if hierarchical(draws.target) or (place and place.form) else OTHER_SAMPLER)
    first, *others = [one for one in tries if one]
    return f"{said}Try {first}; if that does not help, {', then '.join(others)}"


@dataclass(frozen=True)
class Place:
    """name: of the coordinate in which divergent steps begin elsewhere; shift: by how many standard deviations.

    form: the other form of a hierarchy, in words, where it makes widths more alike; else None. variable: whose
    coordinate it is.
    """

    name: str
    shift: float
    form: str | None = None
    variable: str = ""


def divergent_place(draws: PointSet) -> Place | None:
    """Where divergent steps begin; None where that is not kept, or where too few chains diverged to tell."""
    diverging = draws.stats.get("diverging")
    if diverging is None or draws.log_weights is not None or diverging.shape != draws.x.shape[:2]:
        return None
    x = draws.x.double()
    mean, sd = x.mean((0, 1)), x.std((0, 1))
    if not bool(diverging.any()) or not bool((sd > 0).all()) or not bool(x.isfinite().all()):
        return None
    which = diverging.any(1)
    z = torch.where(diverging[..., None], (x - mean) / sd, 0.0)[which].sum(1) / diverging[which].sum(1)[:, None]
    shift = z.mean(0)
    root = int(shift.abs().argmax())
    if abs(float(shift[root])) * math.sqrt(len(z)) < SURE:
        return None
    names, log_scale = _named(draws, mean, sd, root)
    form = _form(x.reshape(-1, x.shape[-1]), root, float(shift[root]), names, log_scale)
    if form is not None and form.startswith("the non-centred form") and (code := _code(draws, names[root][1])):
        form = f"{form}: {code}"
    return Place(names[root][0], float(shift[root]), form, names[root][1])


def _code(draws: PointSet, scale: str) -> str:
    """The two lines of the non-centred form of the first effect with a scale, where the priors tell which that is."""
    return next((one.lines for one in scaled_effects(draws.target) if one.scale == scale), "")


def _smaller_steps(draws: PointSet) -> str:
    """What makes steps smaller in the sampler that was used; empty where that is exhausted."""
    given = draws.attrs.get("hyperparameters") or {}
    if given.get("step_size") is not None:
        return "a smaller step_size"
    aim = getattr(draws.kernel, "target_acceptance", None)
    if not isinstance(aim, float):
        return "smaller steps"
    return f"target_acceptance={(1 + aim) / 2:.3g}" if aim < HIGHEST else ""


def _named(draws: PointSet, at: Tensor, sd: Tensor, root: int) -> tuple[list[tuple[str, str]], bool]:
    """(scalar, variable) of each coordinate, and whether that at `root` is the logarithm of what it stands for."""
    if draws.target is None:
        return [(f"x[{i}]", "x") for i in range(len(at))], False
    points = torch.cat([at[None], at + torch.diag(sd)]).to(draws.x)
    with torch.no_grad():
        values = draws.target.constrain(points)
    names: list[tuple[str, str] | None] = [None] * len(at)
    ratio = None
    for name, value in values.items():
        flat = value.reshape(len(points), -1).double()
        for i, changed in enumerate((flat[1:] != flat[0]).tolist()):
            if names[i] is None and any(changed):
                j = changed.index(True)
                names[i] = (name if value.ndim == 1 else f"{name}[{j}]", name)
                if i == root:
                    ratio = flat[1 + i, j] / flat[0, j]
    log_scale = ratio is not None and math.isclose(float(ratio), math.exp(float(sd[root])), rel_tol=1e-3)
    return [found or (f"x[{i}]", "x") for i, found in enumerate(names)], log_scale


def _form(x: Tensor, root: int, shift: float, names: list[tuple[str, str]], log_scale: bool) -> str | None:
    """The form of the hierarchy in which the widths of its effects depend less on their scale, exp(x_root).

    Of a coordinate that is no logarithm of a scale, that widths go by it, where they do so much.
    """
    dim = x.shape[1]
    third = len(x) // 3
    if dim > MOST_DIM or third < ROWS_PER_DIM * dim:
        return None
    order = x[:, root].argsort()
    low, high = (x[rows[:: max(1, third // ROWS)]] for rows in (order[:third], order[-third:]))
    apart = float(high[:, root].mean() - low[:, root].mean())
    widths = [_widths(rows) for rows in (low, high)]
    log_ratio = (widths[1] / widths[0]).log()
    tau = names[root][1]
    for variable in dict.fromkeys(variable for _, variable in names):
        columns = [i for i, (_, own) in enumerate(names) if own == variable and i != root]
        if len(columns) < 2:
            continue  # effects of a hierarchy are several
        found = float(log_ratio[columns].median())
        centred = found < 0
        if not log_scale and found * shift < 0 and abs(found) > VERY_NARROW:
            return (
                f"parameters whose width does not go by {names[root][0]}, as that of {variable} does, which is narrow "
                "there: multiples of that width"
            )
        better = abs(found + apart if centred else found - apart) < 0.5 * abs(found)
        if log_scale and found * shift < 0 and abs(found) > NARROW and better:
            if centred:
                return (
                    f"the centred form: {variable} is narrow there, for the data know what {tau} times {variable} is; "
                    f"make the effects, a place plus {tau} times {variable}, the parameter"
                )
            return (
                f"the non-centred form: {variable} is narrow there; write {variable} as a place plus {tau} times "
                "z with z ~ N(0, 1), and make z the parameter"
            )
    return None


def _widths(x: Tensor) -> Tensor:
    """The standard deviation of each coordinate given all others, by the inverse covariance of rows; NaN without."""
    factor, failed = torch.linalg.cholesky_ex(x.mT.cov())
    if int(failed):
        return torch.full((x.shape[1],), math.nan, dtype=x.dtype, device=x.device)
    return torch.cholesky_inverse(factor).diagonal().rsqrt()
