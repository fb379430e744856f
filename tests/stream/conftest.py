import os

import pytest


@pytest.fixture(scope="session")
def lsl_session():
    """Name of an LSL session that only this test process and its children see."""
    pytest.importorskip("pylsl", reason="pylsl is not installed")
    from neuro.stream.lsl import private_session

    name = f"neuro-test-{os.getpid()}"
    private_session(name)
    return name
