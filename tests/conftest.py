"""What all tests share: one thread, and randomness that is handed in."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Gradients of convolutions differ between one thread and two; tests that ask
    # for equal bits, and machines that run several at once, want one.
    torch.set_num_threads(1)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)
