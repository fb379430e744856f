"""Input that cannot give an honest number: an error that says so, or a documented value."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

from neuro.errors import DataError, LeakageError
from neuro.evaluate import Mean, Results, Split, Task, evaluate
from neuro.evaluate.probing.fitting import fit_predict

TWO = Task("classification", classes=("a", "b"))
QUICK = {"controls": (), "seeds": 1, "floors": ["constant"]}


@pytest.fixture
def patients(trials):
    """Four people; the target is a diagnosis, the same in all their windows."""
    w = trials(subjects=4, n=12)
    sick = np.array([0.0, 1.0, 0.0, 1.0])[w.recording]
    return replace(w, target=sick, classes=("well", "ill"))


def test_a_diagnosis_is_not_read_inside_the_people_it_was_learned_from(patients):
    with pytest.raises(LeakageError, match="recognising the subject answers it"):
        evaluate(None, patients, split=Split("block", n=3), **QUICK)
    evaluate(None, patients, split=Split("subject", n=2), **QUICK)


def test_forced_identity_leak_is_stamped(patients):
    results = evaluate(None, patients, split=Split("block", n=3), allow_leakage=True, **QUICK)
    assert all(r.leaky for r in results.rows)
    assert "subject" in results.meta["proof"]["identity"]
    assert any("recognising the subject" in c for c in results.meta["cautions"])


def test_age_inside_people_is_refused_as_well(patients):
    years = np.array([20.0, 40.0, 50.0, 70.0])[patients.recording]
    aged = replace(patients, target=years, classes=None)
    with pytest.raises(LeakageError, match="subject"):
        evaluate(None, aged, split=Split("block", n=3), **QUICK)


def test_telling_people_apart_is_not_mistaken_for_it(patients):
    names = tuple(f"{i:02d}" for i in range(4))
    who = replace(patients, target=patients.recording.astype(float), classes=names)
    assert evaluate(None, who, split=Split("block", n=3), **QUICK).row("constant").chance == 0.25


class Says:
    """Fits nothing and says what it is told."""

    def __init__(self, label=0, score=None, length=0):
        self.label, self.score, self.length = label, score, length

    def fit(self, x, y):
        return self

    def predict(self, x):
        return np.full(len(x) + self.length, self.label)


class Scores(Says):
    def decision_function(self, x):
        out = np.zeros(len(x))
        out[::2] = self.score
        return out


def test_scores_that_are_not_numbers(trials):
    with pytest.raises(DataError, match=r"decision_function is not finite for 5 of 10"):
        evaluate({"m": Scores(score=np.nan)}, trials(), split=Split("block", n=4), **QUICK)


def test_predictions_that_are_not_numbers(ramp):
    with pytest.raises(DataError, match="not finite"):
        evaluate({"m": Says(np.nan)}, ramp, split=Split("time", n=3), **QUICK)


def test_too_many_predictions(trials):
    with pytest.raises(DataError, match=r"shape \(11,\) for 10 test windows"):
        evaluate({"m": Says(length=1)}, trials(), split=Split("block", n=4), **QUICK)


def test_features_of_another_length(trials):
    def features(batch):
        return np.ones((len(batch) + 1, 2))

    with pytest.raises(DataError, match="windows"):
        evaluate({"m": (features, Says())}, trials(), split=Split("block", n=4), **QUICK)


def test_label_that_training_never_showed(trials):
    with pytest.raises(DataError, match="class numbers 0 to 1"):
        evaluate({"m": Says(7)}, trials(), split=Split("block", n=4), **QUICK)


def test_constant_predictions_have_r_zero_and_are_counted(ramp):
    row = evaluate({"m": Says(3.0)}, ramp, split=Split("time", n=3), **QUICK).row("m", "r")
    assert (row.value, row.lo, row.hi, row.n_constant) == (0.0, 0.0, 0.0, 3)


def test_fewer_subjects_than_folds(trials):
    with pytest.raises(DataError, match="3 independent units"):
        evaluate(None, trials(subjects=3, n=6), split=Split("subject", n=5), **QUICK)


def test_one_class_in_every_fold(trials):
    w = trials()
    with pytest.raises(DataError, match="only class"):
        evaluate(None, w.select(w.target == 1), split=Split("block", n=4), **QUICK)


def test_nothing_is_written_where_input_is_refused(patients, tmp_path):
    with pytest.raises(LeakageError):
        evaluate(None, patients, split=Split("block", n=3), out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_searches_inside_training_divide_no_unit(trials):
    """Twenty copies of a trial: the nearest window is always one of its own."""
    w = trials(0.0, n=24)
    x, y, trial = (np.tile(a, (20,) + (1,) * (a.ndim - 1)) for a in (
        Mean()(w.batch()), w.target.astype(int), w.block
    ))  # fmt: skip
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1]}, cv=4)
    assert search.fit(x, y).best_score_ == 1.0
    fit_predict(search, TWO, x, y, trial, x[:1])
    # without copies of a trial on both sides it is luck; 24 trials leave it below 0.8
    assert search.best_score_ < 0.8


def test_folds_the_user_gave_are_kept():
    from sklearn.model_selection import KFold

    own = KFold(3)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=own)
    y = np.arange(12) % 2
    fit_predict(search, TWO, np.arange(24.0).reshape(12, 2), y, np.arange(12), np.zeros((1, 2)))
    assert search.cv is own


def test_results_of_forced_leaks_survive_the_file(patients, tmp_path):
    results = evaluate(
        None, patients, split=Split("block", n=3), allow_leakage=True, out=tmp_path, **QUICK
    )
    assert Results.from_json(tmp_path / "results.json") == results
