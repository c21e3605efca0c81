from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)  # the networks here are tiny: threads would only wait for each other


@pytest.fixture(autouse=True)
def _denormals_come_back() -> Iterator[None]:
    """Training flushes denormal numbers to zero for the whole process; other tests need them."""
    yield
    torch.set_flush_denormal(False)
