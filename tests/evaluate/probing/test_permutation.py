import time

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neuro.errors import ConfigError, DataError
from neuro.evaluate import permutation_score
from neuro.evaluate.probing.permutation import PENALTIES
from neuro.evaluate.probing.probes import RidgeProbe
from neuro.stats import permute_blocks, permute_labels


def data(n=60, d=90, seed=0, classes=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * rng.uniform(0.1, 10, d) + rng.standard_normal(d)
    if classes:
        return x, rng.permutation(np.arange(n) % classes)
    return x, x[:, :4] @ rng.standard_normal(4) + rng.standard_normal(n)


FOLDS = list(KFold(5).split(np.zeros(60)))


def drawn(y, groups=None, blocks=None, n=15, seed=7):
    """The shuffles that permutation_score draws, with folds given and no inner choice to deal."""
    rng = np.random.default_rng(seed)
    for train, _ in FOLDS:  # inner folds are dealt first
        rng.permutation(len(train) if blocks is None else len(np.unique(blocks[train])))
    if blocks is not None:
        return permute_blocks(y, blocks, n=n, seed=rng, groups=groups)
    return permute_labels(y, n=n, seed=rng, groups=groups)


def sklearn_ridge(penalty, n, d):
    return make_pipeline(StandardScaler(), Ridge(alpha=penalty * n * d))


def test_correlation_equals_refitting_by_scikit_learn():
    x, y = data()
    found = permutation_score(x, y, seed=7, folds=FOLDS, n=15, metric="r2", penalty=0.03)
    model = sklearn_ridge(0.03, 48, 90)
    expected = [cross_val_score(model, x, v, cv=FOLDS).mean() for v in (y, *drawn(y))]
    # two ways to solve one system of equations
    np.testing.assert_allclose([found.score, *found.null], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("classes", [2, 5])
def test_classes_equal_refitting_by_scikit_learn(classes):
    x, y = data(classes=classes, seed=1)
    found = permutation_score(x, y, seed=7, folds=FOLDS, n=15, penalty=0.01)
    for value, labels in zip([found.score, *found.null], (y, *drawn(y)), strict=True):
        scores = []
        for train, test in FOLDS:
            model = sklearn_ridge(0.01, len(train), 90)
            model.fit(x[train], np.eye(classes)[labels[train]])
            said = model.predict(x[test]).argmax(1)
            seen = labels[test]
            scores.append(np.mean([(said[seen == c] == c).mean() for c in np.unique(seen)]))
        assert value == np.mean(scores)


def test_choice_of_the_penalty_equals_refitting_every_inner_fold():
    x, y = data(seed=2)
    penalties = (0.001, 0.03, 1.0)
    found = permutation_score(x, y, seed=7, folds=FOLDS, n=6, metric="r2", penalty=penalties)
    rng = np.random.default_rng(7)
    inner = [rng.permutation(len(train)) % 4 for train, _ in FOLDS]
    for value, target in zip([found.score, *found.null], (y, *drawn(y, n=6)), strict=True):
        scores = []
        for (train, test), part in zip(FOLDS, inner, strict=True):
            # features are scaled on the whole training part, as in the probe
            scaler = StandardScaler().fit(x[train])
            z, v = scaler.transform(x[train]), target[train]
            error = []
            for p in penalties:
                error.append(0.0)
                for k in range(4):
                    # without the fold, at the penalty of the whole training part
                    a, m = z[part != k], v[part != k]
                    one = Ridge(alpha=p * len(train) * 90).fit(a, m)
                    error[-1] += ((one.predict(z[part == k]) - v[part == k]) ** 2).sum()
            best = penalties[int(np.argmin(error))]
            model = Ridge(alpha=best * len(train) * 90).fit(z, v)
            scores.append(r2_score(target[test], model.predict(scaler.transform(x[test]))))
        assert value == pytest.approx(np.mean(scores), rel=1e-9)


def test_equals_the_ridge_probe_at_its_penalty():
    x, y = data(seed=3)
    train, test = FOLDS[0]
    probe = RidgeProbe().fit(x[train], y[train])
    found = permutation_score(
        x, y, seed=0, folds=[FOLDS[0]], n=1, metric="r2", penalty=probe.penalty_
    )
    assert found.score == pytest.approx(r2_score(y[test], probe.predict(x[test])), rel=1e-9)


def test_groups_and_blocks_are_exchanged_as_asked():
    x, y = data(classes=2, seed=4)
    blocks = np.arange(60) // 4
    y = y[blocks * 4]  # one label a block
    groups = blocks // 5
    found = permutation_score(
        x, y, seed=7, folds=FOLDS, blocks=blocks, groups=groups, n=15, penalty=0.01
    )
    for value, labels in zip(found.null, drawn(y, groups, blocks), strict=True):
        scores = []
        for train, test in FOLDS:
            said = sklearn_ridge(0.01, len(train), 90).fit(x[train], labels[train]).predict(x[test])
            seen = labels[test]
            scores.append(np.mean([((said > 0.5)[seen == c] == c).mean() for c in np.unique(seen)]))
        assert value == pytest.approx(np.mean(scores))
    assert found.shuffled == "blocks inside groups"


@pytest.mark.slow
def test_keeps_its_level_where_nothing_is_to_be_found():
    p = []
    for run in range(1000):
        rng = np.random.default_rng(run)
        x, y = rng.standard_normal((24, 12)), rng.permutation(np.arange(24) % 2)
        p.append(permutation_score(x, y, seed=run, folds=3, n=39, penalty=(0.01, 0.1, 1.0)).p)
    # 2 of 40 draws is 5 %; equal scores count against the data, which costs a little
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07


@pytest.mark.slow
def test_blocks_keep_the_level_that_single_windows_break():
    whole, single = [], []
    blocks = np.arange(64) // 8
    for run in range(1000):
        rng = np.random.default_rng(run)
        # windows of a block resemble each other in features and share their value
        x = rng.standard_normal((8, 10))[blocks] + 0.5 * rng.standard_normal((64, 10))
        y = rng.standard_normal(8)[blocks]
        folds = [(np.flatnonzero(np.arange(64) % 4 != k), np.flatnonzero(np.arange(64) % 4 == k))
                 for k in range(4)]  # fmt: skip
        common = {"seed": run, "n": 39, "penalty": 0.1, "metric": "r", "folds": folds}
        whole.append(permutation_score(x, y, blocks=blocks, **common).p)
        single.append(permutation_score(x, y, **common).p)
    assert 0.03 <= np.mean(np.array(whole) <= 0.05) <= 0.07
    assert np.mean(np.array(single) <= 0.05) > 0.9  # windows of a block on both sides


def test_effect_and_no_effect():
    x, y = data(seed=5)
    assert permutation_score(x, y, seed=0, n=199).p == 0.005
    noise = np.random.default_rng(6).standard_normal(60)
    assert permutation_score(x, noise, seed=0, n=199).p > 0.05
    x[:, 0] += 5 * np.arange(60) % 2
    named = np.array(["a", "b"])[np.arange(60) % 2]
    assert permutation_score(x, named, seed=0, n=199).metric == "balanced_accuracy"


def test_large_null_is_computed_in_parts(monkeypatch):
    import neuro.evaluate.probing.permutation as module

    x, y = data(classes=3, seed=8)
    whole = permutation_score(x, y, seed=0, n=50)
    monkeypatch.setattr(module, "_AT_ONCE", 1000)
    parts = permutation_score(x, y, seed=0, n=50)
    np.testing.assert_array_equal(whole.null, parts.null)


def test_folds_keep_groups_whole():
    from neuro.evaluate.probing.permutation import _folds

    groups = np.repeat(np.arange(10), 6)
    for train, test in _folds(5, 60, groups, np.random.default_rng(0)):
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 60


@pytest.mark.slow
def test_a_thousand_shuffles_cost_less_than_three_times_fifty_fits():
    x, y = data(500, 1000, seed=9)
    begin = time.process_time()
    for k in range(5):
        RidgeProbe().fit(x + k, y)  # + k: the probe remembers what it has decomposed
    fit = (time.process_time() - begin) / 5
    begin = time.process_time()
    permutation_score(x, y, seed=0, n=1000, penalty=PENALTIES)
    assert time.process_time() - begin < 3 * 50 * fit


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"x": np.full((60, 3), np.nan)}, DataError, "60 rows are not finite"),
        ({"x": np.zeros((9, 3))}, DataError, "n_windows"),
        ({"metric": "auc"}, ConfigError, "No metric 'auc'"),
        ({"metric": "accuracy"}, DataError, "60 classes in 60 windows"),
        ({"folds": 100}, ConfigError, "folds=100"),
        ({"folds": [(np.arange(40), np.arange(30, 60))]}, DataError, "overlap"),
        ({"folds": [(np.arange(40), [77])]}, DataError, "outside 0 to 59"),
        ({"folds": []}, DataError, "no fold"),
        ({"n": 0}, ConfigError, "n=0"),
        ({"penalty": -1.0}, ConfigError, "penalty=-1"),
        ({"groups": np.arange(60)}, DataError, "constant inside"),
        ({"y": np.ones(60)}, DataError, "constant"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_bad_input_says_what_is_wrong(changes, error, match):
    x, y = data()
    with pytest.raises(error, match=match):
        permutation_score(**{"x": x, "y": y, "seed": 0, "n": 9} | changes)


def test_a_class_in_one_block_leaves_a_training_part_constant():
    x, y = data(classes=2)
    y = (np.arange(60) >= 30).astype(int)
    folds = [(np.arange(30), np.arange(30, 60))]
    with pytest.raises(DataError, match="constant in the training part"):
        permutation_score(x, y, seed=0, folds=folds, n=9)
