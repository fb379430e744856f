"""The one door: format by suffix and content, options checked, one clear error."""

import subprocess
import sys
from pathlib import Path

import edfio
import numpy as np
import pytest

import neuro
from neuro import io
from neuro.data import Axis, Events, Recording, Regular
from neuro.errors import ConfigError, DataError, DataUnavailableError, FileError


@pytest.fixture
def edf(tmp_path: Path) -> Path:
    x = np.random.default_rng(0).normal(0, 20, (2, 1000))
    signals = [
        edfio.EdfSignal(x[0], 100, label="Fz", physical_dimension="uV"),
        edfio.EdfSignal(x[1], 100, label="EOG", physical_dimension="uV"),
    ]
    edfio.Edf(signals).write(tmp_path / "a.edf")
    return tmp_path / "a.edf"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"'no.edf' does not exist"):
        io.read(tmp_path / "no.edf")


@pytest.mark.parametrize("suffix", [s for group in io.formats().values() for s in group])
def test_empty_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"e{suffix}"
    path.touch()
    with pytest.raises(FileError, match="empty"):
        io.read(path)


@pytest.mark.parametrize("suffix", [s for group in io.formats().values() for s in group])
def test_noise_in_every_suffix_is_one_project_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"n{suffix}"
    path.write_bytes(np.random.default_rng(1).bytes(3000))
    extra = {"sfreq": 100, "unit": "uV"} if suffix == ".ts" else {}
    with pytest.raises((FileError, DataError), match="n\\."):
        io.read(path, **extra)


def test_unknown_suffix_lists_the_known(tmp_path: Path) -> None:
    (tmp_path / "a.foo").write_text("x")
    with pytest.raises(FileError, match=r"'a.foo' is of no known format.*\.edf.*\.nwb"):
        io.read(tmp_path / "a.foo")


def test_unknown_suffix_with_known_content(edf: Path) -> None:
    edf.rename(edf.with_suffix(".rec"))
    with pytest.raises(FileError, match="looks like EDF"):
        io.read(edf.with_suffix(".rec"))


def test_content_against_suffix(edf: Path) -> None:
    edf.rename(edf.with_suffix(".gdf"))
    with pytest.raises(FileError, match=r"does not start as GDF files do.*looks like EDF"):
        io.read(edf.with_suffix(".gdf"))


def test_folder_of_no_known_layout(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no known layout"):
        io.read(tmp_path)


@pytest.mark.parametrize(
    "option",
    [{"tr": 2.0}, {"atlas": "a.nii"}, {"mask": "auto"}, {"confounds": "minimal"},
     {"labels": ["a"]}, {"time_axis": 0}, {"sfreq": 100}, {"key": "x"}],
)  # fmt: skip
def test_options_of_other_formats_are_refused(edf: Path, option: dict[str, object]) -> None:
    name = next(iter(option))
    with pytest.raises(ConfigError, match=f"{name}= does not apply to EDF files"):
        io.read(edf, **option)


def test_chosen_streams(edf: Path) -> None:
    assert set(io.read(edf).streams) == {"eeg", "eog"}
    assert set(io.read(edf, streams=["eog"]).streams) == {"eog"}
    with pytest.raises(DataError, match="Did you mean 'eeg'"):
        io.read(edf, streams=["eegs"])


def test_store_through_the_same_door(tmp_path: Path, edf: Path) -> None:
    recording = io.read(edf, subject="07")
    path = io.save(recording, tmp_path / "a.h5")
    again = neuro.read(path)
    assert again.subject == "07"
    assert again.regular("eeg").data.dtype == np.int16  # stored as in the file
    np.testing.assert_array_equal(again.regular("eeg").values(), recording.regular("eeg").values())
    assert again.provenance == recording.provenance


def test_facts_override_those_of_the_store(tmp_path: Path) -> None:
    stream = Regular(np.ones((1, 10)), 10, "uV", Axis(["a"], "eeg"), "eeg")
    path = io.save(Recording({"eeg": stream}, Events.empty()), tmp_path / "a.h5")
    assert io.read(path, session="2").session == "2"


def test_ts_needs_its_rate_and_unit(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_text("@problemName a\n@classLabel true a b\n@data\n1,2:3,4:a\n5,6:7,8:b\n")
    with pytest.raises(ConfigError, match="sfreq= and unit="):
        io.read(path)
    recording = io.read(path, sfreq=2, unit="au", subject="1")
    assert recording.regular("eeg").shape == (2, 4)
    assert len(recording.provenance.sha256) == 64


def test_every_name_of_the_room_is_there() -> None:
    for name in io.__all__:
        assert getattr(io, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        io.nonsense  # noqa: B018


def test_importing_the_room_is_cheap() -> None:
    heavy = ("mne", "nibabel", "nilearn", "pynwb", "h5py", "torch", "scipy", "pandas", "numpy")
    code = f"import sys, neuro.io; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_named_after_its_subject_alone_knows_it(edf: Path) -> None:
    named = edf.rename(edf.with_name("sub-07_ses-2.edf"))
    recording = io.read(named)
    assert (recording.subject, recording.session) == ("07", "2")
    assert io.read(named, subject="me").subject == "me"
