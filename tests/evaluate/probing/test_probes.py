import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from neuro.errors import ConfigError, DataError
from neuro.evaluate import Task
from neuro.evaluate.probing.fitting import build, fit_predict
from neuro.evaluate.probing.probes import (
    LogisticProbe,
    NeighboursProbe,
    PoissonDecoder,
    RidgeProbe,
    Rotated,
    inner_folds,
)

TWO = Task("classification", classes=("a", "b"))


def problem(n=60, d=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, d) + 3
    y = x[:, 0] / x[:, 0].std() + 0.5 * rng.normal(size=n)
    return x, y


def test_ridge_equals_scikit_learn_at_its_penalty():
    x, y = problem()
    probe = RidgeProbe().fit(x, y)
    z = (x - x.mean(0)) / x.std(0) / np.sqrt(x.shape[1])
    other = Ridge(alpha=probe.penalty_ * len(y)).fit(z, y)
    # two routes to the same normal equations
    np.testing.assert_allclose(probe.predict(x), other.predict(z), atol=1e-8)


def test_ridge_left_out_error_equals_refitting():
    x, y = problem(40, 15)
    probe = RidgeProbe()
    fold = np.arange(40) % 4
    probe.fit(x, y)
    z = (x - x.mean(0)) / x.std(0) / np.sqrt(x.shape[1])
    total = 0.0
    for k in range(4):
        other = Ridge(alpha=0.1 * 40).fit(z[fold != k], y[fold != k])
        total += ((other.predict(z[fold == k]) - y[fold == k]) ** 2).sum()
    assert probe._left_out(y[:, None], fold, 0.1) == pytest.approx(total, rel=1e-9)


def test_logistic_equals_scikit_learn_at_its_penalty():
    x, y = problem()
    label = (y > np.median(y)).astype(int)
    probe = LogisticProbe(2).fit(x, label)
    z = (x - x.mean(0)) / x.std(0) / np.sqrt(x.shape[1])
    other = LogisticRegression(C=probe.penalty_, tol=1e-8, max_iter=5000).fit(z, label)
    # lbfgs stops at a gradient of 1e-4
    np.testing.assert_allclose(probe.predict_proba(x), other.predict_proba(z), atol=2e-3)


def test_rotation_keeps_distances():
    x, _ = problem(30, 80)
    axes = Rotated(x)
    z = (x - x.mean(0)) / x.std(0) / np.sqrt(80)
    np.testing.assert_allclose(axes(x) @ axes(x).T, z @ z.T, atol=1e-9)


def test_constant_feature_is_ignored():
    x, y = problem(40, 5)
    x[:, 2] = 7.0
    probe = RidgeProbe().fit(x, y)
    moved = x.copy()
    moved[:, 2] = 1e6
    np.testing.assert_allclose(probe.predict(moved), probe.predict(x))


def test_inner_folds_never_divide_a_group():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 9, 100)
    fold = inner_folds(groups, rng.normal(size=100), 4, 0)
    assert all(len(np.unique(fold[groups == g])) == 1 for g in range(9))
    assert len(np.unique(fold)) == 4


def test_penalty_is_stronger_where_nothing_can_be_learned():
    chosen = {"noise": [], "signal": []}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(100, 50))
        chosen["noise"].append(LogisticProbe(2).fit(x, rng.integers(0, 2, 100)).penalty_)
        chosen["signal"].append(LogisticProbe(2).fit(x, (x[:, 0] > 0).astype(int)).penalty_)
    # scikit-learn's C: small is strong
    assert np.median(chosen["noise"]) <= 1.0 < np.median(chosen["signal"])


def test_class_missing_from_an_inner_fold_is_no_error():
    x, y = np.random.default_rng(0).normal(size=(12, 3)), np.array([0] * 11 + [1])
    assert LogisticProbe(2).fit(x, y).predict(x).shape == (12,)


def test_poisson_decoder_of_classes_follows_bayes():
    counts = np.array([[4, 0], [4, 0], [0, 4], [0, 4]])
    decoder = PoissonDecoder(TWO).fit(counts, np.array([0, 0, 1, 1]))
    assert decoder.predict(np.array([[3, 1], [1, 3]])).tolist() == [0, 1]
    # rates 4 (plus one count spread over the four windows and two units' classes) and nearly 0
    assert decoder.predict_proba(np.array([[2, 2]]))[0].tolist() == pytest.approx([0.5, 0.5])


def test_poisson_decoder_knows_the_seam_of_the_circle():
    rng = np.random.default_rng(1)
    task = Task("circular", period=360)
    angle = rng.uniform(-180, 180, 3000)
    prefer = np.arange(12) * 30.0
    rate = 3 * np.exp(4 * (np.cos(np.radians(angle[:, None] - prefer)) - 1))
    counts = rng.poisson(rate)
    decoder = PoissonDecoder(task).fit(counts[:2000], angle[:2000])
    near = np.abs(angle[2000:]) > 160
    error = np.abs(task.wrapped(decoder.predict(counts[2000:]) - angle[2000:]))
    # with three counts at the peak of twelve units the Fisher bound is near 10 degrees
    assert np.median(error[near]) < 15


def test_negative_counts_are_refused():
    with pytest.raises(DataError, match="negative"):
        PoissonDecoder(TWO).fit(np.array([[-1.0], [2.0]]), np.array([0, 1]))


def test_angle_by_ridge():
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, 300)
    x = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.normal(size=(300, 2))
    task = Task("circular")
    model = build("ridge", task)
    said = fit_predict(model, task, x[:200], angle[:200], np.arange(200), x[200:])
    assert np.median(np.abs(task.wrapped(said.label - angle[200:]))) < 0.15


def test_features_that_are_not_finite_are_named():
    x = np.ones((4, 2))
    x[1, 0] = np.nan
    with pytest.raises(DataError, match="1 training windows are not finite"):
        fit_predict(build("lda", TWO), TWO, x, np.array([0, 1, 0, 1]), np.arange(4), x[:1])


class Liar:
    def __init__(self, answer):
        self.answer = answer

    def fit(self, x, y):
        return self

    def predict(self, x):
        return self.answer


@pytest.mark.parametrize("answer", [np.array([0, 1, 2]), np.array([0.5, 1.0]), np.array([0, 7])])
def test_what_is_no_prediction_is_refused(answer):
    x, y = np.eye(2), np.array([0, 1])
    with pytest.raises(DataError, match="predictions"):
        fit_predict(Liar(answer), TWO, x, y, np.arange(2), x)


def test_names_of_estimators():
    with pytest.raises(ConfigError, match="use 'ridge'"):
        build("lda", Task("regression"))
    with pytest.raises(ConfigError, match="'nearest'"):
        build("neares", TWO)


@pytest.mark.parametrize("n", [12, 200])
def test_lda_is_that_of_scikit_learn(n):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x, y = problem(n, 20)
    label = (y > np.median(y)).astype(int)
    mine = build("lda", TWO).fit(x, label)
    other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x, label)
    np.testing.assert_allclose(mine.predict_proba(x), other.predict_proba(x), atol=1e-9)


def test_lda_of_one_window_a_class_is_the_nearest():
    x = np.array([[0.0, 0.0], [4.0, 0.0]])
    assert build("lda", TWO).fit(x, np.array([0, 1])).predict(x + 1.5).tolist() == [0, 1]
    three = build("lda", TWO).fit(np.array([[0.0], [0.2], [4.0]]), np.array([0, 0, 1]))
    assert three.predict(np.array([[0.3], [3.0]])).tolist() == [0, 1]


def test_neighbours_are_asked_by_direction_and_their_number_is_chosen():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    clear = np.where(y == 1, 3.0, -3.0)[:, None] * [1.0, 0.5] + rng.normal(size=(120, 2))
    blurred = np.where(y == 1, 0.4, -0.4)[:, None] * [1.0, 0.5] + rng.normal(size=(120, 2))
    probe = NeighboursProbe(2).fit(blurred, y)
    assert probe.k_ == 20
    assert (NeighboursProbe(2).fit(clear[:80], y[:80]).predict(clear[80:]) == y[80:]).all()
    # only the direction counts
    np.testing.assert_array_equal(
        probe.predict(blurred), NeighboursProbe(2).fit(10 * blurred, y).predict(10 * blurred)
    )


def test_neighbours_of_values():
    x = np.linspace(-1, 1, 60)[:, None] * [1.0, 0.0] + [0.0, 1.0]
    x[:, 1] = np.cos(x[:, 0])
    y = x[:, :1] * [1.0, 2.0]
    said = NeighboursProbe().fit(x[::2], y[::2]).predict(x[1::2])
    assert said.shape == (30, 2)
    assert np.corrcoef(said[:, 1], y[1::2, 1])[0, 1] > 0.8


def test_lengths_that_do_not_match():
    with pytest.raises(DataError, match="3 training rows, 2 targets"):
        fit_predict(
            build("lda", TWO), TWO, np.ones((3, 2)), np.array([0, 1]), np.arange(3), np.ones((1, 2))
        )


def test_features_that_never_vary_give_the_most_frequent_class_and_the_mean():
    x, y = np.full((20, 3), 5.0), np.array([0] * 14 + [1] * 6)
    probe = LogisticProbe(2).fit(x, y)
    assert probe.predict(x).tolist() == [0] * 20
    assert probe.predict_proba(x)[0, 1] == pytest.approx(0.3, abs=1e-3)
    np.testing.assert_allclose(RidgeProbe().fit(x, y).predict(x), 0.3)


def test_the_larger_class_does_not_win_the_vote():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 4)), (np.arange(300) % 3 == 0).astype(int)
    said = NeighboursProbe(2).fit(x, y)
    said.k_ = 20
    # unweighted, twenty neighbours of which a third are of class 1 hardly ever elect it
    assert 0.3 < said.predict(rng.normal(size=(300, 4))).mean() < 0.7
