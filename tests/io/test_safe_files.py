"""Limits, atomic writes, JSON."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neuro.errors import ConfigError, DataError, DataUnavailableError, FileError
from neuro.io import safe

WRITERS = {
    "hdf5": lambda path: _hdf5(path),
    "npy": lambda path: safe.save_npy(path, np.zeros(50_000)),
    "npz": lambda path: safe.save_npz(path, {"x": np.zeros(50_000)}),
    "tensors": lambda path: safe.write_tensors(path, {"w": torch.zeros(50_000)}),
    "json": lambda path: safe.write_json(path, list(range(50_000))),
}


def _hdf5(path: Path) -> None:
    with safe.create_hdf5(path) as file:
        file["x"] = np.zeros(50_000)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(kind, tmp_path, monkeypatch):
    target = tmp_path / "old.bin"
    target.write_bytes(b"precious")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        WRITERS[kind](target)
    assert "file that was there before is unchanged" in caught.value.__notes__[0]
    assert target.read_bytes() == b"precious"
    assert [p.name for p in tmp_path.iterdir()] == ["old.bin"]


def test_a_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path):
    # A real failure inside numpy, HDF5 and safetensors: no file may grow beyond 100 kB.
    for kind in WRITERS:
        (tmp_path / kind).write_bytes(b"precious")
    script = (
        "import resource, runpy, sys\n"
        "from pathlib import Path\n"
        "space = runpy.run_path(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "for kind, write in space['WRITERS'].items():\n"
        "    try:\n"
        "        write(Path(sys.argv[2], kind))\n"
        "    except OSError as error:\n"
        "        print(kind, len(error.__notes__), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, __file__, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == [word for kind in WRITERS for word in (kind, "1")], done.stderr
    assert done.returncode == 0  # nor does HDF5 abort when it closes at exit
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == dict.fromkeys(
        WRITERS, b"precious"
    )


def test_atomic_path_shows_the_file_only_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "a.nii.gz"
    with safe.atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".nii.gz")
    assert target.read_bytes() == b"half"


def test_atomic_path_deletes_the_temporary_file_on_any_error(tmp_path):
    def interrupted():
        with safe.atomic_path(tmp_path / "a") as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_atomic_path_honours_the_umask(tmp_path):
    with safe.atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_atomic_path_replaces_a_link_and_spares_what_it_points_to(tmp_path):
    (tmp_path / "other").write_text("kept")
    (tmp_path / "a").symlink_to(tmp_path / "other")
    with safe.atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "other").read_text() == "kept"
    assert (tmp_path / "a").read_text() == "new"


def test_atomic_path_refuses_a_folder_and_an_empty_body(tmp_path):
    with pytest.raises(FileError, match="is a folder"), safe.atomic_path(tmp_path):
        pass
    with pytest.raises(FileError, match="nothing was written"), safe.atomic_path(tmp_path / "a"):
        pass


def test_limits_refuse_what_makes_no_sense():
    with pytest.raises(ConfigError, match="max_ratio=0"):
        safe.Limits(max_ratio=0)


def test_limits_compare_with_what_is_stored():
    limits = safe.Limits(max_bytes=10_000, max_ratio=10, small_bytes=100)
    limits.check_bytes("x", 100, 0)  # small: needs nothing behind it
    limits.check_bytes("x", 1000, 100)  # exactly 10 to 1
    with pytest.raises(FileError, match=r"x claims 1001 bytes but 100 bytes.*10 to 1"):
        limits.check_bytes("x", 1001, 100)
    with pytest.raises(FileError, match=r"x claims 9\.\d+ KiB; the limit is"):
        limits.check_bytes("x", 10_001, 10_001)
    with pytest.raises(FileError, match=r"more than 2\^80 bytes"):
        limits.check_bytes("x", 10**400, 1)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1 << 20, "1 MiB"), (4 << 40, "4 TiB")],
)
def test_sizes_read_well(count, text):
    from neuro.io._files import human

    assert human(count) == text


def test_json_round_trip_keeps_values_and_turns_numpy_into_numbers(tmp_path):
    path = tmp_path / "a.json"
    safe.write_json(
        path, {"a": [1, 2.5, None, True, "µV"], "b": {"c": np.int64(3)}, "d": np.eye(2)}
    )
    assert safe.read_json(path) == {
        "a": [1, 2.5, None, True, "µV"],
        "b": {"c": 3},
        "d": [[1.0, 0.0], [0.0, 1.0]],
    }


def test_json_says_where_a_value_cannot_be_written(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match=r"scores\.eeg\[1\] is nan"):
        safe.write_json(path, {"scores": {"eeg": [0.5, float("nan")]}})
    with pytest.raises(DataError, match="path is a PosixPath"):
        safe.write_json(path, {"path": tmp_path})
    with pytest.raises(DataError, match="key 3; use strings"):
        safe.write_json(path, {3: 1})
    assert list(tmp_path.iterdir()) == []


def test_json_writes_nan_as_null_when_asked(tmp_path):
    safe.write_json(tmp_path / "a.json", {"x": np.array([np.inf, 1.0])}, nan="null")
    assert safe.read_json(tmp_path / "a.json") == {"x": [None, 1.0]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1', "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"", "not JSON"),
        (b"1" * 10_000, "not JSON"),  # beyond the digits Python turns into a number
    ],
)
def test_malformed_json_is_one_error(content, message, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        safe.read_json(path)
    assert str(caught.value).startswith("'a.json' is")
    assert str(tmp_path) not in str(caught.value)


def test_json_beyond_the_cap_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" + "1," * 1000 + "1]")
    with pytest.raises(FileError, match="more than the 1 KiB"):
        safe.read_json(path, max_bytes=1024)


def test_missing_files_folders_and_pipes_are_told_apart(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    with pytest.raises(DataUnavailableError, match=r"'none\.json' does not exist"):
        safe.read_json(tmp_path / "none.json")
    with pytest.raises(FileError, match="is a folder"):
        safe.read_json(tmp_path)
    with pytest.raises(FileError, match="is a pipe or device"):
        safe.read_json(tmp_path / "pipe")
    with pytest.raises(FileError, match="cannot be opened"):
        safe.read_json(tmp_path / "a\0b")


def test_sha256_matches_the_published_test_vector(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-4, example of one block
    assert safe.sha256_of(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_text_from_a_file_cannot_drive_a_terminal():
    from neuro.io._files import printable

    assert printable("a\x1b[31mb\nc") == "a [31mb c"
    assert len(printable("x" * 1000, 50)) == 50
