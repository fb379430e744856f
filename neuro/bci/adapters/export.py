"""Everything another program needs to run an attempt's decoder, in one folder."""

import shutil
from importlib.resources import files
from pathlib import Path

from neuro.bci.workspace import Workspace
from neuro.errors import ConfigError, FileError, did_you_mean
from neuro.io.safe import atomic_path
from neuro.typing import PathLike

__all__ = ["TARGETS", "export"]

TARGETS = ("bundle", "openvibe", "timeflux")
# the names OpenViBE's Graz paradigm gives to the first two classes
_STIMULATIONS = {
    "left": "OVTK_GDF_Left",
    "right": "OVTK_GDF_Right",
    "feet": "OVTK_GDF_Foot",
    "tongue": "OVTK_GDF_Tongue",
}


def export(
    workspace: Workspace, folder: PathLike, *, to: str = "bundle", attempt: int | None = None
) -> Path:
    """Write an attempt's decoder for another program.

    Parameters
    ----------
    workspace : Workspace
        The session.
    folder : path
        Must not exist.
    to : {"bundle", "openvibe", "timeflux"}
        The decoder alone; with a script for OpenViBE's Python 3 box; with a node
        for Timeflux. PsychoPy, BCI2000 and BciPy need no file: they listen to the
        decisions that ``neuro bci online`` sends over LSL.
    attempt : int, optional
        The last if None.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        Unknown program.
    FileError
        If the folder exists.
    """
    if to not in TARGETS:
        raise ConfigError(f"No export for {to!r}. {did_you_mean(to, TARGETS)}")
    target = Path(folder)
    if target.exists():
        raise FileError(f"{target.name!r} exists already; choose another folder.")
    decoder = workspace.decoder(attempt)
    target.mkdir(parents=True)
    shutil.copytree(workspace.bundle(attempt), target / "decoder")
    text = ""
    if to == "openvibe":
        names = {
            label: _STIMULATIONS.get(label.casefold(), f"OVTK_StimulationId_Label_{i + 1:02X}")
            for i, label in enumerate(decoder.classes)
        }
        text = _template("openvibe_box").format(
            bundle="decoder", cues={name: label for label, name in names.items()}, answers=names
        )
    elif to == "timeflux":
        text = _template("timeflux_node").format(bundle="decoder", rate=float(decoder.info.sfreq))
    if text:
        name = {"openvibe": "neuro_box.py", "timeflux": "neuro_node.py"}[to]
        with atomic_path(target / name) as fresh:
            fresh.write_text(text, encoding="utf-8")
    return target


def _template(name: str) -> str:
    path = files("neuro.bci.adapters").joinpath(f"templates/{name}.txt")
    return path.read_text(encoding="utf-8")
