"""Whether terms of a likelihood count data that the laws of `predictive=` count already."""

from __future__ import annotations

import math
import re

from targets.predictive import UNNAMED, Predictive

_OF_THE_LIKELIHOOD = re.compile(r"(log_?)?lik", re.IGNORECASE)  # log_lik, loglik, log_likelihood, likelihood


def check_counted_once(model: Predictive) -> None:
    """ValueError for a term of `pointwise=` that looks like that of data whose law adds a term too.

    It has as many numbers as the data, or is named for the likelihood, and has the name of no data. A Stan user writes
    log_lik, and means to replace the law's term. A sum over the data under another name cannot be told from a penalty.
    """
    by_law = {name: model.observed[name] for name in model.observed if name in model.term_shapes.keys() - model.given}
    for term in sorted(model.given):
        if term in model.observed or not by_law:
            continue
        shape = model.term_shapes[term]
        same = [name for name, y in by_law.items() if shape and math.prod(shape) == y.numel()]
        if not same and not _OF_THE_LIKELIHOOD.match(term):
            continue
        of = same[0] if same else next(iter(by_law))
        said = "a tensor without a name" if term == UNNAMED else repr(term)
        said += f" of shape (batch, {', '.join(map(str, shape))})" if shape else ""
        said += f", as many numbers as observed[{of!r}] has" if same else ""
        raise ValueError(
            f"pointwise: returned {said}, beside the law of {of!r} in {model.argument}, whose log_prob is a term of "
            "its own: the data would be counted twice. To replace the term of "
            f'{of!r} return it as {{"{of}": terms}}; a term of other data takes their name, and these data by '
            'observed=; a penalty is one number for each point, (batch,), under a name such as "penalty"'
        )
