"""What fuzzing found, one small file each, so that it stays mended."""

import base64
import errno
import gzip
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import fuzz_eeg
import fuzz_seeds
import numpy as np
import pytest

from neuro import io
from neuro.errors import FileError
from neuro.io import _probe, safe
from neuro.io._sink import Sink


def patched(path: Path, at: int, content: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)
    return path


def replaced(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


# ------------------------------------------- sizes that a header claims, in EEG


@pytest.fixture
def gdf(tmp_path: Path) -> Path:
    fuzz_eeg.gdf(tmp_path)
    return tmp_path / "one.gdf"


def test_gdf_claiming_channels(gdf: Path) -> None:
    with pytest.raises(FileError, match="claims 4294967295 channels"):
        io.read(patched(gdf, 252, b"\xff" * 4))


def test_gdf_claiming_records(gdf: Path) -> None:
    with pytest.raises(FileError, match="claims 4000000 bytes of samples but holds 820"):
        io.read(patched(gdf, 236, struct.pack("<q", 10_000)))


def test_gdf_claiming_fewer_than_no_records(gdf: Path) -> None:
    with pytest.raises(FileError, match="claims -400 bytes"):
        io.read(patched(gdf, 236, struct.pack("<q", -1)))


@pytest.mark.parametrize(("version", "field"), [("one", b"\x00\x00\x00\x10"), ("two", b"\xff\xff")])
def test_gdf_claiming_events(tmp_path: Path, version: str, field: bytes) -> None:
    fuzz_eeg.gdf(tmp_path)
    path = tmp_path / f"{version}.gdf"
    table = 256 * 3 + 2 * 2 * 100 * 2  # after the header and 2 records of 2 x 100 samples
    with pytest.raises(FileError, match=r"claims \d+ events, its table has room for 2"):
        io.read(patched(path, table + (4 if version == "one" else 1), field))


def test_gdf_with_samples_of_no_type(gdf: Path) -> None:
    with pytest.raises(FileError, match="unknown type"):
        io.read(patched(gdf, 256 + 220 * 2, struct.pack("<i", 99)))


def test_edf_claiming_channels(tmp_path: Path) -> None:
    fuzz_eeg.edf(tmp_path)
    with pytest.raises(FileError, match="claims 9999 channels"):
        io.read(patched(tmp_path / "plain.edf", 252, b"9999"))


def test_brainvision_claiming_channels(tmp_path: Path) -> None:
    fuzz_eeg.brainvision(tmp_path)
    replaced(tmp_path / "v.vhdr", "NumberOfChannels=2", "NumberOfChannels=2147483647")
    with pytest.raises(FileError, match="claims 2147483647 channels"):
        io.read(tmp_path / "v.vhdr")


@pytest.mark.parametrize("field", ["NumberOfChannels=2", "DataPoints=200"])
def test_brainvision_with_a_digit_that_is_no_number(tmp_path: Path, field: str) -> None:
    fuzz_eeg.brainvision(tmp_path)
    name = field.partition("=")[0]
    path = replaced(tmp_path / "v.vhdr", field, f"{name}=\N{SUPERSCRIPT TWO}")
    path.write_bytes(path.read_text().encode("latin-1", "replace"))
    if name == "NumberOfChannels":
        with pytest.raises(FileError, match=r"v\.vhdr"):
            io.read(path)
    else:
        assert io.read(path).regular("eeg").n_times == 200


def test_age_that_is_no_number(tmp_path: Path) -> None:
    fuzz_seeds.FORMATS["bids"].make(tmp_path)
    table = replaced(tmp_path / "set" / "participants.tsv", "01\t34", "01\t\N{SUPERSCRIPT TWO}")
    assert table.read_text().count("\N{SUPERSCRIPT TWO}") == 1
    assert io.read(tmp_path / "set", subject="01").age is None


def test_fif_tags_in_a_circle(tmp_path: Path) -> None:
    fuzz_eeg.fif(tmp_path)
    path = tmp_path / "a_raw.fif"
    # the third tag, after an identity of 20 bytes and a pointer of 4, leads to the second
    with pytest.raises(FileError, match="circle"):
        io.read(patched(path, 16 + 20 + 16 + 4 + 12, struct.pack(">i", 36)))


# ------------------------------------------------------------------------- fMRI


def test_gzip_that_is_none_inside(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(bytes(400))[:10] + b"\x07" * 60)  # a block of type 3 of 0..2
    with pytest.raises(FileError, match="invalid block type"):
        io.read(path, tr=2.0)


def test_nifti_whose_samples_are_wider_than_it_says(tmp_path: Path) -> None:
    fuzz_seeds.FORMATS["nifti"].make(tmp_path)
    path = patched(tmp_path / "auto.nii", 72, b"\xff\xff")  # bits of a sample, of which -1 are none
    path.write_bytes(path.read_bytes()[:6431])
    with pytest.raises(FileError, match="declares 8640 bytes of samples but holds 6079") as caught:
        io.read(path, tr=2.0)
    assert str(tmp_path) not in str(caught.value)


def test_repetition_time_of_hundreds_of_digits(tmp_path: Path) -> None:
    (tmp_path / "roi.csv").write_text("A,B\n1,5\n2,4\n4,6\n")
    (tmp_path / "roi.json").write_text('{"RepetitionTime": 1' + "0" * 400 + "}")
    with pytest.raises(FileError, match="number of seconds"):
        io.read(tmp_path / "roi.csv")


def test_zip_with_a_member_of_no_name(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Zx.npy", b"")
    path.write_bytes(path.read_bytes().replace(b"Zx", b"\0x"))  # names end at a NUL
    with pytest.raises(FileError, match=r"'a\.npz'"):
        io.read(path, tr=2.0)


@pytest.fixture
def gifti(tmp_path: Path) -> Path:
    fuzz_seeds.FORMATS["gifti"].make(tmp_path)
    return tmp_path / "b.func.gii"


def test_gifti_of_two_thousand_million_dimensions(gifti: Path) -> None:
    with pytest.raises(FileError, match="2147483647 dimensions"):
        io.read(replaced(gifti, 'Dimensionality="1"', 'Dimensionality="2147483647"'), tr=1.0)


def test_gifti_that_names_another_file_in_single_quotes(gifti: Path) -> None:
    (gifti.parent / "secret").write_bytes(bytes(80))
    replaced(gifti, 'Encoding="GZipBase64Binary"', 'Encoding="External"')
    with pytest.raises(FileError, match="another file"):
        io.read(replaced(gifti, 'ExternalFileName=""', "ExternalFileName='secret'"), tr=1.0)


def test_gifti_that_unpacks_to_more_than_it_says(gifti: Path) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(50 << 20))).decode()
    text = gifti.read_text()
    start = text.index("<Data>") + len("<Data>")
    gifti.write_text(text[:start] + bomb + text[text.index("</Data>") :])
    with pytest.raises(FileError, match="unpacks to more than the 160 bytes"):
        io.read(gifti, tr=1.0)


def test_gifti_with_entities(gifti: Path) -> None:
    text = gifti.read_text()
    start, stop = text.index("<!DOCTYPE"), text.index("<GIFTI")
    gifti.write_text(text[:start] + '<!DOCTYPE GIFTI [<!ENTITY a "aa">]>' + text[stop:])
    with pytest.raises(FileError, match="XML entities"):
        io.read(gifti, tr=1.0)


# ---------------------------------------------------------------------- our own


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return io.save(fuzz_seeds.recording(), tmp_path / "a.h5")


def test_a_stored_file_has_no_heap_that_can_hang_the_library(stored: Path) -> None:
    assert b"GCOL" not in stored.read_bytes()


def test_damaged_attribute_of_a_stored_file(stored: Path) -> None:
    at = stored.read_bytes().index(b"neuro-recording")
    for load in (io.load, io.read):
        with pytest.raises(FileError, match=r"a\.h5"):
            load(patched(stored, at, b"\xff\xfe"))


def test_damaged_places_of_chunks(stored: Path) -> None:
    # the first key of a tree of chunks: size, filters, then where the chunk begins
    at = stored.read_bytes().index(b"TREE\x01") + 24 + 8
    with pytest.raises(FileError, match=r"'a\.h5' cannot be opened again"):
        io.load(patched(stored, at + 8, struct.pack("<q", 3))).regular("eeg").read(0, 100)


@pytest.mark.parametrize("row", ['"x"', "{}", '{"file": "shard-000000.h5"}'])
def test_malformed_row_in_an_index_of_shards(tmp_path: Path, row: str) -> None:
    io.save_shards([fuzz_seeds.recording()], tmp_path / "s")
    text = json.loads((tmp_path / "s" / "shards.json").read_text())
    text["recordings"] = [json.loads(row)]
    (tmp_path / "s" / "shards.json").write_text(json.dumps(text))
    with pytest.raises(FileError, match="malformed row"):
        io.load_shards(tmp_path / "s")


@pytest.mark.parametrize(
    ("field", "value"), [("sfreq", 10**400), ("mlp_ratio", 1e300)], ids=["sfreq", "mlp_ratio"]
)
def test_model_of_absurd_sizes(tmp_path: Path, field: str, value: float) -> None:
    from neuro import models

    fuzz_seeds.FORMATS["model"].make(tmp_path)
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    card["config"][field] = value
    (tmp_path / "model" / "model.json").write_text(json.dumps(card))
    with pytest.raises(FileError, match="cannot be used"):
        models.load(tmp_path / "model")


def test_error_texts_cannot_command_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("@\x1b[31mred true\n@data\n1,2\n")
    with pytest.raises(FileError, match="red") as caught:
        io.read(tmp_path / "a.ts", sfreq=100, unit="uV")
    assert "\x1b" not in str(caught.value)


# ------------------------------------------------------------------- a full disk

# Limits inside the header, the structure and the samples of a file of 33 kB.
_SAVES = """
import os, resource, signal, sys
from pathlib import Path
import fuzz_seeds
from neuro import io

folder, recording = Path(sys.argv[1]), fuzz_seeds.recording()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in map(int, sys.argv[2:]):
    if (process := os.fork()) == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            io.save(recording, folder / "a.h5")
        except OSError as error:
            sys.exit(error.errno)  # not os._exit: HDF5 closes what it left open as it ends
        sys.exit(1)
    print(os.waitpid(process, 0)[1], flush=True)
"""


def test_hdf5_on_a_full_disk_does_not_end_the_process(stored: Path) -> None:
    before = stored.read_bytes()
    limits = [0, 100, 2000, 4096, 10_000, 15_000, 30_000, len(before) - 1]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SAVES, str(stored.parent), *map(str, limits)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    # the library used to be ended by SIGSEGV (status 139) at most of these
    assert done.stdout.split() == [str(errno.EFBIG << 8)] * len(limits), done.stderr[-2000:]
    assert done.stderr == ""
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


class _FullDisk(BytesIO):
    """A file with room for 100 bytes."""

    def write(self, data: object) -> int:
        if self.tell() + memoryview(data).nbytes > 100:  # type: ignore[arg-type]
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


def test_a_sink_gives_back_what_it_could_not_write() -> None:
    sink = Sink(_FullDisk())
    sink.write(memoryview(b"a" * 90))
    sink.raise_failure()  # nothing to raise yet
    sink.write(memoryview(b"b" * 20))
    sink.seek(85)
    assert sink.write(memoryview(b"c" * 10)) == 10
    assert sink.seek(0, 2) == 110
    sink.seek(80)
    buffer = bytearray(40)
    sink.readinto(memoryview(buffer))
    assert bytes(buffer) == b"a" * 5 + b"c" * 10 + b"b" * 15 + bytes(10)
    with pytest.raises(OSError, match="No space left"):
        sink.raise_failure()


# ------------------------------------------------------------ the guard itself


def walk_as(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh walking process, in which every walk is `code`."""
    folder.mkdir()
    (folder / "walks.py").write_text(code)
    (folder / "sitecustomize.py").write_text(
        "from neuro.io import safe\n"
        "safe.READERS.update(dict.fromkeys(safe.READERS, 'walks:walk'))\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    _probe._stop()


@pytest.fixture
def aborting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every walk kills its process, as C code does."""
    walk_as("import os\ndef walk(path):\n    os.abort()\n", tmp_path / "path", monkeypatch)
    yield
    _probe._stop()


@pytest.fixture
def hoarding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every walk keeps 600 MiB of addresses, none of which is ever touched."""
    code = "import mmap\nkept = []\ndef walk(path):\n    kept.append(mmap.mmap(-1, 600 << 20))\n"
    walk_as(code, tmp_path / "path", monkeypatch)
    yield
    _probe._stop()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc for the size")
def test_memory_that_one_walk_kept_is_not_missing_in_the_next(
    tmp_path: Path, hoarding: None
) -> None:
    for name in "abc":  # two fit into no process
        (tmp_path / name).write_bytes(b"x")
        safe.probe(tmp_path / name, "hdf5")


@pytest.mark.parametrize(
    ("fmt", "name"),
    [
        ("eeglab", "a.set"), ("fif", "a_raw.fif"), ("gdf", "one.gdf"), ("xdf", "a.xdf"),
        ("brainvision", "v.vhdr"), ("nwb", "a.nwb"), ("h5", "one.h5"), ("cifti", "a.dtseries.nii"),
    ],
)  # fmt: skip
def test_a_walk_that_kills_its_process_costs_one_error(
    tmp_path: Path, fmt: str, name: str, aborting: None
) -> None:
    (tmp_path / "in").mkdir()
    fuzz_seeds.FORMATS[fmt].make(tmp_path / "in")
    options = {"tr": 0.8} if fmt == "cifti" else {}
    with pytest.raises(FileError, match=f"'{name}' brought down the process.*SIGABRT"):
        io.read(tmp_path / "in" / name, **options)


def test_training_stores_are_opened_without_a_walk(stored: Path, aborting: None) -> None:
    assert np.isfinite(io.load(stored).regular("eeg").values()).all()
    assert "hdf5" in safe.READERS
