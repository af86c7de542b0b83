"""Words for what needs no looking into: digests of texts and arrays."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor


def hashed(content: str | bytes) -> str:
    """The first half of a SHA-256."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:32]


def words(value: Any) -> str:
    """repr without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def of_array(value: Tensor | np.ndarray) -> str:
    """An array's dtype, shape and bytes as a word, whatever device it is on."""
    if isinstance(value, Tensor):
        value = value.detach()
        if value.layout != torch.strided:
            value = value.to_dense()
        kind, shape = str(value.dtype).removeprefix("torch."), tuple(value.shape)
        value = value.resolve_conj().resolve_neg().cpu()
        if value.dtype == torch.bfloat16:  # which numpy does not know
            value = value.float()
        return f"{kind}{shape}{hashed(value.numpy().tobytes())}"
    return f"{value.dtype}{value.shape}{hashed(np.ascontiguousarray(value).tobytes())}"
