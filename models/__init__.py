"""One name for every published system; build, describe, load.

>>> import neuro
>>> "patch_mae" in neuro.models.list()
True

Importing this package does not import torch: a model's file is loaded when it
is first asked for.
"""

if __name__ == "models":  # pragma: no cover - tested in a subprocess
    # The repository root is on the path (editable install, or Python started
    # there) and would shadow any real distribution called "models".
    import importlib.machinery as _machinery
    import importlib.util as _util
    import pathlib as _pathlib
    import sys as _sys

    _elsewhere = [p for p in _sys.path if not _pathlib.Path(p or ".", "pyproject.toml").exists()]
    _spec = _machinery.PathFinder.find_spec("models", _elsewhere)
    if _spec is None or _spec.loader is None:
        raise ModuleNotFoundError(
            "No module named 'models'; this folder is 'neuro.models'.", name="models"
        )
    _real = _util.module_from_spec(_spec)
    _sys.modules["models"] = _real
    _spec.loader.exec_module(_real)
else:
    from typing import TYPE_CHECKING

    import lazy_loader as _lazy

    from neuro.models._adapt import adapt as adapt
    from neuro.models._reference import from_reference as from_reference
    from neuro.models._registry import ModelInfo as ModelInfo
    from neuro.models._registry import create as create
    from neuro.models._registry import info as info
    from neuro.models._registry import load as load
    from neuro.models._registry import names as list

    if TYPE_CHECKING:
        from neuro.models._plain import PlainModule as PlainModule

    # a torch module, which would bring torch along
    __getattr__ = _lazy.attach(__name__, submod_attrs={"_plain": ["PlainModule"]})[0]

    __all__ = [
        "ModelInfo",
        "PlainModule",
        "adapt",
        "create",
        "from_reference",
        "info",
        "list",
        "load",
    ]
