"""The script of the documentation does what the page says."""

import re
import shutil
from pathlib import Path

import neuro
from neuro.bci import Workspace

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bci.md"


def test_the_script_of_the_page(runs, tmp_path, monkeypatch, capsys):
    for i, path in enumerate(runs, 1):
        shutil.copy(path, tmp_path / f"run{i}.h5")
    monkeypatch.chdir(tmp_path)
    script = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len([line for line in script.splitlines() if line.strip()]) <= 20
    names = {}
    exec(script, names)
    session = Workspace.open("anna")
    assert session.attempt().scores["nested"] >= 0.9
    offline = session.decoder().replay(neuro.read("run4.h5"))
    live = names["decisions"]
    assert [(d.cue, d.label, d.probabilities) for d in live] == [
        (d.cue, d.label, d.probabilities) for d in offline
    ]
    assert len(capsys.readouterr().out.splitlines()) == 11


def test_the_pictures_of_the_page_are_there():
    for name in re.findall(r"\]\((bci/[^)]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / name).stat().st_size < 150_000
