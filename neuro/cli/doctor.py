"""Is this machine fit: versions, imports that fail, and what to do about each."""

import contextlib
import importlib
import importlib.metadata
import os
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

from neuro.cli._show import console, show_json, table

__all__ = ["examine"]

# package, distribution, the extra that installs it (None: needed)
_PACKAGES: tuple[tuple[str, str, str | None], ...] = (
    ("numpy", "numpy", None),
    ("scipy", "scipy", None),
    ("sklearn", "scikit-learn", None),
    ("pandas", "pandas", None),
    ("h5py", "h5py", None),
    ("mne", "mne", None),
    ("nibabel", "nibabel", None),
    ("nilearn", "nilearn", None),
    ("torch", "torch", None),
    ("accelerate", "accelerate", None),
    ("safetensors", "safetensors", None),
    ("numba", "numba", None),
    ("matplotlib", "matplotlib", None),
    ("pynwb", "pynwb", "nwb"),
    ("pyxdf", "pyxdf", "xdf"),
    ("braindecode", "braindecode", "braindecode"),
    ("huggingface_hub", "huggingface-hub", "hub"),
)


def examine(as_json: bool) -> bool:
    """Print the state of this machine; False if something needed does not load."""
    rows = [_look(*package) for package in _PACKAGES]
    machine = _machine()
    if as_json:
        show_json({"machine": machine, "packages": rows})
    else:
        table("Machine", ["what", "value"], machine.items())
        columns = ["package", "version", "state"]
        table("Packages", columns, [[row[c] for c in columns] for row in rows])
        for row in rows:
            if row["remedy"]:  # below the table, where no terminal is too narrow for it
                console.print(
                    f"{row['package']}: {row['remedy']}",
                    soft_wrap=True,
                    highlight=False,
                    markup=False,
                )
    broken = [row["package"] for row in rows if row["state"] == "broken"]
    if broken and not as_json:
        console.print(f"Needed but not loading: {', '.join(broken)}")
    return not broken


def _look(package: str, distribution: str, extra: str | None) -> dict[str, str]:
    row = {"package": package, "version": "", "state": "ok", "remedy": ""}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        row["version"] = importlib.metadata.version(distribution)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(package)
    except Exception as error:
        # half a package would give whoever imports it next a misleading error; those
        # that are needed are not touched, their compiled parts load only once
        for name in [n for n in sys.modules if extra and n.partition(".")[0] == package]:
            del sys.modules[name]
        if extra and not row["version"]:
            row["state"], row["remedy"] = "not installed", f'pip install "neuro-fm[{extra}]"'
        else:
            row["state"] = "broken" if extra is None else "does not load"
            row["remedy"] = _remedy(package, distribution, error)
    return row


def _remedy(package: str, distribution: str, error: Exception) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0][:120]
    if package == "braindecode" and "torchaudio" in str(error):
        return (
            "its torchaudio does not match torch; pip install --no-deps torchaudio of the same "
            f"release and build as torch, or a torch that has one ({first})"
        )
    return f"pip install --force-reinstall {distribution} ({first})"


def _machine() -> dict[str, Any]:
    import neuro
    from neuro.datasets import cache_dir

    facts: dict[str, Any] = {
        "neuro": neuro.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count() or 0,
        "data cache": _without_home(cache_dir()),
    }
    try:
        import torch
    except Exception:  # told with its remedy among the packages
        return facts
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return facts | {"torch threads": torch.get_num_threads(), "GPUs": ", ".join(gpus) or "none"}


def _without_home(path: Path) -> str:
    """A path that can be pasted into a public question: the home folder names a person."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except ValueError:
        return str(path)
