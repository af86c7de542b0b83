"""Conditional models: a score that is told what x is given, with and without more weight on it.

    s(x, t, y)                                   the law of x given y
    (1 + w) s(x, t, y) - w s(x, t, nothing)      classifier-free guidance

The second is at each t the score of p_t(x | y)^(1 + w) p_t(x)^-w, which for w != 0 is not the noised form of any one
law: its draws are biased towards what y prefers, and that is its purpose. Ho and Salimans 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from samplers.generative.score import Score, check_score

Condition = TypeVar("Condition")
ConditionalScore = Callable[[Tensor, float, Condition], Tensor]  # (x (n, dim), t, y) -> (n, dim)


def conditioned(score: ConditionalScore[Condition], condition: Condition) -> Score:
    """The score of x given the condition, for solvers, likelihoods and paths. score: (x (n, dim), t, y) -> (n, dim).

    condition: whatever the score takes for y.

        >>> from samplers.generative.guidance import conditioned
        >>> conditioned(lambda x, t, y: y - x, 3.0)(torch.ones(1, 1), 0.5)
        tensor([[2.]])
    """
    return lambda x, t: check_score(score(x, t, condition), x)


def classifier_free(
    score: ConditionalScore[Condition], condition: Condition, nothing: Condition, weight: float
) -> Score:
    """(1 + weight) s(x, t, condition) - weight s(x, t, nothing); weight 0 is `conditioned`, -1 the model without y.

    nothing: what the score takes for no condition. https://arxiv.org/abs/2207.12598

        >>> from samplers.generative.guidance import classifier_free
        >>> classifier_free(lambda x, t, y: y - x, 3.0, 0.0, 1.0)(torch.ones(1, 1), 0.5)
        tensor([[5.]])
    """

    def guided(x: Tensor, t: float) -> Tensor:
        given, free = check_score(score(x, t, condition), x), check_score(score(x, t, nothing), x)
        return given + weight * (given - free)

    return guided
