"""Truths at the smallest size that can fail; benchmarks/neurobolt_truths.py has the full one."""

from typing import Any

import numpy as np
import pytest

from neuro.data import pair
from neuro.datasets import synthetic
from neuro.evaluate import Split
from neuro.evaluate.crossmodal import baseline_learner, evaluate_pairs, occlude
from neuro.signal import band_power
from neuro.stats import pearson

KEPT = ("Oz", "O1", "O2", "Cz", "C3", "Fz")


def _study(seed: int, n_scans: int, n_volumes: int, **options: Any) -> Any:
    recordings = []
    made = synthetic.eeg_fmri(seed, n_scans=n_scans, n_volumes=n_volumes, sfreq=100, **options)
    for rec in made.recordings:
        eeg = rec.regular("eeg")
        rows = [eeg.axis.names.index(name) for name in KEPT]
        recordings.append(rec.with_stream("eeg", eeg.take(rows)))
    return recordings


@pytest.mark.slow
@pytest.mark.parametrize("peak_s", [4.0, 6.0, 8.0])
def test_the_delay_of_the_response_is_found(peak_s: float) -> None:
    pairs = pair(_study(50, 5, 300, hrf_peak_s=peak_s), window_s=16)
    predict = baseline_learner("lagged_ridge")(pairs.select(pairs.recording < 4))
    found = occlude(predict, pairs.select(pairs.recording == 4), "lag")
    lags = [found.lag_s(roi) for roi in found.rois]
    assert max(abs(lag - peak_s) for lag in lags) <= 1.5, lags


@pytest.mark.slow
def test_a_region_that_falls_with_alpha_is_predicted_to() -> None:
    pairs = pair(_study(51, 4, 250), window_s=16)
    predict = baseline_learner("lagged_ridge")(pairs.select(pairs.recording < 3))
    test = pairs.select(pairs.recording == 3)
    x = test.batch().x.numpy()[:, :3]  # occipital
    n = x.shape[2]
    second = x[:, :, n - 650 : n - 550]  # 6 s before the volume
    alpha = band_power(second, 100, {"alpha": (8.0, 13.0)}, length_s=1.0)
    assert pearson(predict(test)[:, 0], np.log(alpha).mean(axis=(1, 2))) < -0.3


@pytest.mark.slow
def test_other_peoples_bold_cannot_be_predicted() -> None:
    recs = _study(52, 8, 200)
    late = []
    for i, rec in enumerate(recs):
        bold = recs[(i + 1) % 8].regular("bold")
        pairs = pair(rec.with_stream("bold", bold), window_s=16)
        found = evaluate_pairs(
            pairs, split=Split("time", test=0.25, gap_s=20), baselines=["lagged_ridge"],
            protocols=["paper"], n_null=9,
        )  # fmt: skip
        late.append(found.mean_r("lagged_ridge"))
    # 8 scans of 3 regions; a scan's mean has a deviation of about 0.15
    assert abs(np.mean(late)) <= 0.15


@pytest.mark.slow
def test_a_score_that_rests_on_arousal_falls_without_the_global_signal() -> None:
    lost = []
    for variant in ("plain", "shared_arousal"):
        pairs = pair(_study(53, 4, 250, n_rois=12, variant=variant), window_s=16)
        found = evaluate_pairs(
            pairs, split=Split("subject", n=4), baselines=["lagged_ridge"], protocols=["strict"],
            n_null=9,
        )  # fmt: skip
        rows = [found.row("lagged_ridge", roi) for roi in found.rois]
        lost.append(np.mean([row.r - row.r_global_removed for row in rows]))
        assert found.mean_r("lagged_ridge") > 0.6
    # three sources tie twelve regions to each other a little without any arousal
    assert lost[0] < 0.2
    assert lost[1] > lost[0] + 0.1, lost
