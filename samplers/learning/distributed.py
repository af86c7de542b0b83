"""Training on several devices: every process simulates paths of its own, and the gradients are averaged.

Processes are those of `torchrun`; what they share is set up by `join`. Without a process group nothing here does
anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def join(device: str | None = None) -> torch.device:
    """Join the processes that `torchrun` has started, and return this one's device: its GPU, or the CPU.

    device: "cuda" or "cpu"; None takes a GPU where there is one. Without torchrun this is one process on its own.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if "RANK" in os.environ and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    if kind == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(kind)


def active() -> bool:
    """Whether there is a process group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def rank() -> int:
    """This process's number, 0 where it is alone."""
    return torch.distributed.get_rank() if active() else 0


def share(value: Any) -> Any:
    """The first process's value, in every process."""
    if not active():
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def anywhere(flag: bool) -> bool:
    """Whether the flag is up in any process: what ends or skips an iteration must do so in all of them."""
    if not active():
        return flag
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    raised = torch.tensor(float(flag), device=device)
    torch.distributed.all_reduce(raised)
    return bool(raised > 0)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace every gradient by its mean over the processes, in one message."""
    if not active():
        return
    found = list(parameters)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in found]
    flat = torch.cat([g.reshape(-1).double() for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for parameter, part in zip(found, flat.split([g.numel() for g in gradients]), strict=True):
        parameter.grad = part.reshape(parameter.shape).to(parameter.dtype)
