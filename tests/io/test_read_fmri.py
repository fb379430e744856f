"""NIfTI volumes: voxels, regions, repetition times, confounds; one error for bad ones."""

import gzip
import json
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from neuro import io
from neuro.data import Static
from neuro.errors import ConfigError, DataError, FileError
from neuro.io._volume import header_tr, timing

SLICE = Path(__file__).parents[2] / "../shared/data/haxby_slice"
needs_slice = pytest.mark.skipif(not SLICE.exists(), reason="../shared/data/haxby_slice is absent")
AFFINE = np.array([[3.0, 0, 0, -9], [0, 3, 0, -12], [0, 0, 3, 6], [0, 0, 0, 1]])
SHAPE = (6, 5, 4)


def volumes(n: int = 30, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(100, 5, (*SHAPE, n))
    return x.astype(np.float32)


def write(
    path: Path, x: np.ndarray, tr: float = 2.0, units: str = "sec", affine: np.ndarray = AFFINE
) -> Path:
    image = nibabel.Nifti1Image(x, affine)
    if x.ndim == 4:
        image.header.set_zooms((3.0, 3.0, 3.0, tr))
        image.header.set_xyzt_units("mm", units)
    image.set_sform(affine, code=4)
    nibabel.save(image, path)
    return path


def mask_of(path: Path) -> tuple[Path, np.ndarray]:
    inside = np.zeros(SHAPE, bool)
    inside[1:4, 1:4, 1:3] = True
    return write(path, inside.astype(np.uint8)), inside


def parcels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.int16)
    labels[0:2] = 3
    labels[2:4] = 11
    labels[4, 0, 0] = 20
    return labels


# --------------------------------------------------------------------- voxels


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_masked_voxels(tmp_path: Path, suffix: str) -> None:
    x = volumes()
    mask, inside = mask_of(tmp_path / "mask.nii.gz")
    recording = io.read(write(tmp_path / f"b{suffix}", x), mask=mask, tr=2.0)
    stream = recording.regular("bold")
    np.testing.assert_array_equal(stream.values(), x[inside])
    assert (stream.unit, stream.modality, float(stream.rate)) == ("au", "bold", 0.5)
    grid = stream.axis.grid
    assert grid is not None
    assert grid.shape == SHAPE
    np.testing.assert_array_equal(grid.affine, AFFINE)
    i, j, k = grid.ijk[7]
    np.testing.assert_array_equal(stream.values()[7], x[i, j, k])
    world = AFFINE @ [i, j, k, 1]
    np.testing.assert_allclose(stream.axis.positions[7], world[:3] / 1000, atol=1e-7)
    assert stream.axis.frame == "MNI152"


def test_voxels_go_back_into_a_volume(tmp_path: Path) -> None:
    from neuro.data import to_nifti

    x = volumes()
    recording = io.read(write(tmp_path / "b.nii", x), mask="all", tr=2.0)
    image = to_nifti(recording)
    np.testing.assert_array_equal(np.asarray(image.dataobj), x)
    assert image.header.get_zooms()[3] == 2.0


def test_long_plain_files_are_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuro.io import fmri

    monkeypatch.setattr(fmri, "_BLOCK_BYTES", 4 * 120 * 7)  # 7 volumes a block
    x = volumes(30)
    stream = io.read(write(tmp_path / "b.nii", x), mask="all", tr=2.0).regular("bold")
    np.testing.assert_array_equal(stream.values(), x.reshape(-1, 30))


def test_constant_voxels_are_marked_bad(tmp_path: Path) -> None:
    x = volumes()
    x[2, 2, 2] = 7
    stream = io.read(write(tmp_path / "b.nii", x), mask="all", tr=2.0).regular("bold")
    bad = [n for n, b in zip(stream.axis.names, stream.axis.bad, strict=True) if b]
    assert bad == ["2,2,2"]


def test_brain_found_by_nilearn(tmp_path: Path) -> None:
    shape = (16, 16, 12, 10)
    x = np.random.default_rng(0).normal(10, 1, shape).astype(np.float32)
    x[3:13, 3:13, 2:10] += 500
    recording = io.read(write(tmp_path / "b.nii.gz", x), tr=2.0)
    assert 500 < len(recording.regular("bold").axis) < 1200  # the block has 800 voxels
    assert any("compute_epi_mask" in s for s in recording.provenance.steps)


def test_mask_of_another_grid(tmp_path: Path) -> None:
    mask = write(tmp_path / "m.nii", np.ones((6, 5, 5), np.uint8))
    with pytest.raises(DataError, match=r"m.nii.*\(6, 5, 5\)"):
        io.read(write(tmp_path / "b.nii", volumes()), mask=mask, tr=2.0)


def test_empty_mask(tmp_path: Path) -> None:
    mask = write(tmp_path / "m.nii", np.zeros(SHAPE, np.uint8))
    with pytest.raises(DataError, match="holds no voxel"):
        io.read(write(tmp_path / "b.nii", volumes()), mask=mask, tr=2.0)


@needs_slice
def test_haxby_slice() -> None:
    recording = io.read(SLICE / "bold.nii.gz", mask=SLICE / "mask.nii.gz", tr=2.5)
    assert recording.regular("bold").shape == (530, 1452)
    assert recording.regular("bold").duration_s == 3630


# -------------------------------------------------------------------- regions


def test_region_means_equal_nilearn(tmp_path: Path) -> None:
    from nilearn.maskers import NiftiLabelsMasker

    path = write(tmp_path / "b.nii.gz", volumes())
    atlas = write(tmp_path / "atlas.nii.gz", parcels())
    stream = io.read(path, atlas=atlas, tr=2.0).regular("bold")
    masker = NiftiLabelsMasker(str(atlas), standardize=None, reports=False, resampling_target=None)
    # nilearn sums in float32
    np.testing.assert_allclose(stream.values(), masker.fit_transform(str(path)).T, rtol=1e-5)
    assert stream.axis.labels.tolist() == [3, 11, 20]
    assert stream.axis.atlas == "atlas"
    assert stream.axis.names == ("roi 3", "roi 11", "roi 20")


def test_region_names_and_positions(tmp_path: Path) -> None:
    atlas = write(tmp_path / "a.nii.gz", parcels())
    table = tmp_path / "a.tsv"
    table.write_text("index\tname\n0\tBackground\n3\tfront\n11\tback\n20\tdot\n")
    path = write(tmp_path / "b.nii.gz", volumes())
    axis = io.read(path, atlas=atlas, labels=table, tr=2.0).regular("bold").axis
    assert axis.names == ("front", "back", "dot")
    np.testing.assert_allclose(axis.positions[2], (AFFINE @ [4, 0, 0, 1])[:3] / 1000, atol=1e-7)


def test_regions_the_data_lack_stay_as_missing_rows(tmp_path: Path) -> None:
    atlas = write(tmp_path / "a.nii.gz", parcels())
    names = {3: "front", 5: "nowhere", 11: "back", 20: "dot"}
    recording = io.read(write(tmp_path / "b.nii", volumes()), atlas=atlas, labels=names, tr=2.0)
    stream = recording.regular("bold")
    assert stream.axis.names[1] == "nowhere"
    assert np.isnan(stream.values()[1]).all()
    assert stream.axis.bad.tolist() == [False, True, False, False]
    assert any("nowhere" in s for s in recording.provenance.steps)


def test_missing_voxels_do_not_count_as_zero(tmp_path: Path) -> None:
    x = volumes()
    x[0, 0, 0] = np.nan
    atlas = write(tmp_path / "a.nii.gz", parcels())
    stream = io.read(write(tmp_path / "b.nii", x), atlas=atlas, tr=2.0).regular("bold")
    expected = np.nanmean(x[0:2].reshape(-1, 30).astype(np.float64), axis=0)
    np.testing.assert_allclose(stream.values()[0], expected, rtol=1e-6)


def test_atlas_of_another_grid_is_resampled_and_said(tmp_path: Path) -> None:
    fine = np.kron(parcels(), np.ones((3, 3, 3), np.int16))
    affine = AFFINE.copy()
    affine[:3, :3] /= 3
    affine[:3, 3] -= 1.0  # centres of the middle small voxels fall on those of the large
    path = write(tmp_path / "b.nii", volumes())
    atlas = write(tmp_path / "fine.nii.gz", fine, affine=affine)
    recording = io.read(path, atlas=atlas, tr=2.0)
    same = io.read(path, atlas=write(tmp_path / "same.nii.gz", parcels()), tr=2.0)
    np.testing.assert_array_equal(recording.regular("bold").values(), same.regular("bold").values())
    assert any("resampled" in s for s in recording.provenance.steps)
    assert not any("resampled" in s for s in same.provenance.steps)


def test_atlas_elsewhere(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[0, 3] = 900
    atlas = write(tmp_path / "a.nii.gz", parcels(), affine=affine)
    with pytest.raises(DataError, match=r"No region of 'a.nii.gz'"):
        io.read(write(tmp_path / "b.nii", volumes()), atlas=atlas, tr=2.0)


def test_probabilistic_atlas_is_refused(tmp_path: Path) -> None:
    atlas = write(tmp_path / "p.nii.gz", np.random.default_rng(0).random((*SHAPE, 3)))
    with pytest.raises(FileError, match="4-D"):
        io.read(write(tmp_path / "b.nii", volumes()), atlas=atlas, tr=2.0)


def test_wrong_number_of_region_names(tmp_path: Path) -> None:
    atlas = write(tmp_path / "a.nii.gz", parcels())
    with pytest.raises(DataError, match="2 region names for an atlas of 3"):
        io.read(write(tmp_path / "b.nii", volumes()), atlas=atlas, labels=["x", "y"], tr=2.0)


def test_duplicate_region_names(tmp_path: Path) -> None:
    atlas = write(tmp_path / "a.nii.gz", parcels())
    with pytest.raises(DataError, match="Duplicate"):
        io.read(write(tmp_path / "b.nii", volumes()), atlas=atlas, labels=["x", "x", "y"], tr=2.0)


# ------------------------------------------------------------- single volumes


def test_single_volume_is_static(tmp_path: Path) -> None:
    x = volumes(1)[..., 0]
    stream = io.read(write(tmp_path / "t1.nii.gz", x)).stream("volume")
    assert isinstance(stream, Static)
    np.testing.assert_array_equal(stream.array, x)
    np.testing.assert_array_equal(stream.affine, AFFINE)


def test_options_of_series_are_refused_for_a_volume(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tr="):
        io.read(write(tmp_path / "t1.nii", volumes(1)[..., 0]), tr=2.0)


# ------------------------------------------------------------------------- TR


def test_header_alone_warns(tmp_path: Path) -> None:
    path = write(tmp_path / "b.nii", volumes(), tr=2.2)
    with pytest.warns(UserWarning, match=r"2\.2 s taken from the header alone"):
        recording = io.read(path, mask="all")
    assert recording.regular("bold").rate.numerator == 5
    assert recording.regular("bold").rate.denominator == 11


def test_milliseconds_in_the_header_unit(tmp_path: Path) -> None:
    path = write(tmp_path / "b.nii", volumes(), tr=2000, units="msec")
    with pytest.warns(UserWarning, match="2 s"):
        assert io.read(path, mask="all").regular("bold").sfreq == 0.5


def test_milliseconds_labelled_seconds(tmp_path: Path) -> None:
    path = write(tmp_path / "b.nii", volumes(), tr=2000)
    with pytest.raises(FileError, match=r"2000 s.*tr=2\b"):
        io.read(path, mask="all")


def test_sidecar_against_header(tmp_path: Path) -> None:
    path = write(tmp_path / "b.nii", volumes(), tr=1.0)
    (tmp_path / "b.json").write_text(json.dumps({"RepetitionTime": 2.5}))
    with pytest.raises(FileError, match=r"2\.5 s.*1 s.*tr="):
        io.read(path, mask="all")
    recording = io.read(path, mask="all", tr=2.5)
    assert recording.regular("bold").sfreq == 0.4
    assert any("the header says 1 s" in s for s in recording.provenance.steps)


def test_sidecar_agreeing_needs_no_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "b.nii", volumes(), tr=0.8)
    (tmp_path / "b.json").write_text(json.dumps({"RepetitionTime": 0.8}))
    assert io.read(path, mask="all").regular("bold").sfreq == pytest.approx(1.25)


def test_no_repetition_time_anywhere(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="tr="):
        io.read(write(tmp_path / "b.nii", volumes(), tr=0), mask="all")


@pytest.mark.parametrize("tr", [2000, 0, -1, float("nan"), "2"])
def test_impossible_argument(tmp_path: Path, tr: object) -> None:
    path = write(tmp_path / "b.nii", volumes())
    with pytest.raises(FileError, match=r"seconds|outside"):
        io.read(path, mask="all", tr=tr)


def test_sidecar_in_milliseconds() -> None:
    with pytest.raises(FileError, match="outside"):
        timing("x", tr=None, side={"RepetitionTime": 2000}, header=None)


def test_header_rounding_of_float32() -> None:
    assert header_tr(float(np.float32(2.2)), 8) == 2.2
    assert header_tr(float(np.float32(720)), 16) == 0.72
    assert header_tr(0, 8) is None


def test_slice_timing_sets_the_reference(tmp_path: Path) -> None:
    path = write(tmp_path / "b.nii", volumes())
    side = {"RepetitionTime": 2.0, "SliceTiming": [0.0, 1.0, 0.5, 1.5]}
    (tmp_path / "b.json").write_text(json.dumps(side))
    stream = io.read(path, mask="all").regular("bold")
    assert stream.t0_s == 0.75
    assert stream.axis.columns["slice_time_s"][1] == 1.0  # voxel 0,0,1


def test_corrected_series_uses_the_start_time(tmp_path: Path) -> None:
    path = write(tmp_path / "b.nii", volumes())
    side = {
        "RepetitionTime": 2.0,
        "SliceTiming": [0, 1, 0.5, 1.5],
        "SliceTimingCorrected": True,
        "StartTime": 0.9,
    }
    (tmp_path / "b.json").write_text(json.dumps(side))
    assert io.read(path, mask="all").regular("bold").t0_s == 0.9


def test_slice_times_in_milliseconds(tmp_path: Path) -> None:
    path = write(tmp_path / "b.nii", volumes())
    (tmp_path / "b.json").write_text(
        json.dumps({"RepetitionTime": 2.0, "SliceTiming": [0, 1000, 500, 1500]})
    )
    with pytest.raises(FileError, match="SliceTiming"):
        io.read(path, mask="all")


# ------------------------------------------------------------- malformed files


def hostile_header(dims: tuple[int, ...], bits: int = 32) -> bytes:
    head = bytearray(352)
    head[0:4] = struct.pack("<i", 348)
    head[40 : 40 + 2 * (len(dims) + 1)] = struct.pack(f"<{len(dims) + 1}h", len(dims), *dims)
    head[70:74] = struct.pack("<2h", 16, bits)
    head[108:112] = struct.pack("<f", 352)
    head[344:348] = b"n+1\x00"
    return bytes(head)


def test_header_claiming_more_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "h.nii"
    path.write_bytes(hostile_header((4000, 4000, 4000, 1)) + bytes(1000))
    with pytest.raises(FileError, match="declares"):
        io.read(path, mask="all", tr=2.0)


def test_packed_header_claiming_more_than_any_limit(tmp_path: Path) -> None:
    path = tmp_path / "h.nii.gz"
    path.write_bytes(gzip.compress(hostile_header((4000, 4000, 4000, 2)) + bytes(1000)))
    with pytest.raises(FileError, match="claims"):
        io.read(path, mask="all", tr=2.0)


def test_packed_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.nii.gz"
    claimed = (256, 256, 64, 20)  # 320 MiB of zeros in 0.3 MB
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(hostile_header(claimed))
        for _ in range(20):
            stream.write(bytes(16 << 20))
    with pytest.raises(FileError, match="to 1"):
        io.read(path, mask="all", tr=2.0)


@pytest.mark.parametrize("dims", [(0, 5, 4, 3), (-5, 5, 4, 3), (5, 5, 5, 5, 5, 5, 5)])
def test_odd_shapes(tmp_path: Path, dims: tuple[int, ...]) -> None:
    path = tmp_path / "o.nii"
    path.write_bytes(hostile_header(dims) + bytes(400_000))
    with pytest.raises(FileError, match=r"o.nii"):
        io.read(path, mask="all", tr=2.0)


@pytest.mark.parametrize("keep", [10, 200, 348, 3000])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated(tmp_path: Path, keep: int, suffix: str) -> None:
    path = write(tmp_path / f"t{suffix}", volumes())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"t.nii"):
        io.read(path, mask="all", tr=2.0)


def test_all_nan(tmp_path: Path) -> None:
    x = np.full((*SHAPE, 5), np.nan, np.float32)
    with pytest.raises(DataError, match="holds no number"):
        io.read(write(tmp_path / "n.nii", x), mask="all", tr=2.0)


def test_infinite_voxel(tmp_path: Path) -> None:
    x = volumes()
    x[1, 1, 1, 3] = np.inf
    with pytest.raises(DataError, match=r"i.nii.*1,1,1"):
        io.read(write(tmp_path / "i.nii", x), mask="all", tr=2.0)


# ------------------------------------------------------------------- fMRIPrep


@pytest.fixture
def prep(tmp_path: Path) -> Path:
    """Derivatives of one person with confounds that explain a planted signal."""
    folder = tmp_path / "prep" / "sub-01" / "func"
    folder.mkdir(parents=True)
    stem = "sub-01_task-rest_"
    n = 60
    rng = np.random.default_rng(3)
    motion = rng.normal(size=(n, 6)).cumsum(axis=0)
    x = volumes(n)
    x += 20 * motion[:, 0]
    base = f"{stem}space-MNI152NLin2009cAsym_"
    write(folder / f"{base}desc-preproc_bold.nii.gz", x)
    (folder / f"{base}desc-preproc_bold.json").write_text(
        json.dumps({"RepetitionTime": 2.0, "StartTime": 0.95, "SliceTimingCorrected": True})
    )
    mask_of(folder / f"{base}desc-brain_mask.nii.gz")
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    moved = np.zeros(n)
    moved[[20, 21, 45]] = 3.0
    table = {k: motion[:, i] for i, k in enumerate(names)}
    more = {}
    for k in [*names, "csf", "white_matter"]:
        base_values = table.get(k, rng.normal(size=n))
        more[k] = base_values
        for end in ("derivative1", "power2", "derivative1_power2"):
            more[f"{k}_{end}"] = rng.normal(size=n)
    more |= {
        "cosine00": np.cos(np.pi * (np.arange(n) + 0.5) / n),
        "framewise_displacement": moved,
        "std_dvars": np.ones(n),
        "non_steady_state_outlier00": (np.arange(n) == 0).astype(float),
    }
    rows = ["\t".join(more)] + ["\t".join(f"{v[i]:.8g}" for v in more.values()) for i in range(n)]
    (folder / f"{stem}desc-confounds_timeseries.tsv").write_text("\n".join(rows) + "\n")
    (folder / f"{stem}desc-confounds_timeseries.json").write_text("{}")
    (folder / f"{stem}events.tsv").write_text("onset\tduration\ttrial_type\n4\t2\tface\n")
    (tmp_path / "prep" / "dataset_description.json").write_text("{}")
    return tmp_path / "prep"


def test_fmriprep_folder(prep: Path) -> None:
    recording = io.read(prep, confounds="minimal")
    stream = recording.regular("bold")
    assert (recording.subject, recording.task) == ("01", "rest")
    assert stream.axis.frame == "MNI152NLin2009cAsym"
    assert len(stream.axis) == 18  # fMRIPrep's own mask
    assert stream.t0_s == 0.95
    assert recording.events.type.tolist() == ["face"]
    # the planted motion is gone, the mean stays
    kept = stream.values()[:, 1:]
    as_it_is = io.read(next(prep.rglob("*preproc_bold.nii.gz"))).regular("bold").values()[:, 1:]
    assert np.std(kept, axis=1).max() < 6.5 < 10 < np.std(as_it_is, axis=1).min()
    np.testing.assert_allclose(kept.mean(axis=1), as_it_is.mean(axis=1), rtol=1e-4)


def test_first_unsteady_volume_is_missing(prep: Path) -> None:
    stream = io.read(prep, confounds="minimal").regular("bold")
    assert stream.segments.tolist() == [[1, 60]]
    assert np.isnan(stream.values()[:, 0]).all()


def test_censored_volumes_cut_segments(prep: Path) -> None:
    recording = io.read(prep, confounds="scrubbing")
    stream = recording.regular("bold")
    assert np.isnan(stream.values()[:, 20:22]).all()
    for start, stop in stream.segments.tolist():
        assert not set(range(start, stop)) & {20, 21, 45}
    assert any("censored" in s for s in recording.provenance.steps)


def test_a_preprocessed_file_alone_is_left_as_it_is(prep: Path) -> None:
    path = next(prep.rglob("*preproc_bold.nii.gz"))
    stream = io.read(path).regular("bold")
    assert stream.valid is None
    assert np.std(stream.values(), axis=1).min() > 10  # motion still in


def test_unknown_preset(prep: Path) -> None:
    with pytest.raises(ConfigError, match="minimal"):
        io.read(prep, confounds="minimla")


def test_confounds_of_another_run(prep: Path) -> None:
    table = next(prep.rglob("*confounds_timeseries.tsv"))
    table.write_text("\n".join(table.read_text().splitlines()[:-5]) + "\n")
    with pytest.raises(FileError, match=r"60 volumes.*55 rows"):
        io.read(prep, confounds="minimal")


def test_missing_confounds(prep: Path) -> None:
    next(prep.rglob("*confounds_timeseries.tsv")).unlink()
    with pytest.raises(FileError, match="confounds_timeseries"):
        io.read(prep, confounds="minimal")


def test_several_runs_must_be_chosen(prep: Path) -> None:
    path = next(prep.rglob("*preproc_bold.nii.gz"))
    path.with_name(path.name.replace("task-rest", "task-faces")).write_bytes(path.read_bytes())
    with pytest.raises(FileError, match="2 preprocessed runs"):
        io.read(prep)
    assert io.read(prep, task="rest").task == "rest"
    with pytest.raises(ConfigError, match="letters and digits"):
        io.read(prep, task="../rest")
