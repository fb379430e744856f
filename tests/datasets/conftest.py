import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpora():
    """The module that writes small trees of EDF files in the corpora's layouts."""
    path = Path(__file__).parent / "corpora.py"
    spec = importlib.util.spec_from_file_location("corpora", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
