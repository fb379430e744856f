"""Correlations per scan, their nulls, and what the global signal explains."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuro.errors import DataError
from neuro.evaluate.crossmodal import (
    cross_correlations,
    global_removed,
    nulls,
    scan_r,
    whole_scan,
)
from neuro.stats import correlation_test

DIFUMO = Path(__file__).parents[4] / "shared" / "data" / "bold_difumo64.npz"


def _slow(rng: np.random.Generator, n: int, n_rois: int = 2, keep: float = 0.8) -> Any:
    out = np.zeros((n, n_rois))
    for t in range(1, n):
        out[t] = keep * out[t - 1] + rng.standard_normal(n_rois)
    return out


def test_scans_are_never_joined_end_to_end() -> None:
    rng = np.random.default_rng(0)
    true = [_slow(rng, 100) for _ in range(2)]
    # right about which scan is higher, and about nothing inside either
    said = [0 * true[0] + rng.standard_normal((100, 2)), 50 + rng.standard_normal((100, 2))]
    true[1] = true[1] + 50
    joined = np.corrcoef(np.concatenate(said)[:, 0], np.concatenate(true)[:, 0])[0, 1]
    assert joined > 0.95
    assert np.abs(scan_r(said, true)).max() < 0.3


def test_scans_may_differ_in_length() -> None:
    rng = np.random.default_rng(1)
    true = [_slow(rng, n) for n in (90, 120, 60)]
    assert scan_r(true, true) == pytest.approx(np.ones((3, 2)))
    crossed = cross_correlations(true, true)
    assert crossed.shape == (3, 3, 2)
    assert crossed[0, 2, 0] == pytest.approx(np.corrcoef(true[0][:60, 0], true[2][:, 0])[0, 1])


def test_a_constant_prediction_scores_zero_and_is_never_significant() -> None:
    true = [_slow(np.random.default_rng(2), 80)]
    said = [np.full((80, 2), 0.3)]
    assert scan_r(said, true).tolist() == [[0.0, 0.0]]
    assert nulls(said, true, ["a"], n=99, seed=0).p_shifted.tolist() == [1.0, 1.0]


def test_rotations_are_those_of_the_target() -> None:
    rng = np.random.default_rng(3)
    said, true = _slow(rng, 50, 1), _slow(rng, 50, 1)
    every = [np.corrcoef(said[:, 0], np.roll(true[:, 0], k))[0, 1] for k in range(1, 50)]
    drawn = np.unique(nulls([said], [true], ["a"], n=2000, seed=0).shifted[:, 0].round(9))
    # 2,000 draws of 49 rotations leave none out
    np.testing.assert_allclose(drawn, np.sort(every), atol=1e-8)


def test_other_people_and_other_scans_of_the_same_person() -> None:
    rng = np.random.default_rng(4)
    person = {name: _slow(rng, 200, 1) for name in "abcd"}
    who = ["a", "a", "b", "b", "c", "d"]
    true = [person[w] + 0.5 * rng.standard_normal((200, 1)) for w in who]
    found = nulls(true, true, who, n=199, seed=0)
    # both scans of a person follow one course, those of others do not
    assert found.same[0] > 0.7
    assert np.abs(found.other).max() < 0.5
    assert found.p_other[0] == pytest.approx(1 / 200)


@pytest.mark.parametrize(
    "who", [["a"], ["a", "b"], ["a", "a", "a"]], ids=["one scan", "two", "one person"]
)
def test_without_other_people_there_is_no_such_null(who: list[str]) -> None:
    rng = np.random.default_rng(5)
    x = [_slow(rng, 60) for _ in who]
    found = nulls(x, x, who, n=19, seed=0)
    assert np.isnan(found.p_other).all()
    assert np.isfinite(found.p_shifted).all()


def test_a_model_of_the_global_signal_alone_loses_its_score() -> None:
    rng = np.random.default_rng(6)
    shared = _slow(rng, 400, 1)
    own = _slow(rng, 400, 40)
    true = [shared + 0.7 * own]
    general, special = [np.repeat(shared, 40, axis=1)], [own + shared]
    assert scan_r(general, true).mean() > 0.7
    bare = global_removed(general, true)
    assert bare is not None
    # the mean of 39 noisy regions is not quite the shared course: about 0.15 is left of it
    assert np.abs(bare).mean() < 0.25
    kept = global_removed(special, true)
    assert kept is not None
    assert kept.mean() > 0.9
    exact = global_removed(general, true, [shared[:, 0]])
    assert exact is not None
    assert np.abs(exact).max() == 0


def test_one_region_has_no_global_signal() -> None:
    x = [_slow(np.random.default_rng(7), 60, 1)]
    assert global_removed(x, x) is None


def test_too_few_volumes_are_refused() -> None:
    with pytest.raises(DataError, match="at least 3 volumes"):
        scan_r([np.zeros((2, 1))], [np.zeros((2, 1))])


@pytest.mark.slow
@pytest.mark.skipif(not DIFUMO.exists(), reason="../shared/data/bold_difumo64.npz is absent")
def test_nulls_keep_their_level_on_real_bold(dataset: Any) -> None:
    """Other people's BOLD as the prediction: nothing is there to be found."""
    recordings = dataset("bold_difumo64")
    scans = [whole_scan(r.regular("bold").values(), 2.1).T[8:] for r in recordings]
    who = np.array([r.subject for r in recordings])
    rng = np.random.default_rng(0)
    rates = []
    for run in range(200):
        people = rng.permutation(np.unique(who))[:20]
        rows = [int(rng.choice(np.flatnonzero(who == s))) for s in people]
        k = [int(rng.integers(64))]
        said, true = [scans[i][:, k] for i in rows[:10]], [scans[i][:, k] for i in rows[10:]]
        found = nulls(said, true, who[rows[10:]].tolist(), n=199, seed=run)
        blind = correlation_test(said[0][:, 0], true[0][:, 0], max_lag=0).p
        aware = correlation_test(said[0][:, 0], true[0][:, 0]).p
        rates.append([found.p_shifted[0], found.p_other[0], aware, blind])
    shifted, other, aware, blind = (np.array(rates) < 0.05).mean(axis=0)
    # 200 runs at 0.05: sd 0.015. 1,000 runs gave 0.043, 0.073, 0.063 and 0.28
    assert 0.02 <= shifted <= 0.09
    assert 0.02 <= other <= 0.11
    assert 0.02 <= aware <= 0.11
    # a t-test that counts volumes as independent
    assert blind > 0.15
