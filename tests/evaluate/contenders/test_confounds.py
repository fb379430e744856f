from dataclasses import replace

import numpy as np
import pytest

from neuro.data import Axis, Events, Recording, Regular, windows
from neuro.errors import ConfigError, DataError
from neuro.evaluate import Confounds, Floor, Mean, Split, evaluate
from neuro.evaluate.contenders.confounds import without_signal


@pytest.fixture
def restless():
    """Six people; they move more in one condition, and the signal holds nothing."""
    rng = np.random.default_rng(0)
    recordings = []
    for s in range(6):
        kind = np.array(["still", "moving"])[rng.permutation(np.arange(20) % 2)]
        eeg = Regular(rng.normal(size=(3, 20 * 50)), 50, "uV", Axis(["a", "b", "c"], "eeg"), "eeg")
        motion = 0.1 + np.repeat(kind == "moving", 10) + 0.2 * rng.random(200)
        streams = {
            "eeg": eeg,
            "motion": Regular(motion[None], 10, "mm", Axis(["fd"], "misc"), "physio"),
        }
        events = Events.make(np.arange(20.0), kind, duration_s=1.0, block=np.arange(20))
        recordings.append(
            Recording(
                streams,
                events,
                dataset=f"site {s % 2}",
                subject=f"{s}",
                age=20 + s,
                sex="mf"[s % 2],
            )
        )
    return windows(recordings, stream="eeg", length_s=1.0, align="*", label="type")


def test_motion_gives_the_condition_away(restless):
    results = evaluate(
        {"mean": (Mean(), Coin())}, restless, split=Split("subject", n=3), seeds=1,
        controls=("confounds",), floors=["constant"],
    )  # fmt: skip
    row = results.row("confounds", control="no_signal")
    assert row.value > 0.95
    assert row.kind == "control"
    told = {c.role: c for c in results.comparisons}
    assert told["no signal"].against == "confounds, no signal"
    assert told["no signal"].verdict == "below"


class Coin:
    def fit(self, x, y):
        return self

    def predict(self, x):
        return np.arange(len(x)) % 2


def test_without_motion_nothing_is_left(restless):
    results = evaluate(
        None, restless, split=Split("subject", n=3), seeds=1, floors=["constant"],
        controls=[Confounds(("age", "sex", "time", "dataset"))],
    )  # fmt: skip
    row = results.row("confounds", control="no_signal")
    assert row.lo < 0.5 < row.hi


def test_what_the_table_holds(restless):
    table = Confounds(("age", "sex", "dataset", "motion")).of_windows(restless)
    assert table.shape == (120, 1 + 1 + 2 + 3)
    assert np.unique(table[:, 0]).tolist() == [20, 21, 22, 23, 24, 25]
    assert np.array_equal(table[:, 1], 1.0 - np.arange(120) // 20 % 2)
    motion = restless.recordings[0].regular("motion").values()[0]
    np.testing.assert_allclose(table[3, 4], motion[30:40].mean(), rtol=1e-6)
    np.testing.assert_allclose(table[3, 5], motion[30:40].std(), rtol=1e-5)
    np.testing.assert_allclose(table[3, 6], np.abs(np.diff(motion[30:40])).max(), rtol=1e-5)


def test_what_is_unknown_becomes_a_column_of_its_own(restless):
    recs = [r.replace(age=None) if i == 2 else r for i, r in enumerate(restless.recordings)]
    table = Confounds("age").of_windows(replace(restless, recordings=tuple(recs)))
    gone = restless.recording == 2
    assert np.array_equal(table[:, 1] == 1, gone)
    assert (table[gone, 0] == 0).all()


def test_by_default_everything_known_that_varies(restless):
    # age, sex, time, two sites, motion (3); no missing samples, one run each
    assert Confounds().of_windows(restless).shape == (120, 1 + 1 + 1 + 2 + 3)


def test_own_functions(restless):
    table = Confounds((lambda rec, a, b: [a, rec.age],)).of_windows(restless)
    assert table[21].tolist() == [1.0, 21.0]


def test_other_motion_is_computed_anew(restless, tmp_path):
    options = {
        "split": Split("subject", n=3), "seeds": 1, "floors": ["constant"],
        "controls": [Confounds("motion")], "out": tmp_path,
    }  # fmt: skip
    first = evaluate(None, restless, **options).row("confounds", control="no_signal")
    still = tuple(
        r.with_stream(
            "motion", replace(r.regular("motion"), data=np.zeros((1, 200), np.float32)), "still"
        )
        for r in restless.recordings
    )
    again = evaluate(None, replace(restless, recordings=still), **options)
    assert first.value > 0.9
    assert again.row("confounds", control="no_signal").value == pytest.approx(0.5)


def test_a_channel_of_the_windows_themselves(restless):
    table = Confounds("b").of_windows(restless)
    x = restless.batch([7]).x[0, 1].numpy()
    np.testing.assert_allclose(table[7], [x.mean(), x.std()], rtol=1e-5)


def test_unknown_confound_names_the_nearest(restless):
    with pytest.raises(ConfigError, match="'motion'"):
        Confounds("moton").of_windows(restless)


def test_nothing_known(trials):
    w = trials()
    with pytest.raises(DataError, match="no confound that varies"):
        Confounds().of_windows(w.select([0]))


@pytest.fixture
def scans():
    """Eight people at two sites, one scan each; patients move more, the signal holds nothing."""
    rng = np.random.default_rng(1)
    recordings = []
    for s in range(8):
        patient = s % 4 > 1
        bold = Regular(rng.normal(size=(4, 120)), 0.5, "z", Axis("abcd", "roi"), "bold")
        fd = 0.1 + 0.3 * patient + 0.05 * rng.random((1, 120))
        motion = Regular(fd, 0.5, "mm", Axis(["fd"], "motion"), "physio")
        recordings.append(
            Recording(
                {"bold": bold, "motion": motion},
                dataset="d",
                subject=f"{s}",
                age=20 + s,
                sex="FM"[s % 2],
                site="AB"[s % 2],
                group=("control", "patient")[patient],
            )
        )
    return windows(recordings, stream="bold", length_s=40, label="group")


def test_fmri_is_held_against_what_is_known_without_signal(scans):
    results = evaluate(None, scans, split=Split("subject", n=4), seeds=1, controls=())
    silent = ("phenotype_only", "motion_only", "site_only")
    assert [r.kind for r in results.rows if r.model in silent and r.metric == "accuracy"] == [
        "floor"
    ] * 3
    assert results.row("motion_only").value == 1.0
    assert results.best_floor().model == "motion_only"
    # sex and site are balanced between the groups
    assert results.row("site_only").value < 0.7
    assert "motion_only: no signal, motion (3 columns) + logistic" in results.meta["floors"]


def test_what_is_predicted_is_no_floor_of_itself(scans):
    named = without_signal(scans)
    assert {k: v.values.shape[1] for k, v in named.items()} == {
        "phenotype_only": 2, "motion_only": 3, "site_only": 2,
    }  # fmt: skip
    recs = list(scans.recordings)
    sex = windows(recs, stream="bold", length_s=40, label="sex")
    age = windows(recs, stream="bold", length_s=40, label="age")
    site = windows(recs, stream="bold", length_s=40, label="site")
    assert repr(without_signal(sex)["phenotype_only"]) == "no signal, age (1 columns)"
    assert repr(without_signal(age)["phenotype_only"]) == "no signal, sex (1 columns)"
    assert "site_only" not in without_signal(site)


def test_facts_that_are_unknown_or_alike_give_no_floor(scans):
    bare = [r.replace(age=None, sex="F", site="") for r in scans.recordings]
    bare = [replace(r, streams={"bold": r.streams["bold"]}) for r in bare]
    assert without_signal(windows(bare, stream="bold", length_s=40, label="group")) == {}


def test_global_signal_is_not_taken_off_what_has_none(scans):
    still = Floor("motion_only", without_signal(scans)["motion_only"], "logistic")
    results = evaluate(
        None, scans, split=Split("subject", n=4), seeds=1, controls=("global_signal_removed",),
        floors=["mean", still],
    )  # fmt: skip
    assert [r.model for r in results.rows if r.control == "global_signal_removed"][:1] == ["mean"]
    assert "motion_only" not in {r.model for r in results.rows if r.control}


def test_sites_of_the_recordings_are_left_out_one_by_one(scans):
    results = evaluate(
        None, scans, split=Split("site", n="leave-one-out"), seeds=1, controls=(), floors=["mean"]
    )
    assert results.row("mean").n_folds == 2
    assert results.meta["split"] == "leave one site out"
    # two sites are too few to resample
    assert any("within 2 sites" in text for text in results.meta["cautions"])
