"""Files that somebody edited: whatever they say, one error of ours, or something that works."""

import json
import random
from contextlib import suppress

import numpy as np

from neuro.bci import Workspace
from neuro.errors import NeuroError
from neuro.io.safe import sha256_of
from neuro.stream import load_bundle

N = 40
VALUES = (
    None, True, -1, 0, 1e-12, 1e300, 10**30, float("nan"), float("inf"), "", "x", "../../x",
    "\x00", "é" * 5000, "1e30", "250/0", [], {}, [None], [["C3"]], {"a": 1}, 3600,
)  # fmt: skip


def places(value, at=()):
    """Keys to everything inside, from the outside in."""
    if at:
        yield at
    if not isinstance(value, dict | list):
        return
    for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
        yield from places(inside, (*at, key))


def damaged(text, rng):
    """A copy in which one value is another, doubled, or gone."""
    value = at = json.loads(text)
    *way, last = rng.choice([p for p in places(value) if p[0] not in ("format", "sha256")])
    for key in way:
        at = at[key]
    if rng.random() < 0.15:
        del at[last]
    else:
        at[last] = rng.choice([*VALUES, [at[last], at[last]]])
    return json.dumps(value)


def test_a_damaged_decoder_is_an_error_of_ours_or_decides(workspace):
    workspace.train(("C3;12", "C4;10:12"))
    file = workspace.bundle() / "decoder.json"
    text, rng = file.read_text(), random.Random(0)
    for _ in range(N):
        file.write_text(damaged(text, rng))
        (file.parent / "sha256").write_text(sha256_of(file) + "\n")
        with suppress(NeuroError):
            decoder = load_bundle(file.parent)
            decoder.attach(decoder.info)
            decoder.mark(0, "left")
            decoder.push(np.zeros((len(decoder.info.ch_names), 600)))


def test_a_damaged_workspace_is_an_error_of_ours_or_works(workspace, tmp_path):
    workspace.train(("C3;12",))
    files = [workspace.folder / "workspace.json", workspace.folder / "attempts/001/attempt.json"]
    texts, rng = [file.read_text() for file in files], random.Random(1)
    outside = set(tmp_path.iterdir())
    for i in range(N):
        for k, file in enumerate(files):
            file.write_text(damaged(texts[k], rng) if i % 2 == k else texts[k])
        with suppress(NeuroError):
            again = Workspace.open(workspace.folder)
            _ = (again.attempts, again.extracted, again.choice.wanted)
            again.settings.extractor(workspace.info)
    assert set(tmp_path.iterdir()) == outside
