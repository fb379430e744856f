"""Static connectivity: known precision, effective samples, the reference library."""

import numpy as np
import pytest
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from neuro.connectivity import (
    TangentSpace,
    connectivity,
    correlation,
    correlation_test_matrix,
    effective_n_matrix,
    fisher_z,
    partial_correlation,
    precision,
    shrunk_correlation,
)
from neuro.connectivity.static import covariance
from neuro.errors import ConfigError, DataError
from neuro.stats import effective_n


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(3)
    mixing = rng.standard_normal((8, 8))
    return mixing @ rng.standard_normal((8, 300)) + 50


@pytest.fixture(scope="module")
def chain():
    """20 nodes in a chain whose links differ in strength, and 5,000 samples of it."""
    rng = np.random.default_rng(0)
    p = np.eye(20)
    links = np.where(np.arange(19) < 10, -0.49, -0.12)
    p[np.arange(19), np.arange(1, 20)] = p[np.arange(1, 20), np.arange(19)] = links
    x = np.linalg.cholesky(np.linalg.inv(p)) @ rng.standard_normal((20, 5000))
    return x, p != 0, -p + 2 * np.eye(20)


def nilearn_of(kind, estimator, x):
    measure = ConnectivityMeasure(cov_estimator=estimator, kind=kind, standardize=False)
    return measure.fit_transform([v.T for v in x])


@pytest.mark.parametrize(
    ("ours", "kind", "estimator"),
    [
        (correlation, "correlation", EmpiricalCovariance()),
        (shrunk_correlation, "correlation", LedoitWolf(store_precision=False)),
        (partial_correlation, "partial correlation", LedoitWolf(store_precision=False)),
        (lambda x: precision(x, "empirical"), "precision", EmpiricalCovariance()),
        (covariance, "covariance", LedoitWolf(store_precision=False)),
    ],
    ids=["pearson", "shrunk", "partial", "precision", "covariance"],
)
def test_equals_nilearn(series, ours, kind, estimator):
    np.testing.assert_allclose(ours(series), nilearn_of(kind, estimator, [series])[0], atol=1e-9)


def test_tangent_equals_nilearn(series):
    group = [series[:, k * 60 : (k + 1) * 60] for k in range(5)]
    found = TangentSpace().fit(group).transform(group)
    expected = nilearn_of("tangent", LedoitWolf(store_precision=False), group)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_tangent_mean_comes_from_the_training_group_alone(series):
    train = [series[:, k * 60 : (k + 1) * 60] for k in range(4)]
    test = series[:, 240:]
    space = TangentSpace().fit(train)
    before = space.mean.copy()
    alone = space.transform([test])
    np.testing.assert_array_equal(space.mean, before)
    np.testing.assert_allclose(space.transform([test, 3 * test])[0], alone[0], atol=1e-12)


def test_tangent_of_one_recording_is_refused(series):
    with pytest.raises(DataError, match="group of two or more"):
        TangentSpace().fit([series])


def test_partial_correlation_of_a_chain(chain):
    x, _, truth = chain
    # standard error 1 / sqrt(5000) = 0.014, largest of 190 pairs
    assert np.abs(partial_correlation(x) - truth).max() < 0.05


def test_graphical_lasso_finds_the_links_that_marginal_correlation_misses(chain):
    x, support, _ = chain
    upper = np.triu_indices(20, 1)
    true = support[upper]

    def f1(found):
        return 2 * (found & true).sum() / (found.sum() + true.sum())

    partial = np.abs(partial_correlation(x, "graphical_lasso"))[upper]
    marginal = np.abs(correlation(x))[upper]
    densest = np.sort(marginal)[-true.sum()]
    assert f1(partial > 0.05) > 0.95
    assert f1(marginal >= densest) < 0.95


def ar1(rng, n_series, n_times, phi=0.8):
    from scipy.signal import lfilter

    noise = rng.standard_normal((n_series, n_times + 100))
    return lfilter([1], [1, -phi], noise, axis=1)[:, 100:]


def test_effective_n_keeps_the_level_that_raw_n_loses():
    rng = np.random.default_rng(1)
    honest, naive = [], []
    for _ in range(40):
        x = ar1(rng, 8, 300)
        p = correlation_test_matrix(x).p[np.triu_indices(8, 1)]
        raw = correlation_test_matrix(x, max_lag=0).p[np.triu_indices(8, 1)]
        honest.append((p < 0.05).mean())
        naive.append((raw < 0.05).mean())
    # 1,120 pairs: standard error 0.007; the specification measured 0.056 and 0.355
    assert 0.035 < np.mean(honest) < 0.08
    assert np.mean(naive) > 0.3


def test_effective_n_equals_that_of_single_pairs():
    x = ar1(np.random.default_rng(2), 4, 200)
    found = effective_n_matrix(x)
    np.testing.assert_allclose(found, effective_n(x[:, None], x[None]), rtol=1e-10)


def test_effective_n_does_not_reach_across_a_gap():
    x = ar1(np.random.default_rng(2), 3, 400, phi=0.95)
    pieces = np.stack([np.arange(0, 400, 4), np.arange(4, 401, 4)], axis=1)
    whole = effective_n_matrix(x)[0, 1]
    cut = effective_n_matrix(x, segments=pieces)[0, 1]
    assert whole < 60  # phi 0.95: about 400 / 20
    assert cut > 2 * whole  # in pieces of four samples only lags up to three count


def test_fisher_z_has_a_zero_diagonal_and_stays_finite():
    z = fisher_z(np.array([[1.0, 1.0], [1.0, 1.0]]))
    assert np.diag(z).tolist() == [0.0, 0.0]
    assert 8 < z[0, 1] < 9


def test_offset_of_raw_bold_costs_no_digits():
    x = np.random.default_rng(0).standard_normal((3, 200))
    moved = (50 * x + 1e4).astype(np.float32)
    # float32 storage of 1e4 leaves 1e-3 of the signal, whatever is computed after
    np.testing.assert_allclose(correlation(moved), correlation(x), atol=1e-4)
    np.testing.assert_allclose(correlation(50 * x + 1e4), correlation(x), atol=1e-12)


def test_precision_after_an_average_reference_is_refused(series):
    with pytest.raises(DataError, match="rank 7: an average reference"):
        precision(series - series.mean(axis=0), "empirical")


def test_fewer_samples_than_rows_are_refused_by_the_empirical_precision(series):
    with pytest.raises(DataError, match="fewer samples than rows"):
        partial_correlation(series[:, :6], "empirical")


def test_unknown_estimator_names_the_nearest(series):
    with pytest.raises(ConfigError, match="Did you mean 'ledoit_wolf'"):
        covariance(series, "ledoit-wolf")


def test_pooled_trials_are_centred_one_by_one():
    rng = np.random.default_rng(0)
    trials = rng.standard_normal((20, 2, 50)) + 10 * rng.standard_normal((20, 1, 1))
    found = connectivity(trials, method="correlation", average="trials")
    # offsets shared by both rows would give nearly 1
    assert abs(found.values[0, 1]) < 0.1
    assert found.dims == ("source", "target")


# ---- recordings ------------------------------------------------------------------


def identified(first, second):
    """Share of people whose second vector is nearest to their own first."""
    return float((np.corrcoef(first, second)[: len(first), len(first) :].argmax(1)
                  == np.arange(len(first))).mean())  # fmt: skip


@pytest.mark.network
def test_hcp94_halves_identify_all_seven_people(dataset):
    halves = []
    for start, stop in ((0, 432), (432, 864)):
        parts = [r.slice(start, stop) for r in dataset("hcp94")]
        halves.append(connectivity(parts, method="correlation", stream="bold").vector())
    assert identified(*halves) == 1.0


@pytest.mark.network
def test_pain122_runs_identify_most_of_33_people(dataset):
    runs = {}
    for number in ("3", "7"):
        recordings = [r for r in dataset("pain122") if r.run == number]
        runs[number] = {
            r.subject: connectivity(r, method="correlation", stream="bold", bad="nan")
            for r in recordings
        }
    people = sorted(set(runs["3"]) & set(runs["7"]))
    every = [runs[k][s] for k in runs for s in people]
    seen = np.all([c.usable for c in every], axis=0)
    vectors = [
        np.stack([runs[k][s].select(nodes=seen).vector() for s in people]) for k in ("3", "7")
    ]
    assert len(people) in (32, 33)
    # 0.82 is on record; one person more or less is 0.03
    assert identified(*vectors) == pytest.approx(0.82, abs=0.07)


def test_bold_of_different_people_correlates_by_chance_this_much(dataset):
    """Null width on record: sd 0.075 and 95 % of |r| below 0.149 over full scans."""
    from neuro.signal import apply_filter, lowpass

    scans = {}
    for r in dataset("bold_difumo64"):
        scans.setdefault(r.subject, r)
    found = []
    rows = [apply_filter(r.stream("bold").values()[:, :567].astype(float), lowpass(0.15, 1 / 2.1))
            for r in list(scans.values())[:10]]  # fmt: skip
    for i in range(len(rows)):
        for j in range(i):
            both = correlation(np.concatenate([rows[i], rows[j]]))
            n = len(rows[i])
            found.append(np.diagonal(both[:n, n:]))
    r = np.concatenate(found)
    assert r.std() == pytest.approx(0.075, abs=0.008)
    assert np.quantile(np.abs(r), 0.95) == pytest.approx(0.149, abs=0.016)
