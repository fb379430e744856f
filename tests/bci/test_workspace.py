import dataclasses
import json
import shutil

import numpy as np
import pytest

from neuro.bci import Auto, Settings, Workspace
from neuro.data import Axis, Events, Recording, Regular
from neuro.errors import ConfigError, ContractError, DataError, FileError
from neuro.stream import Extractor, Plan, Power, Strength


def test_three_runs_to_a_decoder_that_holds_on_the_fourth(workspace, runs):
    attempt = workspace.train(Auto(2, fmin=8, fmax=20))
    assert attempt.features[0] == "C3;12"
    assert attempt.scores["n_folds"] == 3
    assert attempt.scores["nested"] >= 0.9
    workspace.add_run(runs[3])
    decisions, scores = workspace.replay("r4")
    assert len(decisions) == 10
    assert scores.nested >= 0.9


def test_the_map_shows_what_was_planted(workspace):
    found, table = workspace.map()
    row, column = np.unravel_index(found.r2.argmax(), found.r2.shape)
    assert (table.rows[row], table.columns[column]) == ("C3", 12.0)
    assert found.sign[row, column] == -1  # right is weaker there


def test_what_was_computed_is_not_computed_again(workspace, settings, monkeypatch):
    first = workspace.extract()
    asked = []
    whole = Extractor.replay

    def counted(self, recording, **options):
        asked.append(recording.id)
        return whole(self, recording, **options)

    monkeypatch.setattr(Extractor, "replay", counted)
    again = workspace.extract()
    np.testing.assert_array_equal(again.values, first.values)
    assert asked == []
    other = dataclasses.replace(settings, h_freq=45.0)
    workspace.extract(settings=other)
    assert len(asked) == 3
    assert len(list((workspace.folder / "sessions").iterdir())) == 2
    workspace.extract(settings=other)
    assert len(asked) == 3


def test_a_workspace_that_was_moved_gives_the_same_bits(workspace, runs, tmp_path):
    workspace.add_run(runs[3])
    workspace.train(Auto(2), runs=["r1", "r2", "r3"])
    before, scores = workspace.replay("r4")
    moved = Workspace.open(shutil.move(workspace.folder, tmp_path / "elsewhere"))
    again = moved.train(Auto(2), runs=["r1", "r2", "r3"])
    assert again.scores == moved.attempt(1).scores
    after, same = moved.replay("r4", 1)
    assert same == scores
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a.features, b.features)
        assert a.probabilities == b.probabilities


def test_nothing_in_a_workspace_names_another_place(workspace, tmp_path):
    workspace.train(Auto(1))
    for path in workspace.folder.rglob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_a_bad_run_is_left_out_and_taken_back(workspace):
    whole = workspace.extract()
    workspace.exclude("r2")
    part = workspace.extract()
    assert sorted(set(part.runs.tolist())) == ["r1", "r3"]
    assert Workspace.open(workspace.folder).runs[1].excluded
    workspace.exclude("r2", excluded=False)
    np.testing.assert_array_equal(workspace.extract().values, whole.values)


def test_cancelling_keeps_what_is_done(workspace, settings):
    changed = dataclasses.replace(settings, notch=50.0)
    seen = []

    def progress(run, done, total):
        seen.append((run, done, total))
        return done < 2

    with pytest.raises(DataError, match="features of 2 of 3 runs are kept"):
        workspace.extract(settings=changed, progress=progress)
    assert seen == [("r1", 0, 3), ("r2", 1, 3), ("r3", 2, 3)]
    kept = workspace.folder / "sessions" / changed.identity
    assert len(list(kept.glob("*.npz"))) == 2


def test_an_attempt_that_was_killed_is_none(workspace, monkeypatch):
    workspace.train(Auto(1))

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("neuro.bci.workspace.save_bundle", killed)
    with pytest.raises(KeyboardInterrupt):
        workspace.train(Auto(2))
    monkeypatch.undo()
    again = Workspace.open(workspace.folder)
    assert [a.number for a in again.attempts] == [1]
    assert again.train(Auto(2)).number == 2


def test_every_attempt_is_kept_with_what_made_it(workspace):
    workspace.train(("C3;12",))
    workspace.train(("C3;10:14", "C4;10:14"), kind="logistic", runs=["r1", "r2", "r3"])
    first, second = workspace.attempts
    assert (first.number, first.features, first.kind) == (1, ("C3;12",), "lda")
    assert second.features == ("C3;10:14", "C4;10:14")
    assert Settings.from_json(second.settings) == workspace.settings
    assert workspace.attempt().number == 2
    with pytest.raises(ConfigError, match="No attempt 7; there are 1, 2"):
        workspace.decoder(7)


def test_a_run_is_added_once(workspace, runs):
    with pytest.raises(DataError, match="is there already, as r1"):
        workspace.add_run(runs[0])


def test_runs_without_cues_or_with_other_channels_say_so(workspace, tmp_path):
    import neuro

    signal = Regular(np.ones((2, 5000), np.float32), 250, "uV", Axis(("C3", "Pz"), "eeg"), "eeg")
    bare = neuro.save(Recording({"eeg": signal}), tmp_path / "bare.h5")
    with pytest.raises(DataError, match="no cue of left, right; its events: none"):
        workspace.add_run(tmp_path / "bare.h5")
    del bare
    events = Events.make([1.0, 5.0], ["left", "right"])
    noise = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    other = Recording({"eeg": signal.__class__(noise, 250, "uV", signal.axis, "eeg")}, events)
    neuro.save(other, tmp_path / "other.h5")
    run = workspace.add_run(tmp_path / "other.h5")
    with pytest.raises(ContractError, match="'Cz' is not there"):
        workspace.extract()
    workspace.exclude(run.id)
    assert len(workspace.extract().labels) == 30


def test_connectivity_is_a_family_like_any_other(workspace):
    workspace.settings = Settings(plan=Plan(0.2, 1.5, 0.5, 0.1), family=Strength(fmin=8, fmax=20))
    trials = workspace.extract()
    assert trials.values.shape == (30, 4, 7)
    assert 0 <= trials.values.min() <= trials.values.max() <= 1


def test_what_is_no_workspace_is_refused(tmp_path, workspace):
    with pytest.raises(FileError, match=r"workspace\.json is missing"):
        Workspace.open(tmp_path / "nothing")
    with pytest.raises(FileError, match="exists and is not empty"):
        Workspace.create(workspace.folder)
    (workspace.folder / "workspace.json").write_text('{"format": "neuro-workspace/1"}')
    with pytest.raises(FileError, match="is damaged"):
        Workspace.open(workspace.folder)
    (workspace.folder / "workspace.json").write_text('{"format": ')
    with pytest.raises(FileError):
        Workspace.open(workspace.folder)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("runs", 0, "id"), "../../x"),
        (("runs", 0, "id"), "r2"),
        (("runs", 0, "sha256"), "../x"),
        (("runs", 0, "cues"), {"left": "many"}),
        (("runs", 0), "r1"),
        (("runs",), 5),
        (("classes",), [["left"]]),
        (("settings", "l_freq"), "low"),
        (("settings", "notch"), float("nan")),
        (("settings", "plan", "step_s"), 1e-12),
        (("settings", "ch_names"), [1, 2]),
        (("settings", "family"), {"family": "embedding", "output": "embedding", "identity": ".."}),
        (("choice",), {"n": "x"}),
        (("choice",), {"kind": "svm"}),
    ],
)
def test_a_hostile_workspace_is_one_error(workspace, path, value):
    file = workspace.folder / "workspace.json"
    told = at = json.loads(file.read_text())
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    file.write_text(json.dumps(told))
    with pytest.raises(FileError, match=r"^(workspace\.json.* is damaged|The network)"):
        Workspace.open(workspace.folder)


def test_a_hostile_attempt_is_one_error(workspace):
    workspace.train(("C3;12",))
    file = workspace.folder / "attempts" / "001" / "attempt.json"
    told = json.loads(file.read_text())
    for change in ({"number": 7}, {"scores": {}}, {"features": [1]}, {"seconds": "x"}, {"x": 1}):
        file.write_text(json.dumps(told | change))
        with pytest.raises(FileError, match=r"attempts/001/attempt\.json is damaged"):
            _ = workspace.attempts


def test_only_cues_make_trials_and_unusable_ones_train_nothing(workspace, tmp_path):
    import neuro

    recording = neuro.read(workspace.folder / "runs" / "r1.h5")
    x = recording.streams["eeg"].values().copy()
    x[:, 100:600] = np.nan  # the first trial
    first = recording.streams["eeg"]
    onset = np.concatenate([recording.events.onset_s, recording.events.onset_s + 0.1])
    kinds = [*recording.events.type, *["beep"] * 10]
    broken = Regular(x, 250, "uV", first.axis, "eeg")
    neuro.save(Recording({"eeg": broken}, Events.make(onset, kinds)), tmp_path / "b.h5")
    run = workspace.add_run(tmp_path / "b.h5")
    trials = workspace.extract([run.id])
    assert sorted(set(trials.labels.tolist())) == ["left", "right"]
    assert len(trials.labels) == 10
    assert workspace.train(("C3;12",)).scores["n_trials"] == 39


def test_runs_of_an_amplifier_with_its_own_clock_go_together(workspace, settings, tmp_path):
    from neuro.stream import Array, Chunk, Live, StreamInfo, XDFRecorder

    x = np.random.default_rng(0).standard_normal((4, 30_000))
    info = StreamInfo(("C3", "Cz", "C4", "O1"), 250, "uV")
    session = Workspace.create(tmp_path / "drift", classes=("left", "right"))
    session.settings = settings
    for i, rate in enumerate((250.025, 249.99, 250.0)):
        stamps = 7 + np.arange(30_000) / rate
        cues = tuple((float(stamps[700 * k]), ("left", "right")[k % 2]) for k in range(1, 41))
        with XDFRecorder(tmp_path / f"{i}.xdf", info) as recorder:
            recorder(Chunk(x + i, stamps, cues))
        session.add_run(tmp_path / f"{i}.xdf")
    assert session.info.sfreq == 250
    assert len(session.extract().labels) == 120
    session.train(("C3;12",))
    live = Live(Array(x[:, :2000], info, [(700, "left")]), session.decoder())
    assert [d.cue for d in live.run()] == ["left"]


def test_settings_are_the_same_wherever_they_are_written():
    settings = Settings(l_freq=1, h_freq=40.0, ch_names=("C3", "C4"), family=Power(fmax=30))
    again = Settings.from_json(settings.to_json())
    assert again.identity == settings.identity
    with pytest.raises(ConfigError, match="no field 'highpass'"):
        Settings.from_json({"highpass": 1})
    with pytest.raises(DataError, match="no run yet"):
        _ = Workspace(None, {"runs": []}).info


def test_a_session_without_runs_says_what_to_do(tmp_path):
    empty = Workspace.create(tmp_path / "empty")
    with pytest.raises(DataError, match="add one first"):
        empty.extract()
    with pytest.raises(DataError, match="Nothing has been trained"):
        empty.decoder()
