"""How a learning rate falls."""

from __future__ import annotations

import math

LAST_RATE = 0.02


def cosine(done: float) -> float:
    """From 1 to LAST_RATE as half a cosine, at a share of the iterations. Loshchilov and Hutter 2017."""
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))
