"""CIFTI, GIFTI and MGZ: rows, hemispheres and columns as written; one error for bad ones."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from neuro import io
from neuro.data import Static
from neuro.errors import FileError
from neuro.io import read_surface


def series(n: int = 20, times: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, times)).astype(np.float32)


def write_cifti(path: Path, x: np.ndarray, step: float = 0.72) -> Path:
    left = nibabel.cifti2.BrainModelAxis.from_surface([0, 2, 5], 8, name="CortexLeft")
    inside = np.zeros((4, 4, 4), bool)
    inside[1, 1:3, 1] = True
    affine = np.diag([2.0, 2, 2, 1])
    deep = nibabel.cifti2.BrainModelAxis.from_mask(inside, name="thalamus_left", affine=affine)
    time = nibabel.cifti2.SeriesAxis(0, step, x.shape[1])
    nibabel.save(nibabel.Cifti2Image(x.T, (time, left + deep)), path)
    return path


def write_gifti(path: Path, x: np.ndarray, side: str = "") -> Path:
    meta = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": side} if side else {})
    arrays = [
        nibabel.gifti.GiftiDataArray(
            column, intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32"
        )
        for column in x.T
    ]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays, meta=meta), path)
    return path


def write_mgz(path: Path, x: np.ndarray, tr_ms: float = 1400) -> Path:
    image = nibabel.MGHImage(x[:, None, None, :], np.eye(4))
    image.header["tr"] = tr_ms
    nibabel.save(image, path)
    return path


# ----------------------------------------------------------------------- CIFTI


def test_grayordinates(tmp_path: Path) -> None:
    x = series(5)
    stream = io.read(write_cifti(tmp_path / "r.dtseries.nii", x), tr=0.72).regular("bold")
    np.testing.assert_array_equal(stream.values(), x)
    assert (stream.rate.numerator, stream.rate.denominator) == (25, 18)
    assert stream.axis.names == (
        "cortex_left 0", "cortex_left 2", "cortex_left 5",
        "thalamus_left 1,1,1", "thalamus_left 1,2,1",
    )  # fmt: skip
    assert set(stream.axis.types) == {"grayordinate"}
    assert stream.axis.columns["structure"].tolist() == ["cortex_left"] * 3 + ["thalamus_left"] * 2
    assert stream.axis.columns["vertex"].tolist() == [0, 2, 5, -1, -1]
    np.testing.assert_allclose(stream.axis.positions[4], [0.002, 0.004, 0.002], atol=1e-9)
    assert np.isnan(stream.axis.positions[0]).all()


def test_cifti_step_alone_warns(tmp_path: Path) -> None:
    path = write_cifti(tmp_path / "r.dtseries.nii", series(5))
    with pytest.warns(UserWarning, match=r"0\.72"):
        assert io.read(path).regular("bold").sfreq == pytest.approx(1 / 0.72)


def test_cifti_step_against_sidecar(tmp_path: Path) -> None:
    path = write_cifti(tmp_path / "r.dtseries.nii", series(5), step=1.0)
    (tmp_path / "r.json").write_text(json.dumps({"RepetitionTime": 0.72}))
    with pytest.raises(FileError, match=r"0\.72 s.*1 s"):
        io.read(path)


def test_parcels(tmp_path: Path) -> None:
    left = nibabel.cifti2.BrainModelAxis.from_surface([0, 1], 8, name="CortexLeft")
    right = nibabel.cifti2.BrainModelAxis.from_surface([3], 8, name="CortexRight")
    axis = nibabel.cifti2.ParcelsAxis.from_brain_models([("V1", left), ("A1", right)])
    x = series(2)
    path = tmp_path / "p.ptseries.nii"
    nibabel.save(nibabel.Cifti2Image(x.T, (nibabel.cifti2.SeriesAxis(0, 2.0, 30), axis)), path)
    stream = io.read(path, tr=2.0).regular("bold")
    assert stream.axis.names == ("V1", "A1")
    np.testing.assert_array_equal(stream.values(), x)


@pytest.mark.parametrize("keep", [300, 560, 2000, -50])
def test_truncated_cifti(tmp_path: Path, keep: int) -> None:
    path = write_cifti(tmp_path / "t.dtseries.nii", series(5))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"t.dtseries"):
        io.read(path, tr=1.0)


def test_cifti_without_time(tmp_path: Path) -> None:
    left = nibabel.cifti2.BrainModelAxis.from_surface([0, 2, 5], 8, name="CortexLeft")
    maps = nibabel.cifti2.ScalarAxis(["a", "b"])
    path = tmp_path / "s.dtseries.nii"
    nibabel.save(nibabel.Cifti2Image(series(3, 2).T, (maps, left)), path)
    with pytest.raises(FileError, match="no time"):
        io.read(path, tr=1.0)


# ----------------------------------------------------------------------- GIFTI


def test_gifti(tmp_path: Path) -> None:
    x = series()
    x[3] = 0
    path = write_gifti(tmp_path / "sub-01_hemi-L_space-fsaverage5_bold.func.gii", x)
    recording = io.read(path, tr=1.5)
    stream = recording.regular("bold")
    np.testing.assert_array_equal(stream.values(), x)
    assert stream.axis.names[:2] == ("left 0", "left 1")
    assert np.flatnonzero(stream.axis.bad).tolist() == [3]
    assert stream.axis.frame == "fsaverage5"
    assert recording.subject == "01"


def test_hemisphere_from_the_file(tmp_path: Path) -> None:
    path = write_gifti(tmp_path / "x.func.gii", series(), side="CortexRight")
    assert io.read(path, tr=1.5).regular("bold").axis.names[0] == "right 0"


def test_two_hemispheres(tmp_path: Path) -> None:
    x, y = series(6), series(4, seed=1)
    stream = read_surface(
        write_gifti(tmp_path / "l.gii", x), write_gifti(tmp_path / "r.gii", y), tr=2.0
    ).regular("bold")
    np.testing.assert_array_equal(stream.values(), np.concatenate([x, y]))
    assert stream.axis.columns["hemisphere"].tolist() == ["left"] * 6 + ["right"] * 4
    assert stream.axis.columns["vertex"].tolist() == [*range(6), *range(4)]


def test_hemispheres_of_different_runs(tmp_path: Path) -> None:
    left = write_gifti(tmp_path / "l.gii", series(6))
    right = write_gifti(tmp_path / "r.gii", series(6, 29))
    with pytest.raises(FileError, match=r"30 volumes.*29"):
        read_surface(left, right, tr=2.0)


def test_mesh_is_no_series(tmp_path: Path) -> None:
    arrays = [
        nibabel.gifti.GiftiDataArray(
            series(5, 3), intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32"
        )
    ]
    path = tmp_path / "m.gii"
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)
    with pytest.raises(FileError, match="mesh"):
        io.read(path, tr=1.0)


def test_gifti_may_not_point_to_another_file(tmp_path: Path) -> None:
    path = write_gifti(tmp_path / "x.func.gii", series())
    text = path.read_text().replace('ExternalFileName=""', 'ExternalFileName="/etc/passwd"')
    path.write_text(text)
    with pytest.raises(FileError, match="another file"):
        io.read(path, tr=1.0)


def test_gifti_claiming_too_much(tmp_path: Path) -> None:
    path = write_gifti(tmp_path / "x.func.gii", series())
    path.write_text(path.read_text().replace('Dim0="20"', 'Dim0="99999999999"'))
    with pytest.raises(FileError, match="claims"):
        io.read(path, tr=1.0)


@pytest.mark.parametrize("keep", [30, 800, 3000])
def test_truncated_gifti(tmp_path: Path, keep: int) -> None:
    path = write_gifti(tmp_path / "t.func.gii", series())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"t.func.gii"):
        io.read(path, tr=1.0)


# ------------------------------------------------------------------------- MGZ


def test_mgz_vertices_and_time_from_the_argument(tmp_path: Path) -> None:
    x = series()
    recording = io.read(write_mgz(tmp_path / "lh.rest.mgz", x, tr_ms=1000), tr=1.4)
    stream = recording.regular("bold")
    np.testing.assert_array_equal(stream.values(), x)
    assert float(1 / stream.rate) == 1.4
    assert stream.axis.names[0] == "left 0"
    assert any("header says 1 s" in s for s in recording.provenance.steps)


def test_mgz_header_is_in_milliseconds(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"1\.4 s"):
        io.read(write_mgz(tmp_path / "rh.rest.mgz", series()))


def test_mgz_volume(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    path = tmp_path / "t1.mgz"
    nibabel.save(nibabel.MGHImage(x, np.eye(4)), path)
    stream = io.read(path).stream("volume")
    assert isinstance(stream, Static)
    np.testing.assert_array_equal(stream.array, x)


@pytest.mark.parametrize("keep", [10, 60, 1500])
def test_truncated_mgz(tmp_path: Path, keep: int) -> None:
    path = write_mgz(tmp_path / "t.mgz", series())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"t.mgz"):
        io.read(path, tr=1.0)
