"""Same seed, same bits: does a kernel depend on its generator, and on that alone?"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samplers.kernels import Kernel
from samplers.runs.checked import checked_init, checked_step
from samplers.testing.functions import Backend, as_kernel, name_of, rounded
from samplers.testing.invariance import _generator
from samplers.testing.starts import typical
from targets import Target

AT = 3  # chains that are named


@torch.no_grad()
def check_repeatable(
    kernel: Kernel | Callable[..., Any],
    target: Target,
    *,
    seed: int = 0,
    chains: int = 100,
    steps: int = 3,
    backend: Backend | None = None,
) -> None:
    """Run a kernel twice from the same points with the same seed: the same bits, and no global generator touched.

    Chains start at exact draws where the target has them, else at standard normal points or uniform configurations. A
    kernel that draws from torch's, NumPy's or Python's global generator, that seeds one of these, or that keeps
    something between calls, such as a step size that it tunes, is none whose runs can be repeated, and need not leave
    anything invariant. What the global generators are is looked at and never changed. kernel, backend: as for
    `check_invariance`. Returns nothing; raises AssertionError that says at which step which chains differ and by how
    much, or which generator has moved.

        >>> from samplers.testing import check_repeatable
        >>> check_repeatable(samplers.MALA(0.5), targets.Gaussian([0.0, 1.0]))
    """
    kernel = as_kernel(kernel, backend)
    who = f"{name_of(kernel)} on {target.name}"
    generator = _generator(target, seed)
    x = rounded(kernel, typical(target, chains, generator))
    before = _global(target)
    first = _path(kernel, target, x.clone(), steps, seed)
    moved = [name for name, state in _global(target).items() if state != before[name]]
    if moved:
        raise AssertionError(
            f"{who}: {steps} steps have changed the state of {' and '.join(moved)}, expected draws from the generator "
            "that is passed alone"
        )
    again = _path(kernel, target, x.clone(), steps, seed)
    for step, (one, other) in enumerate(zip(first, again, strict=True), start=1):
        apart = ~((one == other) | (one.isnan() & other.isnan())).all(-1)
        if bool(apart.any()):
            which = apart.nonzero()[:AT, 0].tolist()
            largest = float((one - other).abs().max())
            raise AssertionError(
                f"{who}: two runs with the same seed differ after step {step} in {int(apart.sum())} of {chains} chains "
                f"({', '.join(map(str, which))}{', ...' if int(apart.sum()) > AT else ''}), by up to {largest:.3g}: it "
                "draws from a generator that was not passed, or keeps something between calls"
            )


def _path(kernel: Kernel, target: Target, x: Tensor, steps: int, seed: int) -> list[Tensor]:
    generator = _generator(target, seed)
    state, path = checked_init(kernel, target, x, generator), []
    for _ in range(steps):
        state, _ = checked_step(kernel, target, state, generator)
        path.append(state.x.detach().clone())
    return path


def _global(target: Target) -> dict[str, bytes]:
    """The states of the global generators."""
    found = {
        "torch's global generator": torch.get_rng_state().numpy().tobytes(),
        "NumPy's global generator": repr(np.random.get_state(legacy=False)).encode() + _numpy_key(),
        "Python's global generator": repr(random.getstate()).encode(),
    }
    if target.device.type == "cuda":
        found["CUDA's global generator"] = torch.cuda.get_rng_state(target.device).numpy().tobytes()
    return found


def _numpy_key() -> bytes:
    state: Any = np.random.get_state(legacy=False)
    return np.asarray(state["state"]["key"]).tobytes()
