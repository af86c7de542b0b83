"""Whether a density is the one that stored draws belong to."""

from samplers.identity.known import (
    POINTS,
    Known,
    Made,
    alike,
    known,
    made_alike,
    made_otherwise,
    of_evaluation,
)

__all__ = ["POINTS", "Known", "Made", "alike", "known", "made_alike", "made_otherwise", "of_evaluation"]
