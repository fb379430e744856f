"""EEG and BOLD of one scan: which files belong together, and when each volume was."""

from typing import Any

import numpy as np
import pytest

from neuro.data import pair
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError, DataUnavailableError, FileError
from neuro.io import is_simultaneous, read_simultaneous


@pytest.fixture(scope="module")
def scans() -> Any:
    return synthetic.eeg_fmri(0, n_scans=2, n_volumes=25, sfreq=100).recordings


@pytest.fixture(scope="module")
def release(scans: Any, scanner_trees: Any, tmp_path_factory: Any) -> Any:
    return scanner_trees.release(tmp_path_factory.mktemp("made") / "release", scans)


def test_the_release_is_read_with_its_windows(scans: Any, release: Any) -> None:
    found = read_simultaneous(release)
    assert [(r.subject, r.run) for r in found] == [("01", "01"), ("02", "01")]
    for rec, true in zip(found, scans, strict=True):
        # triggers are stored to a sample of 10 ms
        assert rec.clock("bold").b == pytest.approx(1.0, abs=0.006)
        np.testing.assert_allclose(
            rec.regular("bold").values(), true.regular("bold").values(), atol=1e-5
        )
        assert rec.regular("eeg").axis.names == true.regular("eeg").axis.names
        assert sorted(k for k in rec.streams) == ["bold", "ecg", "eeg", "emg", "eog"]
    a, b = pair(found, window_s=16), pair(scans, window_s=16)
    np.testing.assert_allclose(a.target, b.target, atol=1e-5)
    assert np.abs(a.stop - b.stop).max() <= 1


def test_bids_is_read_with_its_windows(scans: Any, scanner_trees: Any, tmp_path: Any) -> None:
    root = scanner_trees.bids(tmp_path / "ds1", scans)
    assert is_simultaneous(root)
    found = read_simultaneous(root, subject="02")
    assert [(r.subject, r.task, r.run, r.dataset) for r in found] == [("02", "rest", "1", "ds1")]
    assert found[0].clock("bold").b == pytest.approx(1.0, abs=1e-4)
    a, b = pair(found, window_s=16), pair(scans[1], window_s=16)
    np.testing.assert_array_equal(a.start, b.start)
    # EDF keeps 16 bits
    np.testing.assert_allclose(a.batch([3]).x, b.batch([3]).x, atol=0.05)


def test_one_archive_may_hold_the_bold_of_all_scans(
    scans: Any, release: Any, tmp_path: Any
) -> None:
    import shutil

    from neuro.io.safe import save_npz

    shutil.copytree(release / "EEG", tmp_path / "EEG")
    arrays = {f"sub{r.subject}-scan01": r.regular("bold").values().T for r in scans}
    save_npz(tmp_path / "bold_roi.npz", arrays)
    found = read_simultaneous(tmp_path, subject="01")
    assert found[0].regular("bold").shape == (3, 25)
    assert float(found[0].regular("bold").rate) == pytest.approx(1 / 2.1)


def test_slice_triggers_are_told_from_volume_triggers(
    scans: Any, scanner_trees: Any, tmp_path: Any
) -> None:
    from neuro.data import Events

    dense = [
        r.replace(events=Events.make(1 + np.arange(25 * 7) * 0.3, ["R1"] * (25 * 7)))
        for r in scans[:1]
    ]
    root = scanner_trees.bids(tmp_path / "ds2", dense, trigger="R1")
    with pytest.raises(DataError, match="slice triggers, 7 a volume"):
        read_simultaneous(root, trigger="R1")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"trigger": "R128"}, DataError, "R149 25"),
        ({"tr": 2.0}, DataError, r"every 2\.1 s, the volumes every 2 s"),
        ({"first_volume": 3}, DataError, "no trigger"),
        ({"subject": "07"}, DataUnavailableError, "no scan fits"),
        ({"site": "A"}, ConfigError, "does not choose"),
    ],
    ids=["trigger", "tr", "first", "subject", "fact"],
)
def test_what_does_not_fit_is_told(
    scans: Any, release: Any, options: Any, error: Any, words: str
) -> None:
    with pytest.raises(error, match=words):
        read_simultaneous(release, **options)


def test_two_tables_of_one_scan_are_refused(
    scans: Any, release: Any, scanner_trees: Any, tmp_path: Any
) -> None:
    import shutil

    shutil.copytree(release, tmp_path / "twice")
    scanner_trees.table(
        tmp_path / "twice" / "fMRI" / "sub01-scan01_roi.tsv", scans[0].regular("bold")
    )
    with pytest.raises(FileError, match="of one scan"):
        read_simultaneous(tmp_path / "twice")


def test_images_need_an_atlas(scans: Any, release: Any, tmp_path: Any) -> None:
    import shutil

    target = tmp_path / "sub-01_eeg.set"
    shutil.copy(next((release / "EEG").glob("sub01*")), target)
    (tmp_path / "sub-01_bold.nii.gz").write_bytes(b"")
    with pytest.raises(ConfigError, match="atlas="):
        read_simultaneous(tmp_path)


def test_folders_without_pairs_are_told(tmp_path: Any) -> None:
    (tmp_path / "sub-01_eeg.edf").touch()
    assert not is_simultaneous(tmp_path)
    with pytest.raises(DataUnavailableError, match="1 EEG and 0 BOLD"):
        read_simultaneous(tmp_path)


def test_images_become_regions_by_an_atlas(scans: Any, scanner_trees: Any, tmp_path: Any) -> None:
    import json

    import nibabel

    root = scanner_trees.bids(tmp_path / "ds3", scans[:1])
    for table in (root / "derivatives").rglob("*timeseries*"):
        table.unlink()
    func = root / "sub-01" / "func"
    func.mkdir()
    bold = scans[0].regular("bold").values()
    x = np.zeros((3, 4, 5, 25), np.float32)
    labels = np.zeros((3, 4, 5), np.int16)
    for i in range(3):
        x[i, 1:], labels[i, 1:] = 1000 + 10 * bold[i], i + 1
    stem = "sub-01_task-rest_run-1"
    for name in (f"{stem}_bold", f"{stem}_space-MNI_desc-preproc_bold"):
        # the raw image holds something else
        values = x if "preproc" in name else x[..., ::-1]
        image = nibabel.Nifti1Image(values, np.eye(4))
        image.header.set_zooms((1.0, 1.0, 1.0, 2.1))
        image.header.set_xyzt_units("mm", "sec")
        nibabel.save(image, func / f"{name}.nii.gz")
        (func / f"{name}.json").write_text(json.dumps({"RepetitionTime": 2.1}))
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "atlas.nii.gz")
    (found,) = read_simultaneous(root, atlas=tmp_path / "atlas.nii.gz", check=False)
    series = found.regular("bold").values()
    assert series.shape == (3, 25)
    for i in range(3):
        assert np.corrcoef(series[i], bold[i])[0, 1] > 0.999
    second = func / f"{stem}_space-other_desc-preproc_bold.nii.gz"
    second.write_bytes((func / f"{stem}_bold.nii.gz").read_bytes())
    with pytest.raises(FileError, match="2 images are of one scan"):
        read_simultaneous(root, atlas=tmp_path / "atlas.nii.gz")
