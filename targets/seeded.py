"""Random numbers of code that takes them from torch's global generator alone, such as torch.distributions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator


@contextmanager
def seeded(generator: Generator, device: torch.device | None = None) -> Iterator[None]:
    """Within, torch's global generators are seeded from `generator`; afterwards they are as they were.

    device: the one that random numbers are drawn on, beside the CPU; by default that of `generator`.
    """
    seed = torch.randint(2**62, (), generator=generator, device=generator.device).item()
    device = generator.device if device is None else device
    with torch.random.fork_rng([] if device.type == "cpu" else [device]):
        torch.manual_seed(int(seed))
        yield
