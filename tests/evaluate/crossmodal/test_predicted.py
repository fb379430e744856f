"""Predictions become recordings that connectivity reads."""

from typing import Any

import numpy as np
import pytest

from neuro.data import pair
from neuro.datasets import synthetic
from neuro.errors import DataError
from neuro.evaluate.crossmodal import connectome_similarity, predicted_recordings


def test_predictions_stand_at_the_times_of_their_volumes(small: Any) -> None:
    made, pairs = small
    said = predicted_recordings(pairs, pairs.target, model="perfect")
    for rec, true in zip(said, made.recordings, strict=True):
        a, b = rec.regular("bold"), true.regular("bold")
        t = rec.clock("bold").to_session(a.time(np.arange(a.n_times)))
        when = true.clock("bold").to_session(b.time(np.arange(b.n_times)))
        np.testing.assert_allclose(t, when[8:])
        np.testing.assert_array_equal(a.values(), b.values()[:, 8:])
        assert rec.id == f"predicted_{true.id}"
        assert rec.subject == true.subject
        assert "predicted by perfect" in rec.provenance.steps[-1]


def test_volumes_without_a_prediction_are_missing(small: Any) -> None:
    pairs = small[1].select([0, 1, 4])
    x = predicted_recordings(pairs, pairs.target)[0].regular("bold").values()
    assert np.isnan(x).all(axis=0).tolist() == [False, False, True, True, False]


def test_connectivity_reads_them(small: Any) -> None:
    from neuro.connectivity import connectivity

    pairs = small[1]
    rec = predicted_recordings(pairs, pairs.target)[0]
    found = connectivity(rec, method="correlation")
    expected = np.corrcoef(np.asarray(pairs.target)[pairs.recording == 0].T)
    assert np.asarray(found.values).squeeze()[0, 1] == pytest.approx(expected[0, 1], abs=1e-5)


def test_connectomes_are_compared_over_common_volumes() -> None:
    made = synthetic.eeg_fmri(14, n_scans=3, n_volumes=150, n_rois=8, sfreq=64)
    pairs = pair(made.recordings, window_s=16)
    rng = np.random.default_rng(0)
    noisy = np.asarray(pairs.target) + 0.3 * rng.standard_normal((len(pairs), 8))
    found = connectome_similarity(predicted_recordings(pairs, noisy), made.recordings)
    assert found.own.min() > 0.95
    assert (found.own > found.other).all()
    assert found.predicted.shape == (3, 8, 8)
    with pytest.raises(DataError, match="as many of each"):
        connectome_similarity(predicted_recordings(pairs, noisy), made.recordings[:2])


def test_one_value_a_window_and_region_is_needed(small: Any) -> None:
    with pytest.raises(DataError, match="3 regions"):
        predicted_recordings(small[1], np.zeros((len(small[1]), 2)))
