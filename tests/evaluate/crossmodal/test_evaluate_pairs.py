"""The table: baselines in their order, no leak passes, and the page says what it shows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neuro.data import Axis, Recording, Regular, pair
from neuro.datasets import synthetic
from neuro.errors import ConfigError, DataError, FileError, LeakageError
from neuro.evaluate import Split
from neuro.evaluate.crossmodal import (
    CrossmodalResults,
    baseline_learner,
    baselines_for,
    evaluate_pairs,
)
from neuro.evaluate.crossmodal.baselines import BandPowers, physio

FAST: dict[str, Any] = {"protocols": ["strict"], "n_null": 49}
LATE = Split("time", test=0.4, gap_s=20)


@pytest.fixture(scope="module")
def found(small: Any) -> CrossmodalResults:
    made, pairs = small
    return evaluate_pairs(
        pairs, split=Split("subject", n=4), noise_free=made.truth["signal"], n_null=199
    )


def test_lags_beat_their_mean_and_the_mean_beats_the_last_second(
    found: CrossmodalResults,
) -> None:
    lagged, mean, last = (found.mean_r(m) for m in ("lagged_ridge", "mean_ridge", "zero_lag_ridge"))
    # three people of 112 volumes to learn from
    assert lagged > mean + 0.05
    assert mean > last + 0.15
    assert lagged > 0.6


def test_no_baseline_passes_the_ceiling(found: CrossmodalResults) -> None:
    assert all(row.r <= row.ceiling + 0.03 for row in found.rows)
    assert found.row("lagged_ridge", "beta").ceiling > 0.8


def test_vigilance_finds_alpha_and_not_beta(found: CrossmodalResults) -> None:
    assert found.row("vigilance", "minus_alpha").r > 0.6
    assert found.row("vigilance", "minus_alpha").p_shifted < 0.01
    assert found.row("vigilance", "beta").r < 0.35


def test_the_constant_is_zero_and_counted(found: CrossmodalResults) -> None:
    row = found.row("constant", "beta")
    assert (row.r, row.n_constant, row.n_scans, row.p_shifted) == (0.0, 4, 4, 1.0)


def test_both_protocols_stand_side_by_side(found: CrossmodalResults) -> None:
    assert found.protocols == ("strict", "paper")
    assert len(found) == 2 * 5 * 3
    assert found.row("lagged_ridge", "beta", "paper") != found.row("lagged_ridge", "beta")
    assert found.meta["simulated"] is True
    assert "SIMULATED" in str(found)


def test_json_comes_back(found: CrossmodalResults, tmp_path: Any) -> None:
    found.to_json(tmp_path / "r.json")
    again = CrossmodalResults.from_json(tmp_path / "r.json")
    assert str(again) == str(found)
    with pytest.raises(FileError, match="neuro-crossmodal/1"):
        CrossmodalResults.from_json({"schema": "other"})
    with pytest.raises(FileError, match="incomplete"):
        CrossmodalResults.from_json({"schema": "neuro-crossmodal/1", "rows": [{"r": 1}], "meta": 0})


def test_the_page_stands_alone_and_says_it_is_simulated(
    found: CrossmodalResults, tmp_path: Any
) -> None:
    found.save(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Nothing on this page was measured on a brain" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text
    for word in ("Ceiling", "Null 95 %", "No global", "lagged_ridge", "minus_alpha"):
        assert word in text
    assert (tmp_path / "crossmodal.csv").read_text().count("\n") == 31


def test_a_late_part_of_every_scan_with_a_gap(small: Any) -> None:
    pairs = small[1]
    found = evaluate_pairs(pairs, split=LATE, baselines=["zero_lag_ridge"], **FAST)
    row = found.row("zero_lag_ridge", "beta")
    assert row.n_scans == 4
    assert found.meta["leaky"] is False


@pytest.mark.parametrize("gap_s", [0.0, 10.0])
def test_parts_closer_than_bold_remembers_are_refused(small: Any, gap_s: float) -> None:
    near = Split("time", test=0.4, gap_s=gap_s)
    with pytest.raises(LeakageError, match="memory of BOLD"):
        evaluate_pairs(small[1], split=near, baselines=["constant"], **FAST)
    allowed = evaluate_pairs(
        small[1], split=near, baselines=["constant"], allow_leakage=True, **FAST
    )
    assert allowed.meta["leaky"] is True
    assert "LEAKY" in str(allowed)


def test_a_random_split_is_refused_and_marked(small: Any) -> None:
    options: dict[str, Any] = {"baselines": ["zero_lag_ridge"], "lowpass_hz": None, **FAST}
    with pytest.raises(LeakageError, match="random"):
        evaluate_pairs(small[1], split=Split("random", test=0.25), **options)
    found = evaluate_pairs(
        small[1], split=Split("random", test=0.25), allow_leakage=True, **options
    )
    assert found.meta["leaky"] is True


def test_models_are_trained_on_the_training_part_only(small: Any) -> None:
    pairs = small[1]
    seen = []

    def learner(train: Any) -> Any:
        seen.append(train)
        fitted = baseline_learner("mean_ridge")(train)

        def predict(test: Any) -> Any:
            assert np.isnan(test.target).all()
            return fitted(test)

        return predict

    found = evaluate_pairs(
        pairs, split=Split("subject", n=4), models={"mine": learner}, baselines=["mean_ridge"],
        **FAST,
    )  # fmt: skip
    assert [len(np.unique(t.recording)) for t in seen] == [3, 3, 3, 3]
    # scan or subject as the unit of the inner folds: here they are the same
    for roi in found.rois:
        assert found.row("mine", roi).r == pytest.approx(found.row("mean_ridge", roi).r, abs=1e-6)
    assert found.row("mine", "beta").kind == "model"


def test_a_trained_network_is_used_as_it_is(small: Any) -> None:
    import torch

    class Loud(torch.nn.Module):
        def forward(self, batch: Any) -> Any:
            return batch.x[:, :3].std(dim=2)

    found = evaluate_pairs(
        small[1], split=Split("subject", n=2), models={"loud": Loud()}, baselines=["constant"],
        **FAST,
    )  # fmt: skip
    assert np.isfinite(found.row("loud", "beta").r)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (lambda train: 3, ConfigError, "returned a int"),
        (3, ConfigError, "is a int"),
        (lambda train: lambda test: np.zeros(3), DataError, "shape"),
        (lambda train: lambda test: np.full((len(test), 3), np.nan), DataError, "not finite"),
    ],
    ids=["returns a number", "a number", "shape", "nan"],
)
def test_models_that_are_none_are_told(small: Any, model: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        evaluate_pairs(
            small[1], split=Split("subject", n=2), models={"m": model}, baselines=["constant"],
            **FAST,
        )  # fmt: skip


def test_unknown_names_are_told_with_the_nearest(small: Any, found: CrossmodalResults) -> None:
    with pytest.raises(ConfigError, match="lagged_ridge"):
        evaluate_pairs(small[1], split=LATE, baselines=["laged_ridge"], **FAST)
    with pytest.raises(DataError, match="beta"):
        found.row("constant", "bta")


def test_what_nothing_can_reach_has_a_ceiling_of_zero() -> None:
    made = synthetic.eeg_fmri(12, n_scans=3, n_volumes=80, sfreq=64, variant="unreachable")
    pairs = pair(made.recordings, window_s=16)
    reachable = made.truth["signal"] * made.truth["reachable"][:, None]
    found = evaluate_pairs(
        pairs, split=Split("subject", n=3), baselines=["constant"], noise_free=reachable, **FAST
    )
    assert found.row("constant", "beta").ceiling == 0.0
    assert found.row("constant", "minus_alpha").ceiling > 0.7


def test_a_bad_region_is_left_out_and_said(small: Any) -> None:
    recs = []
    for rec in small[0].recordings:
        bold = rec.regular("bold")
        axis = Axis(bold.axis.names, "roi", bad=[False, True, False])
        recs.append(rec.with_stream("bold", replace(bold, axis=axis)))
    found = evaluate_pairs(
        pair(recs, window_s=16), split=Split("subject", n=2), baselines=["constant"],
        noise_free=small[0].truth["signal"], **FAST,
    )  # fmt: skip
    assert found.rois == ("minus_alpha", "beta")
    assert "alpha_theta" in found.meta["cautions"][0]


def test_scans_of_unequal_length_are_scored_each_by_itself(small: Any) -> None:
    recs = list(small[0].recordings)
    recs[1] = recs[1].slice(0.0, 200.0)
    found = evaluate_pairs(
        pair(recs, window_s=16), split=Split("subject", n=2), baselines=["zero_lag_ridge"], **FAST
    )
    assert found.predictions["strict", "zero_lag_ridge"].r.shape == (4, 3)


# ---- baselines ---------------------------------------------------------------------------


def test_lagged_power_has_the_lags_in_their_order() -> None:
    t = np.arange(0, 120, 0.01)
    x = np.sin(2 * np.pi * 10 * t) * np.where((t >= 50) & (t < 51), 5.0, 0.1)
    eeg = Regular((x + 1e-3)[None], 100, "uV", Axis(["Cz"], "eeg"), "eeg")
    bold = Regular(np.arange(60.0)[None], "1/2", "z", Axis(["r"], "roi"), "bold")
    pairs = pair(Recording({"eeg": eeg, "bold": bold}), window_s=16)
    powers = BandPowers(pairs)
    row = int(np.flatnonzero(pairs.target_time_s == 56)[0])
    # the burst at 50 to 51 s ends 5 s before the volume at 56 s: bin 10 of 0 to 15
    assert powers.power[row, :, 0, powers.bands.index((8.0, 13.0))].argmax() == 10


def test_physio_needs_a_channel_and_says_so(small: Any) -> None:
    assert "physio" not in [b.name for b in baselines_for(small[1])]
    with pytest.raises(DataError, match="heart"):
        physio(small[1])


def test_the_heart_is_read_from_its_own_stream() -> None:
    made = synthetic.eeg_fmri(13, n_scans=1, n_volumes=80, sfreq=128, variant="pulse_artefact")
    pairs = pair(made.recordings, window_s=16)
    true = made.truth["beat_s"][0]
    rate = physio(pairs)
    assert rate.shape == (len(pairs), 16)
    assert rate.mean() == pytest.approx(1 / np.diff(true).mean(), rel=0.05)
    assert "physio" in [b.name for b in baselines_for(pairs)]


def test_eye_channels_are_no_eeg() -> None:
    rng = np.random.default_rng(0)
    axis = Axis(["Oz", "HEOG"], ["eeg", "eog"])
    eeg = Regular(rng.standard_normal((2, 10_000)), 100, "uV", axis, "eeg")
    bold = Regular(rng.standard_normal((1, 50)), "1/2", "z", Axis(["r"], "roi"), "bold")
    pairs = pair(Recording({"eeg": eeg, "bold": bold}), window_s=16)
    assert BandPowers(pairs).ch_names == ("Oz",)
    assert physio(pairs).shape == (len(pairs), 32)
