"""Folders of fMRIPrep volumes and of region tables: one recording a run, or one clear error."""

import json
import shutil

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError, DataUnavailableError, FileError
from neuro.io import is_derivatives, read_derivatives


@pytest.fixture
def prep(trees, tmp_path):
    return trees.fmriprep(tmp_path / "raw", jerks=(40, 41, 90))


@pytest.fixture
def image(trees, tmp_path):
    return trees.atlas(tmp_path)


def resemblance(rec, trees, person):
    """Correlation of each region with the series that was planted in it."""
    signal = rec.regular("bold")
    x, planted = signal.values(), trees.series(person, signal.n_times, patient=person % 2 == 1)
    seen = np.isfinite(x).all(axis=0)
    return [np.corrcoef(a[seen], b[seen])[0, 1] for a, b in zip(x, planted, strict=True)]


# ---- volumes -------------------------------------------------------------------


def test_every_run_becomes_regions_with_the_persons_facts(prep, image, trees):
    assert is_derivatives(prep)
    runs = read_derivatives(prep, atlas=image, columns={"group": "diagnosis"})
    assert [r.id for r in runs] == ["sub-00_task-rest", "sub-01_task-rest"]
    one = runs[1]
    facts = (one.subject, one.task, one.age, one.sex, one.group, one.site)
    assert facts == ("01", "rest", 21.0, "M", "patient", "site1")
    signal = one.regular("bold")
    assert signal.axis.names == trees.REGIONS
    assert (signal.axis.atlas, signal.axis.frame) == ("six", trees.SPACE)
    assert (float(signal.rate), signal.t0_s) == (0.5, 0.9)
    # 34 random regressors of 160 volumes leave about sqrt(1 - 34 / 160) = 0.89 of a signal
    assert min(resemblance(one, trees, 1)) > 0.75
    assert not any("2001" in str(v) for v in vars(one).values())


def test_unsteady_volumes_and_displacement(prep, image):
    rec = read_derivatives(prep, atlas=image)[0]
    assert rec.regular("bold").segments.tolist() == [[1, 160]]
    fd = rec.regular("motion")
    assert (fd.unit, fd.modality, fd.n_times) == ("mm", "physio", 160)
    assert np.isnan(fd.values()[0, 0])
    assert fd.values()[0, 40] == 2.0


def test_scrubbed_volumes_are_missing_and_cut_segments(prep, image):
    rec = read_derivatives(prep, atlas=image, confounds="scrubbing", subject="00")[0]
    signal = rec.regular("bold")
    assert np.isnan(signal.values()[:, [0, 40, 41, 90]]).all()
    assert signal.segments.tolist() == [[1, 40], [42, 90], [91, 160]]


@pytest.mark.parametrize("preset", ["compcor", "minimal", None])
def test_other_presets(prep, image, preset):
    rec = read_derivatives(prep, atlas=image, confounds=preset, subject="00")[0]
    assert any(f"confounds {preset}" in s for s in rec.provenance.steps) == (preset is not None)


def test_aroma_takes_its_own_files(prep, image):
    for path in sorted(prep.rglob("*_desc-preproc_bold.*")):
        shutil.copy(path, path.with_name(path.name.replace("preproc", "smoothAROMAnonaggr")))
    path = next(prep.rglob("*smoothAROMAnonaggr_bold.nii.gz"))
    rec = read_derivatives(prep, atlas=image, confounds="ica_aroma")[0]
    assert rec.provenance.source == path.name
    (prep / path.relative_to(prep)).unlink()
    assert len(read_derivatives(prep, atlas=image, confounds="ica_aroma")) == 1


def test_segmentations_in_the_folder_give_one_list_of_regions(prep, trees):
    trees.segmentations(prep, missing=1)
    with pytest.warns(UserWarning, match="without a signal in some run: DefB"):
        runs = read_derivatives(prep)
    for rec in runs:
        axis = rec.regular("bold").axis
        assert (axis.names, axis.atlas) == (trees.REGIONS, "aparcaseg")
    assert runs[1].regular("bold").axis.bad.tolist() == [False] * 5 + [True]
    assert "regions without a signal: DefB" in runs[1].provenance.steps


def test_regions_must_come_from_somewhere(prep, trees):
    with pytest.raises(ConfigError, match="atlas=FILE"):
        read_derivatives(prep)
    trees.segmentations(prep)
    with pytest.raises(ConfigError, match="segmentations of all runs: aparcaseg"):
        read_derivatives(prep, atlas="aseg")


def test_labels_of_another_atlas(prep, trees, tmp_path):
    image = trees.atlas(tmp_path, names=[f"R{i}" for i in range(6)], first=1)
    with pytest.raises(DataError, match=r"'six.tsv' names 6 regions, of which 0 .* another atlas"):
        read_derivatives(prep, atlas=image)
    image = trees.atlas(tmp_path, names=[f"R{i}" for i in range(100)])
    with pytest.raises(DataError, match="names 100 regions, of which 6"):
        read_derivatives(prep, atlas=image)


def test_two_spaces_must_be_chosen_between(trees, image, tmp_path):
    prep = trees.fmriprep(tmp_path / "two", spaces=(trees.SPACE, "T1w"))
    with pytest.raises(ConfigError, match=r"one run twice.*space=MNI152NLin2009cAsym or T1w"):
        read_derivatives(prep, atlas=image)
    runs = read_derivatives(prep, atlas=image, space="T1w")
    assert {r.regular("bold").axis.frame for r in runs} == {"T1w"}


def test_events_come_from_the_raw_data(prep, image):
    raw = prep.parents[1] / "sub-01" / "func"
    raw.mkdir(parents=True)
    (raw / "sub-01_task-rest_events.tsv").write_text("onset\tduration\ttrial_type\n8\t2\theat\n")
    runs = read_derivatives(prep, atlas=image)
    assert [r.events.type.tolist() for r in runs] == [[], ["heat"]]


def test_regions_without_a_signal_are_listed(trees, image, tmp_path):
    def spoil(person, x):
        x[2, 1:] = 7.0
        if person:
            x[4, 1:] = np.nan

    prep = trees.fmriprep(tmp_path / "flat", change=spoil)
    with pytest.warns(UserWarning, match="without a signal in some run: MotA, DefA"):
        runs = read_derivatives(prep, atlas=image)
    assert "regions without a signal: MotA, DefA" in runs[1].provenance.steps
    assert runs[0].regular("bold").axis.bad.tolist() == [False, False, True, False, False, False]
    assert np.isnan(runs[1].regular("bold").values()[4]).all()


def test_no_region_with_a_signal(trees, image, tmp_path):
    def spoil(person, x):
        x[:] = 7.0

    prep = trees.fmriprep(tmp_path / "flat", change=spoil)
    with pytest.raises(DataError, match="no region changes over time: all 6"):
        read_derivatives(prep, atlas=image, confounds=None)


# ---- bad volumes ---------------------------------------------------------------


def sidecars(folder, **content):
    for path in folder.rglob("*_bold.json"):
        path.write_text(json.dumps(content))


def test_contradicting_repetition_times(prep, image):
    sidecars(prep, RepetitionTime=2.5)
    with pytest.raises(FileError, match=r"sidecar says a repetition time of 2.5 s.*header 2 s"):
        read_derivatives(prep, atlas=image)
    assert read_derivatives(prep, atlas=image, tr=2.5)[0].regular("bold").sfreq == 0.4


def test_no_repetition_time(trees, image, tmp_path):
    prep = trees.fmriprep(tmp_path / "none", tr=0.0)
    sidecars(prep)
    with pytest.raises(FileError, match="states no repetition time"):
        read_derivatives(prep, atlas=image)


def test_all_volumes_censored(trees, image, tmp_path):
    prep = trees.fmriprep(tmp_path / "moved", jerks=range(160))
    with pytest.raises(DataError, match=r"0 volumes are left|all 160 volumes are censored"):
        read_derivatives(prep, atlas=image, confounds="scrubbing")


def test_too_short(prep, image):
    with pytest.raises(DataError, match=r"318 s of 320 s are left .* least_s=400"):
        read_derivatives(prep, atlas=image, least_s=400)


def test_little_data_and_much_motion_are_warned_of(trees, image, tmp_path):
    prep = trees.fmriprep(tmp_path / "little", n=120, jerks=range(1, 60))
    said = r"2 of 2 runs have less than 5 min .*; 2 runs have a mean displacement above 0.5 mm"
    with pytest.warns(UserWarning, match=said):
        read_derivatives(prep, atlas=image)


def test_bad_runs_can_be_left_out(trees, image, tmp_path):
    prep = trees.fmriprep(tmp_path / "three", n_people=3)
    next(prep.rglob("sub-01*_desc-confounds_timeseries.tsv")).unlink()
    with pytest.raises(FileError, match="bad_files='skip'"):
        read_derivatives(prep, atlas=image)
    with pytest.warns(UserWarning, match="1 of 3 runs were left out"):
        runs = read_derivatives(prep, atlas=image, bad_files="skip")
    assert [r.subject for r in runs] == ["00", "02"]
    assert any("1 of 3 runs of the folder left out" in s for s in runs[0].provenance.steps)


def test_a_raw_data_set_is_not_its_derivatives(prep):
    assert is_derivatives(prep)
    assert not is_derivatives(prep.parents[1])


def test_nothing_there(tmp_path):
    assert not is_derivatives(tmp_path)
    with pytest.raises(DataUnavailableError, match="holds neither"):
        read_derivatives(tmp_path)


def test_columns_of_the_participants(prep, image):
    with pytest.raises(ConfigError, match="no column 'diagnosi'"):
        read_derivatives(prep, atlas=image, columns={"group": "diagnosi"})
    with pytest.raises(ConfigError, match="no fact 'dx'"):
        read_derivatives(prep, atlas=image, columns={"dx": "diagnosis"})


# ---- tables --------------------------------------------------------------------


def test_tables_with_volumes_left_out_get_their_gaps_back(trees, tmp_path):
    folder = trees.xcpd(tmp_path / "xcpd", outliers=(10, 11, 80))
    rec = read_derivatives(folder)[1]
    signal = rec.regular("bold")
    assert signal.axis.names == trees.REGIONS
    assert (signal.axis.atlas, signal.n_times, signal.sfreq) == ("4S6", 160, 0.5)
    assert signal.segments.tolist() == [[0, 10], [12, 80], [81, 160]]
    planted = trees.series(1, patient=True)
    seen = np.isfinite(signal.values()).all(axis=0)
    assert np.flatnonzero(~seen).tolist() == [10, 11, 80]
    # six digits in the file
    np.testing.assert_allclose(signal.values()[:, seen], planted[:, seen], rtol=1e-4, atol=1e-5)
    assert rec.regular("motion").values()[0, 80] == 2.0
    assert (rec.age, rec.sex, rec.site) == (21.0, "M", "site1")


def test_interpolated_volumes_are_blanked(trees, tmp_path):
    folder = trees.xcpd(tmp_path / "xcpd", outliers=(10,), drop=False, key="atlas")
    signal = read_derivatives(folder)[0].regular("bold")
    assert np.isnan(signal.values()[:, 10]).all()
    assert signal.segments.tolist() == [[0, 10], [11, 160]]


def test_outliers_of_another_run(trees, tmp_path):
    folder = trees.xcpd(tmp_path / "xcpd", outliers=(10, 11))
    for path in folder.rglob("*_outliers.tsv"):
        path.write_text("\n".join(path.read_text().splitlines()[:-5]) + "\n")
    with pytest.raises(FileError, match=r"has 158 volumes, .* 155 of which 153 are kept"):
        read_derivatives(folder)


def test_all_volumes_of_a_table_censored(trees, tmp_path):
    folder = trees.xcpd(tmp_path / "xcpd", outliers=range(160), drop=False)
    with pytest.raises(DataError, match="all 160 volumes are censored"):
        read_derivatives(folder)


def test_atlas_of_tables_must_be_chosen(trees, tmp_path):
    folder = trees.xcpd(tmp_path / "xcpd", atlases=("4S6", "Gordon"))
    with pytest.raises(ConfigError, match="2 atlases; choose one: atlas=4S6 or Gordon"):
        read_derivatives(folder)
    with pytest.raises(ConfigError, match="no atlas 'AAL'"):
        read_derivatives(folder, atlas="AAL")
    assert read_derivatives(folder, atlas="Gordon")[0].regular("bold").axis.atlas == "Gordon"


def test_repetition_times_of_tables_that_disagree(trees, tmp_path):
    folder = trees.xcpd(tmp_path / "xcpd")
    path = next(folder.rglob("*_timeseries.tsv"))
    path.with_suffix(".json").write_text(json.dumps({"RepetitionTime": 0.8}))
    with pytest.raises(FileError, match=r"disagree: 0.8 s in .*, 2 s in"):
        read_derivatives(folder)


def test_tables_of_unlike_regions(trees, tmp_path):
    folder = trees.xcpd(tmp_path / "xcpd")
    path = next(folder.rglob("sub-01*_timeseries.tsv"))
    path.write_text(path.read_text().replace("DefB", "Insula", 1))
    with pytest.raises(DataError, match=r"DefB, Insula.*another atlas"):
        read_derivatives(folder)
