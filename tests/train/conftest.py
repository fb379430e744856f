import sys
from pathlib import Path

import pytest
import torch

# The toys are also imported by the child programs in this folder and by
# reading processes, so they are a module of their own.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Toys this small only wait for a second thread, for seconds on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
