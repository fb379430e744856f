"""Shards hold what they were given, and an unfinished set is noticed."""

import json
from pathlib import Path

import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, windows
from neuro.errors import DataError, DataUnavailableError, FileError
from neuro.io.shards import load_shards, save_shards


def recordings(n: int) -> list[Recording]:
    rng = np.random.default_rng(0)
    axis = Axis(["Fz", "Cz"], "eeg")
    return [
        Recording(
            {"eeg": Regular(rng.standard_normal((2, 500)), 100, "uV", axis, "eeg")},
            subject=f"{i:02d}",
        )
        for i in range(n)
    ]


def test_shards_hold_every_recording_in_order(tmp_path: Path) -> None:
    recs = recordings(7)
    folder = save_shards(iter(recs), tmp_path / "s", shard_bytes=3 * 4000)
    assert len(list(folder.glob("shard-*.h5"))) == 3
    back = load_shards(folder)
    assert [r.subject for r in back] == [r.subject for r in recs]
    for a, b in zip(recs, back, strict=True):
        np.testing.assert_array_equal(a.regular().values(), b.regular().values())


def test_windows_over_shards_equal_windows_over_memory(tmp_path: Path) -> None:
    recs = recordings(4)
    back = load_shards(save_shards(recs, tmp_path / "s", shard_bytes=8000))
    a = windows(recs, stream="eeg", length_s=0.5).batch().x
    b = windows(back, stream="eeg", length_s=0.5).batch().x
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_unfinished_packing_is_noticed(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield from recordings(2)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        save_shards(broken(), tmp_path / "s", shard_bytes=1)
    with pytest.raises(DataUnavailableError, match="did not finish"):
        load_shards(tmp_path / "s")


def test_a_second_set_never_overwrites_the_first(tmp_path: Path) -> None:
    save_shards(recordings(1), tmp_path / "s")
    with pytest.raises(DataError, match="already holds shards"):
        save_shards(recordings(1), tmp_path / "s")
    with pytest.raises(DataError, match="No recordings"):
        save_shards([], tmp_path / "t")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"file": "../outside.h5", "key": "000000"}, "leaves the folder"),
        ({"file": "shard-000000.h5", "key": "nowhere"}, "lacks recording"),
    ],
)
def test_hostile_index_is_refused(tmp_path: Path, row: dict[str, str], message: str) -> None:
    folder = save_shards(recordings(1), tmp_path / "s")
    index = {"format": "neuro-shards", "version": 1, "recordings": [row]}
    (folder / "shards.json").write_text(json.dumps(index))
    with pytest.raises(FileError, match=message):
        load_shards(folder)
