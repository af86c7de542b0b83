"""Samples of an energy to learn from: the draws of another sampler, the teacher."""

from __future__ import annotations

from pathlib import Path

from samplers.draws import Draws
from samplers.draws.signature import Choice, taken_by
from samplers.kernels import HMC
from targets import Target
from targets.arguments import check_integer, shown

SAMPLES = 16_000  # over all chains
CHAINS = 64
SEED = 15_000_017  # offset of the teacher's


def check_teacher(teacher: Choice | None) -> None:
    """TypeError for what has no verb `sample`."""
    sampler = teacher[0] if isinstance(teacher, tuple) and len(teacher) == 2 else teacher
    if sampler is not None and (isinstance(sampler, type) or not callable(getattr(sampler, "sample", None))):
        raise TypeError(
            f"teacher: got {shown(teacher)}, expected a sampler such as HMC(), or a pair (sampler, options) such as "
            '(HMC(), {"warmup": 1000})'
        )


def teach(
    teacher: Choice | None,
    target: Target,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
) -> Draws:
    """`samples` draws or a few more, of HMC where teacher is None; of chains over CHAINS of them, or as many as given.

    checkpoint: of the learner; the teacher writes one beside it.
    """
    check_integer(samples, "samples")
    sampler, own = teacher if isinstance(teacher, tuple) else (HMC() if teacher is None else teacher, {})
    taken = taken_by(sampler)
    length = {"draws": samples}
    if "chains" in taken.names:
        chains = int(own.get("chains", CHAINS))
        length = {"chains": chains, "draws": -(-samples // chains)}
    beside = None if checkpoint is None else f"{checkpoint}.teacher"
    given = {"progress": progress, "checkpoint": beside}
    options = {name: value for name, value in given.items() if value is not None and name in taken.names}
    return sampler.sample(target, **{"seed": seed + SEED, **length, **options, **own})
