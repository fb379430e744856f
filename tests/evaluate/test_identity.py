import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from neuro.data import Axis, Recording, Regular, windows
from neuro.errors import DataError
from neuro.evaluate import Mean, Split, evaluate, subject_identity


def people(apart, n_runs=1, n=4, seed=0):
    """Each with an offset of their own; the target is noise."""
    rng = np.random.default_rng(seed)
    recordings = []
    for s in range(n):
        offset = apart * rng.normal(size=(3, 1))
        for run in range(n_runs):
            x = offset + rng.normal(size=(3, 600))
            eeg = Regular(x, 20, "uV", Axis(["a", "b", "c"], "eeg"), "eeg")
            recordings.append(Recording({"x": eeg}, dataset="d", subject=f"{s:02d}", run=f"{run}"))
    return windows(recordings, stream="x", length_s=1, label=lambda r, a, b: round(a) % 2 * 1.0)


@pytest.mark.parametrize("n_runs", [1, 2, 3])
def test_people_with_a_trait_are_told_apart_and_those_without_are_not(n_runs):
    def of(apart):
        w = people(apart, n_runs)
        return subject_identity(
            {"nb": (Mean(), GaussianNB())}, w, floors=["constant"], controls=(), seeds=1
        ).row("nb")

    told, luck = of(3.0), of(0.0)
    assert told.value > 0.9
    assert told.chance == 0.25
    assert luck.value < 0.5


def test_halves_are_runs_where_there_are_runs():
    results = subject_identity(None, people(1.0, 3), floors=["mean"], controls=(), seeds=1)
    shared = results.meta["proof"]["folds_that_share"]
    assert (shared["run"], shared["subject"]) == (0, 1)
    # the third of three runs
    assert results.row("mean").n_test == 4 * 30


def test_it_stands_in_the_report_of_a_run(tmp_path):
    results = evaluate(
        {"nb": (Mean(), GaussianNB())}, people(3.0, 2), split=Split("subject", n=2), seeds=1,
        task="regression", floors=["constant"], controls=("subject_identity",), out=tmp_path,
    )  # fmt: skip
    facts = {f["model"]: f for f in results.meta["subject_identity"]}
    assert facts["nb"]["value"] > 0.9
    assert facts["nb"]["chance"] == 0.25
    assert any("can be told from 'nb'" in c for c in results.meta["cautions"])
    assert "can be told from" in (tmp_path / "report.html").read_text()


def test_one_person_cannot_be_told_apart():
    with pytest.raises(DataError, match="two"):
        subject_identity(None, people(1.0, 2, n=1))


def test_a_run_says_so_before_it_computes_anything(tmp_path):
    with pytest.raises(DataError, match="two"):
        evaluate(
            None, people(1.0, 4, n=1), split=Split("run", n=2), task="regression",
            controls="subject_identity", out=tmp_path / "run",
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_people_must_be_known():
    w = people(1.0)
    from dataclasses import replace

    recs = tuple(r.replace(subject="") for r in w.recordings)
    with pytest.raises(DataError, match="subject"):
        subject_identity(None, replace(w, recordings=recs))
