from pathlib import Path

import numpy as np
import pytest

from neuro.bci import Auto, auto_select, class_map, cross_validate, erd, r_squared
from neuro.bci.scores import judge
from neuro.errors import ConfigError, DataError
from neuro.stream import Table

ORACLE = Path(__file__).resolve().parents[2].parent / "shared" / "oracles" / "happyfeat" / "io.npz"
TABLE = Table(("C3", "Cz", "C4"), (8.0, 10.0, 12.0), "dB")


def trials(n1=17, n2=13, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n1 + n2, 3, 3))
    second = np.arange(n1 + n2) >= n1
    x[second, 0, 1] += 1.0
    return x, second


@pytest.fixture(scope="module")
def oracle():
    if not ORACLE.is_file():
        pytest.skip("../shared/oracles/happyfeat is not here")
    from neuro.io.safe import load_npz

    return load_npz(ORACLE)


def test_r2_is_the_squared_correlation_with_the_label():
    x, second = trials()
    expected = np.array([np.corrcoef(second, f)[0, 1] ** 2 for f in x.reshape(30, 9).T])
    np.testing.assert_allclose(r_squared(x, second).ravel(), expected, atol=1e-12)


def test_r2_is_eta_squared_of_an_analysis_of_variance():
    from scipy.stats import f_oneway

    x, second = trials()
    f = f_oneway(x[~second], x[second]).statistic
    np.testing.assert_allclose(r_squared(x, second), f / (f + 28), atol=1e-12)


def test_r2_knows_neither_scale_nor_order():
    x, second = trials()
    order = np.random.default_rng(1).permutation(30)
    changed = 1e6 + 1e-3 * x[order]
    np.testing.assert_allclose(r_squared(changed, second[order]), r_squared(x, second), atol=1e-6)


def test_a_constant_feature_explains_nothing():
    x, second = trials()
    x[:, 1] = 1 / 3
    x[:, 2] = 0
    assert (r_squared(x, second)[1:] == 0).all()
    constants = np.linspace(0.1, 7, 50)  # the mean of some is not the value they all have
    assert (constants - np.tile(constants, (30, 1)).mean(0) != 0).any()
    assert (r_squared(np.tile(constants, (30, 1)), second) == 0).all()


def test_r2_of_nothing_has_its_known_mean_and_tail():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 10_000))
    r2 = r_squared(x, np.arange(40) >= 20)
    assert r2.mean() == pytest.approx(1 / 39, rel=0.05)  # 4 standard errors of the mean are 0.056
    # 99 % quantile of the exact law, a beta distribution with 1/2 and 19 degrees
    assert np.quantile(r2, 0.99) == pytest.approx(0.1646, rel=0.06)


def test_equal_numbers_give_the_published_map(oracle):
    n = 13
    x = np.concatenate([oracle["r2_class1"][:n], oracle["r2_class2"][:n]])
    labels = ["1"] * n + ["2"] * n
    found = class_map(x, labels)
    np.testing.assert_allclose(found.r2, oracle["r2_equal_n"], rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(found.sign, oracle["r2_equal_n_sign"])
    # the original tests class 1 against class 2, so that its sign is the other one
    np.testing.assert_allclose(-found.z, oracle["wilcoxon_stat_equal_n"], rtol=1e-12)
    np.testing.assert_allclose(found.p, oracle["wilcoxon_p_equal_n"], rtol=1e-9)
    signed = found.r2 * np.sign(-found.z)
    np.testing.assert_allclose(signed, oracle["signed_r2_equal_n"], rtol=1e-12, atol=1e-15)


def test_unequal_numbers_use_all_trials_where_the_original_cuts(oracle):
    one, two = oracle["r2_class1"], oracle["r2_class2"]
    cut = class_map(np.concatenate([one[:13], two[:13]]), ["1"] * 13 + ["2"] * 13)
    np.testing.assert_allclose(cut.r2, oracle["r2_truncated"], rtol=1e-12, atol=1e-15)
    whole = class_map(np.concatenate([one, two]), ["1"] * 13 + ["2"] * 17)
    np.testing.assert_array_equal(whole.sign, oracle["r2_sign"])
    assert whole.n == (13, 17)
    assert np.abs(whole.r2 - cut.r2).max() > 0.01


def test_a_planted_desynchronisation_is_found():
    from neuro.stream import Power

    names = tuple(f"E{i}" for i in range(16))
    hits = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        t = np.arange(250) / 250
        x = rng.standard_normal((40, 16, 250))
        y = np.arange(40) % 2
        gain = np.where(y == 1, 0.6, 1.0)[:, None]
        x[:, 3] += gain * 2 * np.sin(2 * np.pi * 12 * t + rng.uniform(0, 6.28, (40, 1)))
        family = Power(fmin=6, fmax=30, order_s=0.1).fitted(names, 250, 250)
        values = np.stack([family.combine([family.window(w)]) for w in x])
        picked = auto_select(class_map(values, y.astype(str).tolist()).r2, family.table, 1)
        channel, freq = picked[0].split(";")
        hits += channel == "E3" and abs(float(freq) - 12) <= 1
    assert hits >= 19


class TestAutoSelect:
    r2 = np.array([[0.1, 0.9, 0.8], [0.3, 0.2, 0.1], [0.0, 0.1, 0.5]])

    def test_one_frequency_a_channel_best_first(self):
        assert auto_select(self.r2, TABLE, 3) == ("C3;10", "C4;12", "Cz;8")

    def test_band_and_channels(self):
        assert auto_select(self.r2, TABLE, 1, fmin=12, fmax=12) == ("C3;12",)
        assert auto_select(self.r2, TABLE, 2, fmin=11) == ("C3;12", "C4;12")
        assert auto_select(self.r2, TABLE, 2, ch_names=["cz", "C4"]) == ("C4;12", "Cz;8")

    def test_nothing_to_choose(self):
        with pytest.raises(ConfigError, match="Nothing to select"):
            auto_select(self.r2, TABLE, fmin=20)


class TestScores:
    def test_choosing_on_all_trials_flatters_noise(self):
        names = tuple(f"E{i}" for i in range(64))
        table = Table(names, tuple(float(f) for f in range(40)), "dB")
        quick, nested = [], []
        for seed in range(20):
            x = np.random.default_rng(seed).standard_normal((40, 64, 40))
            scores = cross_validate(x, ["a", "b"] * 20, table, features=Auto(3), seed=seed)
            quick.append(scores.quick)
            nested.append(scores.nested)
        assert np.mean(quick) > 0.7
        # a mean of twenty scores of forty trials each
        assert np.mean(nested) == pytest.approx(0.5, abs=0.08)

    def test_three_runs_are_the_folds(self):
        x, second = trials(30, 30)
        labels = np.where(second, "b", "a")
        order = np.random.default_rng(0).permutation(60)
        runs = np.repeat([1, 2, 3], 20)
        scores = cross_validate(x[order], labels[order].tolist(), TABLE, runs=runs.tolist())
        assert scores.n_folds == 3
        assert cross_validate(x, labels.tolist(), TABLE).n_folds == 10

    def test_unusable_trials_are_left_out(self):
        x, second = trials()
        x[3] = np.nan
        labels = np.where(second, "b", "a").tolist()
        assert cross_validate(x, labels, TABLE).n_trials == 29

    def test_folds_stay_with_their_trials_when_some_are_left_out(self):
        x, second = trials(30, 30)
        labels = np.where(second, "b", "a")
        order = np.random.default_rng(0).permutation(60)
        x, labels, runs = x[order], labels[order], np.repeat([1, 2, 3], 20)
        x[:7] = np.nan
        whole = cross_validate(x, labels.tolist(), TABLE, runs=runs.tolist())
        part = cross_validate(x[7:], labels[7:].tolist(), TABLE, runs=runs[7:].tolist())
        assert whole == part

    def test_kappa_of_unequal_classes(self):
        from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

        rng = np.random.default_rng(0)
        truth, said = rng.choice(["a", "b"], 90, p=[0.8, 0.2]), rng.choice(["a", "b"], 90)
        rate, _, kappa = judge(truth, said)
        assert rate == pytest.approx(balanced_accuracy_score(truth, said))
        assert kappa == pytest.approx(cohen_kappa_score(truth, said))

    def test_too_few_trials(self):
        with pytest.raises(DataError, match="four trials or more"):
            cross_validate(np.zeros((6, 3, 3)), ["a", "b"] * 3, TABLE)


def test_erd_is_a_percentage_of_the_baseline():
    power = np.array([[[2.0, 2.0, 1.0]], [[4.0, 4.0, 2.0]]])
    np.testing.assert_allclose(erd(power, np.array([True, True, False])), [[0, 0, -50]])
    with pytest.raises(DataError, match="before the cue"):
        erd(power, np.zeros(3, dtype=bool))


def test_a_map_needs_two_classes():
    x, _ = trials()
    with pytest.raises(DataError, match="Name two of the classes a"):
        class_map(x, ["a"] * 30)
    with pytest.raises(DataError, match="29 of 'a' and 1 of 'b'"):
        class_map(x, ["a"] * 29 + ["b"])
    x[0] = np.nan
    with pytest.raises(DataError, match="no usable window"):
        class_map(x, ["a", "b"] * 15)
