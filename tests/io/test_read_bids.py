"""BIDS folders with EEG: side files are heard, contradictions and escapes refused."""

import json
from pathlib import Path

import edfio
import numpy as np
import pytest

from neuro import io
from neuro.errors import ConfigError, DataUnavailableError, FileError
from neuro.io import read_bids
from neuro.io._bids_names import entities, inherited


def noise(n: int = 2560) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 20, (3, n))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "ds"
    folder = root / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    stem = "sub-01_task-rest_"
    signals = [
        edfio.EdfSignal(x, 256, label=n, physical_dimension="uV")
        for n, x in zip(["Fz", "Cz", "E1"], noise(), strict=True)
    ]
    edfio.Edf(signals).write(folder / f"{stem}eeg.edf")
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9"}')
    (root / "task-rest_eeg.json").write_text(
        json.dumps({"SamplingFrequency": 256, "EEGReference": "Cz"})
    )
    (folder / f"{stem}channels.tsv").write_text(
        "name\ttype\tunits\tstatus\nFz\tEEG\tuV\tgood\nCz\tEEG\tuV\tbad\nE1\tEOG\tuV\tgood\n"
    )
    (folder / "sub-01_electrodes.tsv").write_text(
        "name\tx\ty\tz\nFz\t0\t80\t50\nCz\tn/a\tn/a\tn/a\n"
    )
    (folder / "sub-01_coordsystem.json").write_text(
        json.dumps({"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"})
    )
    (folder / f"{stem}events.tsv").write_text(
        "onset\tduration\ttrial_type\tvalue\tresponse\n1.0\t0.5\tgo\t3\t0.4\n2.5\tn/a\tstop\t4\tn/a\n"
    )
    (root / "participants.tsv").write_text("participant_id\tage\tsex\tgroup\nsub-01\t34\tF\tctl\n")
    return root


def test_everything_the_side_files_say(root: Path) -> None:
    recording = io.read(root, subject="01")
    assert (recording.subject, recording.task) == ("01", "rest")
    assert (recording.age, recording.sex, recording.group) == (34.0, "F", "ctl")
    eeg = recording.regular("eeg")
    assert eeg.axis.names == ("Fz", "Cz")
    assert eeg.axis.bad.tolist() == [False, True]
    assert eeg.axis.reference == "Cz"
    assert eeg.axis.frame == "CapTrak"
    np.testing.assert_allclose(eeg.axis.positions[0], [0, 0.08, 0.05], atol=1e-7)
    assert np.isnan(eeg.axis.positions[1]).all()
    eog = recording.regular("eog")
    assert (eog.axis.names, eog.axis.types, eog.modality) == (("E1",), ("eog",), "physio")
    # half of one 16-bit step over the signal's range
    np.testing.assert_allclose(eog.values(), noise()[2:], atol=np.ptp(noise()) / 65535)


def test_events_of_the_table(root: Path) -> None:
    events = io.read(root, subject="01").events
    assert events.type.tolist() == ["go", "stop"]
    assert events.onset_s.tolist() == [1.0, 2.5]
    assert events.duration_s.tolist() == [0.5, 0.0]
    assert events.value.tolist() == [3.0, 4.0]
    np.testing.assert_array_equal(events.columns["response"], [0.4, np.nan])


def test_a_file_inside_a_data_set_finds_its_side_files(root: Path) -> None:
    path = next(root.rglob("*_eeg.edf"))
    recording = io.read(path)
    assert recording.subject == "01"
    assert recording.age == 34
    assert recording.events.type.tolist() == ["go", "stop"]


def test_rate_of_the_sidecar_must_agree(root: Path) -> None:
    (root / "task-rest_eeg.json").write_text(json.dumps({"SamplingFrequency": 512}))
    with pytest.raises(FileError, match="512 Hz, the file 256 Hz"):
        io.read(root, subject="01")


def test_channels_the_table_lacks(root: Path) -> None:
    path = next(root.rglob("*_channels.tsv"))
    path.write_text(path.read_text().replace("Fz\t", "FZZ\t"))
    with pytest.raises(FileError, match=r"channels.tsv does not list \['Fz'\]"):
        io.read(root, subject="01")


def test_several_recordings_must_be_chosen(root: Path) -> None:
    path = next(root.rglob("*_eeg.edf"))
    path.with_name("sub-01_task-rest_run-2_eeg.edf").write_bytes(path.read_bytes())
    with pytest.raises(FileError, match="2 recordings fit"):
        io.read(root, subject="01")
    assert io.read(root, subject="01", run="2").run == "2"


def test_nothing_fits(root: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"sub-01_task-rest_eeg.edf"):
        io.read(root, subject="02")


@pytest.mark.parametrize("label", ["../01", "0 1", "sub-01", ""])
def test_labels_cannot_leave_the_folder(root: Path, label: str) -> None:
    with pytest.raises(ConfigError, match="letters and digits"):
        read_bids(root, subject=label)


def test_links_out_of_the_data_set_are_refused(root: Path, tmp_path: Path) -> None:
    path = next(root.rglob("*_events.tsv"))
    (tmp_path / "secret.tsv").write_text(path.read_text())
    path.unlink()
    path.symlink_to(tmp_path / "secret.tsv")
    with pytest.raises(FileError, match="out of the data set"):
        io.read(root, subject="01")


def test_entities() -> None:
    found = entities("sub-01_ses-a_task-rest_run-1_bold.nii.gz")
    assert found == ({"sub": "01", "ses": "a", "task": "rest", "run": "1"}, "bold")


def test_special_side_files_come_last(root: Path) -> None:
    path = next(root.rglob("*_eeg.edf"))
    own = path.with_suffix(".json")
    own.write_text("{}")
    (root / "task-other_eeg.json").write_text("{}")
    names = [p.name for p in inherited(path, "eeg", ".json")]
    assert names == ["task-rest_eeg.json", own.name]
