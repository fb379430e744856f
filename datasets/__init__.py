"""Data sets: a card and a loader each, and simulators with known truth.

``list()`` names them, ``info(name)`` shows the card, ``get(name)`` fetches the
files, ``load(name)`` returns checked recordings; ``labelled_windows(recordings)``
and ``official_split(recordings)`` cut, label and split a corpus as the literature does.
"""

if __name__ == "datasets":  # pragma: no cover - tested in a subprocess
    # The repository root is on the path (editable install, or Python started
    # there) and would shadow any real distribution called "datasets".
    import importlib.machinery as _machinery
    import importlib.util as _util
    import pathlib as _pathlib
    import sys as _sys

    _elsewhere = [p for p in _sys.path if not _pathlib.Path(p or ".", "pyproject.toml").exists()]
    _spec = _machinery.PathFinder.find_spec("datasets", _elsewhere)
    if _spec is None or _spec.loader is None:
        raise ModuleNotFoundError(
            "No module named 'datasets'; this folder is 'neuro.datasets'.", name="datasets"
        )
    _real = _util.module_from_spec(_spec)
    _sys.modules["datasets"] = _real
    _spec.loader.exec_module(_real)
else:
    from neuro.datasets import synthetic as synthetic
    from neuro.datasets._audit import Audit as Audit
    from neuro.datasets._audit import Finding as Finding
    from neuro.datasets._audit import audit as audit
    from neuro.datasets._cards import Card as Card
    from neuro.datasets._cards import mismatches as mismatches
    from neuro.datasets._fetch import available as available
    from neuro.datasets._fetch import cache_dir as cache_dir
    from neuro.datasets._fetch import get as get
    from neuro.datasets._protocols import OfficialSplit as OfficialSplit
    from neuro.datasets._protocols import labelled_windows as labelled_windows
    from neuro.datasets._protocols import official_split as official_split
    from neuro.datasets._registry import info as info
    from neuro.datasets._registry import load as load
    from neuro.datasets._registry import names as list

    __all__ = [
        "Audit",
        "Card",
        "Finding",
        "OfficialSplit",
        "audit",
        "available",
        "cache_dir",
        "get",
        "info",
        "labelled_windows",
        "list",
        "load",
        "mismatches",
        "official_split",
        "synthetic",
    ]
