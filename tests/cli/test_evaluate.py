"""``neuro evaluate``: a YAML file in, a report out."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

import neuro
from neuro.cli.evaluation import TrainedInside, load_config
from neuro.data import Axis, Recording, Regular, windows
from neuro.datasets import synthetic
from neuro.errors import ConfigError

HANDS = {
    "window": {"stream": "eeg", "length_s": 1.0, "offset_s": 0.5, "align": ["left", "right"],
               "label": "type"},
    "split": {"by": "subject", "test": ["01"]},
    "seeds": 1,
}  # fmt: skip


@pytest.fixture
def config(eeg_folder, tmp_path):
    """Factory: a YAML file beside the data, which it names by a relative path."""

    def write(**changes):
        (tmp_path / "eeg").exists() or (tmp_path / "eeg").symlink_to(eeg_folder)
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({"data": "eeg", **HANDS, **changes}))
        return path

    return write


def values(said):
    rows = said.json["rows"]
    return {(r["model"], r["control"]): r["value"] for r in rows if r["metric"] == "accuracy"}


def test_floors_alone_with_report_and_tables(run, config, tmp_path):
    said = run("evaluate", config(), "--out", tmp_path / "out")
    assert said.code == 0
    assert "band_power" in said.out
    assert {"report.html", "results.csv", "results.json"} <= {
        p.name for p in (tmp_path / "out").iterdir()
    }
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Signals" in page
    assert "simulated" in page.lower()


def test_json_is_the_document_that_is_written(run, config, tmp_path):
    said = run("evaluate", config(), "--out", tmp_path / "out", "--json")
    assert said.json["rows"] == json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    # the rhythm of one hand falls by 70 % at four times the usual strength
    assert values(said)["band_power", ""] > 0.8
    assert values(said)["constant", ""] == 0.5


def test_neither_report_nor_results_hold_a_path(run, config, tmp_path):
    run("evaluate", config(), "--out", tmp_path / "out")
    for name in ("report.html", "results.json", "results.csv"):
        assert str(tmp_path.parent) not in (tmp_path / "out" / name).read_text()


def test_run_folder_of_train_is_a_model_with_its_controls(run, config, trained, tmp_path):
    (tmp_path / "run").symlink_to(trained)
    said = run("evaluate", config(models={"mine": "run"}), "--out", tmp_path / "out", "--json")
    assert said.code == 0
    assert {("mine", ""), ("mine", "random_weights"), ("mine", "shuffled_labels")} <= set(
        values(said)
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Reconstruction" in page
    assert "Audit of the recordings" in page
    assert "The models, measured" in page
    assert "of hidden activations can be left out" in page


@pytest.mark.slow
def test_recordings_are_prepared_as_a_checkpoint_needs_them(run, config, eeg_folder, tmp_path):
    made = run("train", "patch_mae", "--data", eeg_folder, "--out", tmp_path / "slow",
               "--preset", "tiny", "--length-s", 1, "--steps", 2, "--device", "cpu",
               "--where", "subject=02", "--prepare", "sfreq=32")  # fmt: skip
    assert made.code == 0
    as_read = config(models={"mine": "slow"})
    said = run("evaluate", as_read, "--out", tmp_path / "a")
    assert said.code == 2
    assert "the model takes 32 Hz" in said.err
    ready = config(models={"mine": "slow"}, prepare={"sfreq": 32})
    said = run("evaluate", ready, "--out", tmp_path / "b", "--json")
    assert ("mine", "") in values(said)


@pytest.mark.slow
def test_weights_learned_channel_by_channel_are_carried_to_a_montage(
    run, config, eeg_folder, tmp_path
):
    made = run("train", "patch_mae", "--data", eeg_folder, "--out", tmp_path / "alone",
               "--preset", "tiny", "--length-s", 1, "--steps", 2, "--device", "cpu", "--set",
               "channel_embedding=none", "--where", "subject=02", "--prepare", "by_channel=true"
               )  # fmt: skip
    assert made.code == 0
    said = run("evaluate", config(models={"mine": "alone"}), "--out", tmp_path / "a")
    assert said.code == 2
    assert "'channel'" in said.err
    carried = config(models={"mine": {"folder": "alone"}})
    said = run("evaluate", carried, "--out", tmp_path / "b", "--json")
    assert ("mine", "random_weights") in values(said)


def test_model_that_saw_the_tested_person_is_refused(run, config, trained, tmp_path):
    (tmp_path / "run").symlink_to(trained)
    split = {"by": "subject", "test": ["02"]}
    said = run("evaluate", config(models={"mine": "run"}, split=split), "--out", tmp_path / "out")
    assert said.code == 2
    assert "was trained on" in said.err


def test_model_trained_inside_every_fold(run, config, tmp_path):
    inside = {"train": "patch_mae", "preset": "tiny", "steps": 2, "batch_size": 8}
    path = config(models={"mae": inside}, split={"by": "subject", "n": 2})
    said = run("evaluate", path, "--out", tmp_path / "out", "--json")
    assert said.code == 0
    assert ("mae", "random_weights") in values(said)


def test_network_trained_inside_has_seen_the_training_part_alone():
    rng = np.random.default_rng(0)
    recs = [
        Recording({"eeg": Regular(20 * rng.normal(size=(2, 800)), 100, "uV",
                                  Axis(["C3", "C4"], "eeg"), "eeg")}, subject=s)
        for s in ("01", "02")
    ]  # fmt: skip
    train, _ = windows(recs, stream="eeg", length_s=1.0).split("subject", test=["02"])
    model = TrainedInside("patch_mae", "tiny", 1, 4, 1e-3, 0, {"depth": 2})(train)
    (seen,) = model.provenance["training"]
    assert seen["data"]["train"]["examples"] == 8
    assert model.config.depth == 2


def test_finished_folds_are_reused(run, config, tmp_path):
    inside = {"train": "patch_mae", "preset": "tiny", "steps": 2, "batch_size": 8}
    path = config(models={"mae": inside})
    first = run("evaluate", path, "--out", tmp_path / "out", "--json")
    stamps = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "folds").iterdir()}
    second = run("evaluate", path, "--out", tmp_path / "out", "--json")
    assert first.json["rows"] == second.json["rows"]
    assert stamps == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "folds").iterdir()}


def test_label_may_be_the_mean_of_another_stream(run, tmp_path):
    text = """
data: head_direction
window: {stream: spikes, length_s: 0.5, bin_s: 0.5, label: {stream: head_angle, circular: true}}
split: {by: time, test: 0.5}
task: circular
seeds: 1
"""
    (tmp_path / "c.yaml").write_text(text)
    said = run("evaluate", tmp_path / "c.yaml", "--out", tmp_path / "out", "--json")
    assert said.code == 0
    rows = {r["model"]: r["value"] for r in said.json["rows"]
            if r["metric"] == "median_angular_error" and not r["control"]}  # fmt: skip
    # nine degrees with another half of the wake time held out
    assert rows["naive_bayes_poisson"] < 15


def test_where_and_reading_reach_their_places(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("data: scp1\nwhere: {run: train}\nreading: {unit: uV}\nroot: mine\n"
                    "window: {label: type, align: '*'}\nsplit: {by: block}\n")  # fmt: skip
    config = load_config(path)
    assert (config.where, config.reading, config.root) == ({"run": "train"}, {"unit": "uV"}, "mine")


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"sedes": 5}, "Did you mean 'seeds'?"),
        ({"window": {"label": "type", "lenth_s": 1}}, "Did you mean 'length_s'?"),
        ({"window": {"length_s": 1}}, "window.label"),
        ({"window": {"label": {"stream": "eeg", "circle": True}}}, "Did you mean 'circular'?"),
        ({"window": {**HANDS["window"], "label": {"stream": "ege"}}}, "Did you mean 'eeg'?"),
        ({"window": {**HANDS["window"], "length_s": -1}}, "window.length_s"),
        ({"window": {**HANDS["window"], "label": "typ"}}, "typ"),
        ({"window": {**HANDS["window"], "align": "lefft"}}, "lefft"),
        ({"window": {**HANDS["window"], "stream": "ege"}}, "Did you mean 'eeg'?"),
        ({"split": {"by": "subjekt"}}, "Did you mean 'subject'?"),
        ({"split": {"by": "random", "n": 3}}, "random"),
        ({"split": {"by": "subject", "test": ["09"]}}, "09"),
        ({"split": {"by": "subject", "n": 40}}, "4"),
        ({"split": {"by": "subject", "n": "all"}}, "split.n"),
        ({"models": {"m": "absent"}}, "There is no folder"),
        ({"models": {"m": {"train": "patchmae"}}}, "Did you mean 'patch_mae'?"),
        ({"models": {"m": {"train": "patch_mae", "config": {"dept": 1}}}}, "Did you mean 'depth'?"),
        ({"models": {"m": {"train": "patch_mae", "stepz": 1}}}, "Did you mean 'steps'?"),
        ({"models": {"band_power": {"train": "patch_mae", "preset": "tiny"}}}, "band_power"),
        ({"data": "absent"}, "absent"),
        ({"task": "ranking"}, "task"),
        ({"probe": {"mode": "lor"}}, "probe"),
        ({"controls": ["random_weight"]}, "Did you mean 'random_weights'?"),
        ({"labels": 2}, "labels"),
        ({"labels": [0.5, 0]}, "labels"),
        ({"labels": []}, "labels"),
        ({"seeds": 0}, "seeds"),
        ({"where": {"subject": "09"}}, "09"),
    ],
)
def test_wrong_field_is_bad_input_and_named(run, config, tmp_path, changes, hint):
    said = run("evaluate", config(**changes), "--out", tmp_path / "out")
    assert said.code == 2, said.err
    assert hint in said.err
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.fixture
def spoilt(eeg_folder, tmp_path):
    """The same people, one of them read in the wrong unit."""
    folder = tmp_path / "spoilt"
    folder.mkdir()
    for path in sorted(eeg_folder.glob("*.h5")):
        rec = neuro.read(path)
        if path.name == "s02.h5":
            stream = rec.regular("eeg")
            rec = rec.with_stream("eeg", replace(stream, data=stream.values() * 1e-6))
        neuro.save(rec, folder / path.name)
    return folder


def test_recordings_with_a_defect_are_not_scored_unless_asked(run, config, spoilt, tmp_path):
    said = run("evaluate", config(data="spoilt"), "--out", tmp_path / "out")
    assert said.code == 2
    assert "The audit found 1 error" in said.err
    assert "defects: report" in said.err
    assert not (tmp_path / "out").exists()
    said = run("evaluate", config(data="spoilt", defects="report"), "--out", tmp_path / "out")
    assert said.code == 0
    assert "typical standard deviation" in (tmp_path / "out" / "report.html").read_text()


def test_probe_controls_and_labels_reach_the_evaluation(run, config, tmp_path):
    path = config(
        models={"mine": {"train": "patch_mae", "preset": "tiny", "steps": 2}},
        probe={"mode": "head", "steps": 3},
        controls=["random_weights"],
        labels=0.5,
    )
    said = run("evaluate", path, "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    assert {c for _, c in values(said)} == {"", "random_weights"}
    assert said.json["meta"]["labels"]["share"] == 0.5
    assert "head" in said.json["meta"]["options"]["probe"]


@pytest.mark.slow
def test_a_label_efficiency_curve_from_the_file_to_the_report(run, config, tmp_path):
    said = run("evaluate", config(labels=[1.0, 0.5]), "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    assert "labels" not in said.json["meta"]  # the table is that of all labels
    curve = said.json["meta"]["label_curve"]
    assert {c["share"] for c in curve} == {0.5, 1.0}
    rows = {(c["share"], c["model"], c["control"], c["metric"]): c["value"] for c in curve}
    part = json.loads((tmp_path / "out" / "labels_0.5" / "results.json").read_text())
    assert part["meta"]["labels"]["share"] == 0.5
    for row in part["rows"]:
        assert rows[0.5, row["model"], row["control"], row["metric"]] == row["value"]
    assert rows[1.0, "band_power", "", "accuracy"] == values(said)["band_power", ""]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Learning curve" in page
    assert "Signals" in page
    whole = json.loads((tmp_path / "out" / "results.json").read_text())
    assert whole["rows"] == said.json["rows"]


def test_spike_counts_are_predicted_from_another_stream(run, config, tmp_path):
    (made,) = synthetic.spikes(0, n_units=4, n_tuned=4, duration_s=60).recordings
    neuro.save(made, tmp_path / "cells" / "one.h5")
    path = config(
        data="cells",
        window={"stream": "head_angle", "length_s": 0.2, "label": {"stream": "spikes"}},
        split={"by": "time", "test": 0.5},
        task="counts",
        controls=[],
    )
    said = run("evaluate", path, "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    bits = {r["model"]: r for r in said.json["rows"] if r["metric"] == "bits_per_spike"}
    assert bits["harmonics"]["lo"] > 0 > bits["constant"]["value"]
    assert "bits per spike" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("text", ["data: [", "- a\n- b\n", "", "a: !!python/object:os.system {}"])
def test_file_that_is_no_configuration(run, tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    said = run("evaluate", tmp_path / "c.yaml", "--out", tmp_path / "out")
    assert said.code == 2
    assert "c.yaml" in said.err


def test_fields_that_may_not_be_together(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("data: scp1\nwindow: {label: type}\nsplit: {by: block}\nseeds: many\n")
    with pytest.raises(ConfigError, match="seeds"):
        load_config(path)
