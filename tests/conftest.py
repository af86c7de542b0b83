"""Fixtures of all tests."""

import pytest
import torch

torch.set_num_threads(1)  # the tensors are small, and threads of several processes would wait for one another


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20240607)
