"""``neuro convert``: all that can be, again only what has changed."""

import shutil

import numpy as np
import pytest

import neuro
from neuro.io import load_shards


def states(said):
    return {row["source"]: row["state"] for row in said.json}


@pytest.fixture
def folder(edf, tmp_path):
    """Two good files with the same name in two folders, one torn, one for nobody."""
    source = tmp_path / "source"
    edf(source / "a.edf", seed=1)
    edf(source / "later" / "a.edf", seed=2)
    (source / "torn.edf").write_bytes(b"0       " + b" " * 300)
    (source / "notes.txt").write_text("not a recording")
    (source / ".hidden.edf").write_bytes(b"")
    return source


@pytest.mark.parametrize("jobs", [1, 2])
def test_good_files_are_converted_beside_a_broken_one(run, folder, tmp_path, jobs):
    said = run("convert", folder, "--out", tmp_path / "out", "--jobs", jobs, "--json")
    assert said.code == 1
    assert states(said) == {
        "a.edf": "converted", "later/a.edf": "converted", "torn.edf": "failed"
    }  # fmt: skip
    for name, seed in (("a.h5", 1), ("later/a.h5", 2)):
        stored = neuro.read(tmp_path / "out" / name).stream("eeg")
        made = 20 * np.random.default_rng(seed).normal(size=(4, 2560))
        # EDF keeps 16 bits of a range of 8,000 uV
        assert np.abs(stored.values() - made).max() < 8000 / 2**16


def test_the_broken_one_is_named_with_the_reason(run, folder, tmp_path):
    said = run("convert", folder, "--out", tmp_path / "out")
    assert "torn.edf" in said.out
    assert "damaged" in said.out
    assert str(tmp_path) not in said.out


def test_second_time_nothing_is_done(run, folder, tmp_path):
    out = tmp_path / "out"
    run("convert", folder, "--out", out)
    before = (out / "a.h5").stat().st_mtime_ns
    said = run("convert", folder, "--out", out, "--json")
    assert states(said)["a.edf"] == states(said)["later/a.edf"] == "unchanged"
    assert (out / "a.h5").stat().st_mtime_ns == before


def test_changed_bytes_are_converted_again(run, edf, folder, tmp_path):
    out = tmp_path / "out"
    run("convert", folder, "--out", out)
    edf(folder / "a.edf", seed=9)
    assert states(run("convert", folder, "--out", out, "--json"))["a.edf"] == "converted"
    assert states(run("convert", folder, "--out", out, "--json"))["a.edf"] == "unchanged"


def test_changed_options_are_converted_again(run, edf, tmp_path):
    path, out = edf(tmp_path / "a.edf"), tmp_path / "out"
    run("convert", path, "--out", out)
    said = run("convert", path, "--out", out, "--read", "subject=07", "--json")
    assert states(said) == {"a.edf": "converted"}
    assert neuro.read(out / "a.h5").subject == "07"


def test_recording_of_several_files_is_known_again(run, edf, tmp_path):
    folder, out = tmp_path / "bids" / "sub-01" / "eeg", tmp_path / "out"
    edf(folder / "sub-01_task-rest_eeg.edf")
    events = folder / "sub-01_task-rest_events.tsv"
    events.write_text("onset\tduration\ttrial_type\n1.0\t0.5\tgo\n")
    name = "sub-01/eeg/sub-01_task-rest_eeg.edf"
    assert states(run("convert", tmp_path / "bids", "--out", out, "--json")) == {name: "converted"}
    assert states(run("convert", tmp_path / "bids", "--out", out, "--json")) == {name: "unchanged"}
    events.write_text("onset\tduration\ttrial_type\n2.0\t0.5\tgo\n")
    assert states(run("convert", tmp_path / "bids", "--out", out, "--json")) == {name: "converted"}
    stored = neuro.read((out / name).with_suffix(".h5"))
    assert stored.events.onset_s.tolist() == [2.0]
    assert (stored.subject, stored.task) == ("01", "rest")


def test_output_inside_the_source_is_not_taken_for_input(run, edf, tmp_path):
    edf(tmp_path / "a.edf")
    run("convert", tmp_path, "--out", tmp_path / "h5")
    assert states(run("convert", tmp_path, "--out", tmp_path / "h5", "--json")) == {
        "a.edf": "unchanged"
    }


def test_same_stem_in_two_formats_is_two_files(run, edf, tmp_path):
    edf(tmp_path / "in" / "a.edf")
    neuro.save(neuro.read(tmp_path / "in" / "a.edf"), tmp_path / "in" / "a.h5")
    said = run("convert", tmp_path / "in", "--out", tmp_path / "out", "--json")
    assert sorted(row["stored"] for row in said.json) == ["a_edf.h5", "a_h5.h5"]


def test_same_name_from_two_places_is_refused(run, edf, tmp_path):
    a, b = edf(tmp_path / "x" / "a.edf"), edf(tmp_path / "y" / "a.edf")
    said = run("convert", a, b, "--out", tmp_path / "out")
    assert said.code == 2
    assert "'a_edf.h5'" in said.err
    assert not (tmp_path / "out").exists()


def test_personal_facts_do_not_reach_the_store(run, edf, tmp_path):
    run("convert", edf(tmp_path / "a.edf"), "--out", tmp_path / "out", "--shards")
    files = list((tmp_path / "out").rglob("*.*"))
    assert len(files) == 3  # the recording, one shard, its index
    for path in files:
        content = path.read_bytes()
        for secret in (b"Jane", b"1971", b"Smith", bytes(str(tmp_path), "utf-8")):
            assert secret not in content


def test_shards_hold_every_recording_and_follow_changes(run, edf, folder, tmp_path):
    out = tmp_path / "out"
    (folder / "torn.edf").unlink()
    assert run("convert", folder, "--out", out, "--shards").code == 0
    assert len(load_shards(out / "shards")) == 2
    before = (out / "shards" / "shards.json").stat().st_mtime_ns
    run("convert", folder, "--out", out, "--shards")
    assert (out / "shards" / "shards.json").stat().st_mtime_ns == before
    edf(folder / "b.edf", seed=5)
    run("convert", folder, "--out", out, "--shards")
    assert len(load_shards(out / "shards")) == 3
    assert sorted(p.name for p in out.iterdir()) == ["a.h5", "b.h5", "later", "shards"]


def test_damaged_target_is_made_again(run, edf, tmp_path):
    path, out = edf(tmp_path / "a.edf"), tmp_path / "out"
    run("convert", path, "--out", out)
    (out / "a.h5").write_bytes(b"torn")
    assert states(run("convert", path, "--out", out, "--json")) == {"a.edf": "converted"}
    assert neuro.read(out / "a.h5").stream("eeg").n_times == 2560


@pytest.mark.parametrize("source", ["absent.edf", "nothing"])
def test_no_source_is_bad_input(run, tmp_path, source):
    (tmp_path / "nothing").mkdir()
    said = run("convert", tmp_path / source, "--out", tmp_path / "out")
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file_is_bad_usage(run, edf, tmp_path):
    path = edf(tmp_path / "a.edf")
    assert run("convert", path, "--out", path).code == 2


def test_tables_of_a_folder_are_taken_when_their_tr_is_given(run, tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    rows = np.random.default_rng(0).normal(size=(30, 2)).round(3).tolist()
    text = "A,B\n" + "\n".join(",".join(map(str, r)) for r in rows) + "\n"
    (folder / "rest.csv").write_text(text)
    (folder / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    shutil.copy(folder / "rest.csv", folder / "sub-01_desc-confounds_timeseries.csv")
    assert run("convert", folder, "--out", tmp_path / "out").code == 2
    said = run("convert", folder / "rest.csv", "--tr", 2, "--out", tmp_path / "out", "--json")
    assert states(said) == {"rest.csv": "converted"}
    said = run("convert", folder, "--tr", 2, "--out", tmp_path / "all", "--json")
    assert states(said)["rest.csv"] == "converted"
    assert "sub-01_desc-confounds_timeseries.csv" not in states(said)
