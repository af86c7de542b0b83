"""Guidance by a likelihood of the noised state, such as a classifier trained on it.

    s(x, t) + w grad_x log p(y | x_t = x)

With w = 1 and the likelihood of the noised state itself, log p(y | x_t) = log E[p(y | X) | x_t], this is the exact
score of X given y, noised: nothing is approximated. Another w is the score of no noised law. Dhariwal and Nichol 2021.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from samplers.generative.guidance.energy import guided
from samplers.generative.score import Score
from targets.arguments import not_negative


def classifier_guided(score: Score, log_likelihood: Callable[[Tensor, float], Tensor], *, weight: float = 1.0) -> Score:
    """The score of x_t given y, from that of x_t and log p(y | x_t), which maps x (n, dim), t to (n,).

    log_likelihood: differentiable in x, of the noised state. weight: w, the guidance scale. ValueError for one of
    another shape. https://arxiv.org/abs/2105.05233

        >>> from samplers.generative.guidance import classifier_guided
        >>> guided = classifier_guided(lambda x, t: -x, lambda x, t: 2 * x[:, 0], weight=0.5)
        >>> guided(torch.zeros(1, 2), 0.5)
        tensor([[1., 0.]])
    """
    return guided(score, log_likelihood, not_negative(weight, "weight"))
