"""The other form of a hierarchy, in two lines of code: which effects have which scale, as their priors say.

centred      theta ~ N(mu, tau),                        the data say much of each theta
non-centred  theta = mu + tau z,   z ~ N(0, 1),         they say little: no neck where tau is small
"""

from __future__ import annotations

from dataclasses import dataclass

from targets import Positive, Posterior, Prior, Real, Target
from targets.with_truth import without_truth

PAGE = 'the section "Divergent steps" of docs/start.md'


@dataclass(frozen=True)
class Scaled:
    """An effect whose prior takes a scale; place: the other parameter that it takes, where there is one.

    plain: whether its prior takes nothing else than one number for each, so that the lines can be told.
    """

    effect: str
    scale: str
    shape: tuple[int, ...]
    place: str | None
    batched: bool
    plain: bool = True

    @property
    def lines(self) -> str:
        """Both lines of the non-centred form."""
        z, sizes = f"z_{self.effect}", ", ".join(map(str, self.shape))
        made = f'the parameter "{z}": Real({sizes + ", " if sizes else ""}prior=Normal(0.0, 1.0)), and in the function '
        if not self.plain:
            return (
                f"{made}{self.effect} = the mean of its prior + {z} times the scale of its prior, for a "
                f"MultivariateNormal mean + {z} @ scale_tril.mT"
            )
        spread = "[:, None]" * bool(self.shape and self.batched)
        place = "" if self.place is None else f"{self.place}{spread} + "
        return f"{made}{self.effect} = {place}{self.scale}{spread} * {z}"


def scaled_effects(target: Target | None) -> list[Scaled]:
    """The real parameters whose prior is a function of a positive one; none where priors are not given by `prior=`."""
    model = without_truth(target)
    if not isinstance(model, Posterior) or "prior" not in model.known:
        return []
    prior: Prior = model.prior
    found = []
    for effect, parents in prior.dependence.items():
        scales = [name for name in parents if isinstance(prior.parameters[name], Positive)]
        places = [name for name in parents if isinstance(prior.parameters[name], Real)]
        if scales and isinstance(prior.parameters[effect], Real):
            place = places[0] if len(places) == 1 and not prior.parameters[places[0]].shape else None
            shape = tuple(prior.parameters[effect].shape)
            alone = all(not prior.parameters[name].shape for name in parents)
            plain = alone and len(scales) == 1 and len(parents) == len(scales) + (place is not None)
            found.append(Scaled(effect, scales[0], shape, place, model.predictive.batched, plain))
    return found


def hierarchical(target: Target | None) -> bool:
    """Whether a model is a hierarchy as its priors say, or may be one.

    It may be where a `Posterior` has a positive parameter beside an array, as scale and effects of a non-centred form;
    where priors are not given by `prior=`, beside any other. No other target tells its parameters.
    """
    model = without_truth(target)
    if not isinstance(model, Posterior):
        return False
    kinds = model.parameters.values()
    if not any(isinstance(kind, Positive) for kind in kinds):
        return bool(scaled_effects(model))
    return any(kind.shape for kind in kinds) if "prior" in model.known else len(kinds) > 1


def other_form(target: Target | None, scale: str | None = None) -> str:
    """What to try of a hierarchy, empty of a target that is none; scale: the parameter near whose ends steps diverge,
    whose effects come first.
    """
    if not hierarchical(target):
        return ""
    found = sorted(scaled_effects(target), key=lambda one: one.scale != scale)
    if not found:
        return f"the other form of a hierarchy, centred or non-centred: {PAGE} has both"
    pairs = ", ".join(f"{one.effect} (its scale is {one.scale})" for one in found)
    likewise = " (and likewise the others)" if len(found) > 1 else ""
    return f"the non-centred form of {pairs}: in place of {found[0].effect} {found[0].lines}{likewise}; see {PAGE}"
