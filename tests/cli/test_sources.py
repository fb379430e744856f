"""Which files of a folder are recordings, and what options become."""

import pytest

import neuro
from neuro.cli._sources import keep, reading_options, recording_files, recordings_of, setting
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError
from neuro.io import save_shards


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(folder, **options):
    return [p.relative_to(folder).as_posix() for p in recording_files(folder, **options)]


def test_side_files_of_bids_are_no_recordings(tmp_path):
    touch(
        tmp_path,
        "participants.tsv",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/func/sub-01_task-rest_bold.nii.gz",
        "sub-01/func/sub-01_task-rest_bold.json",
        "sub-01/func/sub-01_task-rest_desc-brain_mask.nii.gz",
        "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv",
        "sub-01/func/sub-01_task-rest_events.tsv",
        "sub-01/eeg/sub-01_task-rest_eeg.edf",
        "sub-01/eeg/sub-01_task-rest_channels.tsv",
    )
    expected = [
        "sub-01/eeg/sub-01_task-rest_eeg.edf",
        "sub-01/func/sub-01_task-rest_bold.nii.gz",
    ]
    assert found(tmp_path / "sub-01") == [e.removeprefix("sub-01/") for e in expected]
    assert found(tmp_path) == expected


def test_series_of_an_atlas_are_taken_with_tables(tmp_path):
    touch(tmp_path, "sub-01_atlas-A_timeseries.tsv", "sub-01_desc-confounds_timeseries.tsv")
    assert found(tmp_path) == []
    assert found(tmp_path, tables=True) == ["sub-01_atlas-A_timeseries.tsv"]


def test_hidden_files_and_folders_are_left_alone_but_may_lie_above(tmp_path):
    home = tmp_path / ".cache" / "lab"
    touch(home, "a.edf", ".b.edf", ".old/c.edf")
    assert found(home) == ["a.edf"]


def test_files_that_lead_out_of_the_folder_are_left_alone(tmp_path):
    touch(tmp_path, "private/secret.edf", "lab/a.edf")
    (tmp_path / "lab" / "b.edf").symlink_to(tmp_path / "private" / "secret.edf")
    assert found(tmp_path / "lab") == ["a.edf"]


def test_folder_that_is_a_link_to_itself_ends(tmp_path):
    touch(tmp_path, "a.edf")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert found(tmp_path) == ["a.edf"]


def test_shards_are_one_source_and_not_files(tmp_path):
    made = synthetic.eeg(0, n_subjects=2, n_trials=2, n_motifs=0).recordings
    save_shards(made, tmp_path / "shards")
    touch(tmp_path, "a.edf")
    assert found(tmp_path) == ["a.edf"]
    assert [r.subject for r in recordings_of(str(tmp_path / "shards"))] == ["01", "02"]


def test_folder_of_stored_files_is_read_in_order(tmp_path):
    for rec in synthetic.eeg(0, n_subjects=3, n_trials=2, n_motifs=0).recordings:
        neuro.save(rec, tmp_path / f"{rec.subject}.h5")
    assert [r.subject for r in recordings_of(str(tmp_path))] == ["01", "02", "03"]


def test_facts_choose_recordings():
    made = list(synthetic.fmri_roi(0, n_subjects=3, n_volumes=40).recordings)
    assert {r.subject for r in keep(made, ["subject=01,03"])} == {"01", "03"}
    chosen = keep(made, ["run=2", "group=patient"])
    assert [(r.subject, r.run) for r in chosen] == [("02", "2")]
    with pytest.raises(DataError, match="No recording has run '3'"):
        keep(made, ["run=3"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1e-3", 0.001),
        ("a=true", True),
        ("a=None", None),
        ("a=mean", "mean"),
        ("a=(1, 2)", (1, 2)),
        ("a=['Fz', 'Cz']", ["Fz", "Cz"]),
        ("a=b=c", "b=c"),
        ("a=__import__('os')", "__import__('os')"),
        ("a=" + "(" * 5000, "(" * 5000),
    ],
)
def test_values_are_read_as_python_reads_them_and_nothing_is_run(text, value):
    assert setting(text) == ("a", value)


def test_subject_with_leading_zeros_stays_text():
    assert reading_options(["subject=007", "run=1"]) == {"subject": "007", "run": "1"}


def test_streams_are_a_list():
    assert reading_options(["streams=eeg, eog"]) == {"streams": ["eeg", "eog"]}


def test_options_that_were_not_given_are_not_passed():
    assert reading_options([], unit=None, tr=2.0) == {"tr": 2.0}
    with pytest.raises(ConfigError, match="name=value"):
        reading_options(["subject="])
