"""Motifs, cues and bursts are where the truth says, found again by band powers."""

from typing import Any

import numpy as np
import pytest

from neuro.data import check_plausible, windows
from neuro.datasets import synthetic
from neuro.datasets.synthetic import Simulation
from neuro.datasets.synthetic._motifs import KINDS

BANDS = {"alpha": (8, 13), "theta": (4, 8), "beta": (17, 26), "emg": (30, 90)}


def _seconds(made: Simulation, sfreq: int) -> Any:
    """Samples as (subject, channel, second, time)."""
    x = np.stack([r.regular("eeg").data[:, :] for r in made.recordings]).astype(np.float64)
    return x.reshape(*x.shape[:2], -1, sfreq)


def _shares(seconds: Any, low_hz: float, high_hz: float) -> Any:
    """Share of the power above 1 Hz of each second that lies in a band."""
    n = seconds.shape[-1]  # one second: bins are 1 Hz apart
    power = np.abs(np.fft.rfft(seconds * np.hanning(n), axis=-1)) ** 2
    hz = np.arange(power.shape[-1])
    inside = (hz >= low_hz) & (hz <= high_hz)
    return power[..., inside].sum(-1) / power[..., 1:].sum(-1)


@pytest.fixture(scope="module")
def made() -> Simulation:
    return synthetic.motifs(0, n_subjects=4, duration_s=120)


@pytest.mark.parametrize("kind", BANDS)
def test_a_motif_has_its_band_where_the_truth_says(made: Simulation, kind: str) -> None:
    share = _shares(_seconds(made, 200), *BANDS[kind])
    motif = made.truth["motif"]
    here = motif == KINDS.index(kind)
    others = [np.median(share[motif == k]) for k in range(len(KINDS)) if KINDS[k] != kind]
    assert np.median(share[here]) > 0.5
    # nearest: the harmonic of spikes and waves at 6 Hz lies in the theta band
    assert max(others) < 0.35


def test_spikes_and_waves_repeat_three_times_a_second_with_harmonics(made: Simulation) -> None:
    seconds = _seconds(made, 200)[made.truth["motif"] == KINDS.index("spike_wave")]
    power = (np.abs(np.fft.rfft(seconds * np.hanning(200), axis=-1)) ** 2).mean(0)
    assert power[3] == power[1:].max()
    # a sharp spike: the harmonic at 6 Hz holds power that a plain sine of 3 Hz would not
    assert power[6] > 0.1 * power[3]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_background_falls_with_the_exponent_asked_for(exponent: float) -> None:
    made = synthetic.motifs(1, n_subjects=2, duration_s=240, exponent=exponent)
    seconds = _seconds(made, 200)[made.truth["motif"] == KINDS.index("one_over_f")]
    power = (np.abs(np.fft.rfft(seconds * np.hanning(200), axis=-1)) ** 2).mean(0)
    hz = np.arange(5, 81)
    slope = np.polyfit(np.log(hz), np.log(power[5:81]), 1)[0]
    # some 300 stretches and a Hann window: the slope is known to about 0.1
    assert slope == pytest.approx(-exponent, abs=0.12)


def test_switches_follow_the_chain_and_stretches_last_one_to_three_seconds() -> None:
    truth = synthetic.motifs(2, n_subjects=4, n_chans=10, duration_s=600).truth
    counts = np.zeros((len(KINDS), len(KINDS)))
    lengths = []
    for row in truth["motif"].reshape(-1, 600):
        edges = np.flatnonzero(np.diff(row))
        np.add.at(counts, (row[edges], row[edges + 1]), 1)
        lengths += np.diff(edges).tolist()
    chain = truth["transition"]
    assert chain.sum(axis=1) == pytest.approx(np.ones(len(KINDS)))
    assert np.diag(chain) == pytest.approx(np.zeros(len(KINDS)))
    # about 2,000 switches from each motif: sd of a share below 0.011, four of them
    assert np.abs(counts / counts.sum(1, keepdims=True) - chain).max() < 0.045
    assert set(lengths) == {1, 2, 3}
    assert np.mean(lengths) == pytest.approx(2.0, abs=0.05)


def test_a_fifth_of_the_windows_has_runs_and_the_labels_say_which() -> None:
    made = synthetic.motifs(3, n_subjects=5, n_chans=8, planted=0.2)
    run, has_run = made.truth["run"], made.truth["window_has_run"]
    assert has_run.mean() == pytest.approx(0.2)
    per_window = run.reshape(5, 8, 20, 12)
    assert np.array_equal(per_window.any(axis=(1, 3)), has_run)
    channels = per_window.any(axis=3).sum(axis=1)[has_run]
    seconds = per_window.any(axis=1).sum(axis=2)[has_run]
    assert set(channels) == {1, 2, 3}
    assert set(seconds) == {3, 4, 5, 6}
    assert np.array_equal(run, made.truth["motif"] == KINDS.index("spike_wave"))
    cut = windows(made.recordings, stream="eeg", length_s=12.0, label="type")
    assert cut.classes == ("background", "seizure")
    assert np.array_equal(cut.target, has_run.ravel().astype(float))


def test_planted_runs_hold_the_slow_spikes_and_nothing_else_does() -> None:
    made = synthetic.motifs(4, n_subjects=3, planted=0.3)
    seconds = _seconds(made, 200)
    peak = np.abs(seconds).max(axis=-1)
    run = made.truth["run"]
    # AUROC of the plain amplitude: the planted waves are the largest of all motifs
    inside, outside = peak[run], peak[~run]
    auc = (inside[:, None] > outside[None, :]).mean()
    assert auc > 0.9


def test_pops_stand_where_the_truth_says() -> None:
    plain = synthetic.motifs(5, n_subjects=1, duration_s=120)
    popped = synthetic.motifs(5, n_subjects=1, duration_s=120, artefacts_per_min=6)
    change = np.abs(_seconds(popped, 200) - _seconds(plain, 200)).max(axis=-1)
    hit = popped.truth["artefact"]
    assert not plain.truth["artefact"].any()
    # 4 channels, 2 minutes, 6 a minute: 48 expected, sd 7
    assert 20 < hit.sum() < 76
    assert change[hit].min() > 100
    # single precision of the recording
    assert change[~hit].max() < 1e-3


def test_amplitudes_are_those_of_real_eeg() -> None:
    small: dict[str, Any] = {"n_subjects": 2, "duration_s": 60}
    for made in (
        synthetic.motifs(8, **small),
        synthetic.alpha_bursts(8, **small),
        synthetic.cue_recall(8, n_subjects=1, n_trials=2),
    ):
        for rec in made.recordings:
            check_plausible(rec.regular("eeg"))
            assert 5 < rec.regular("eeg").data[:, :].std() < 50


@pytest.mark.parametrize("sfreq", [200, 250, 256])
def test_rates_and_channel_counts_can_be_chosen(sfreq: int) -> None:
    made = synthetic.motifs(6, n_subjects=1, duration_s=30, n_chans=7, sfreq=sfreq)
    eeg = made.recordings[0].regular("eeg")
    assert (eeg.sfreq, len(eeg.axis), eeg.n_times) == (sfreq, 7, 30 * sfreq)


def test_people_differ_in_frequency_and_scale() -> None:
    made = synthetic.motifs(7, n_subjects=6, duration_s=120)
    sds = [r.regular("eeg").data[:, :].std() for r in made.recordings]
    assert max(sds) / min(sds) > 1.1


# ---- cue and recall ---------------------------------------------------------------


def _trials(made: Simulation) -> tuple[Any, Any]:
    cut = windows(
        made.recordings, stream="eeg", align="*", length_s=made.truth["trial_s"], label="type"
    )
    assert cut.target is not None
    return cut.batch().x.numpy().astype(np.float64), cut.target


def _cue_scores(x: Any, sfreq: int) -> Any:
    """Log ratio of the power at 6 and 12 Hz in one second."""
    power = np.abs(np.fft.rfft(x[..., :sfreq] * np.hanning(sfreq), axis=-1)) ** 2
    return np.log(power[..., 12] / power[..., 6]).mean(axis=1)


def test_the_label_stands_in_the_first_second_and_nowhere_else() -> None:
    made = synthetic.cue_recall(0, n_subjects=2, n_trials=40, sfreq=64, samples_per_token=4)
    assert made.truth["trial_s"] == 64
    x, target = _trials(made)
    low = target == 1  # classes are sorted: high, low
    first = _cue_scores(x, 64)
    assert first[low].max() < first[~low].min()
    later = [_cue_scores(x[..., s * 64 :], 64) for s in range(1, 64)]
    auc = [(a[~low][:, None] > a[low][None]).mean() for a in later]
    # 40 against 40: the sd of one AUROC at chance is 0.065; the mean of 63 is near 0.008
    assert np.mean(auc) == pytest.approx(0.5, abs=0.03)


def test_trials_are_balanced_and_their_order_is_not_the_same() -> None:
    label = synthetic.cue_recall(1, n_trials=16, n_tokens=64).truth["label"]
    assert ((label == "low").sum(axis=1) == 8).all()
    assert len({tuple(row) for row in label.tolist()}) == len(label)


# ---- bipolar bursts ---------------------------------------------------------------


def test_chains_between_the_same_electrodes_add_up_alike() -> None:
    eeg = synthetic.alpha_bursts(0, n_subjects=1, duration_s=10).recordings[0].regular("eeg")
    x, names = eeg.data[:, :].astype(np.float64), eeg.axis.names
    outer = x[[names.index(n) for n in ("FP1-F7", "F7-T3", "T3-T5", "T5-O1")]].sum(axis=0)
    inner = x[[names.index(n) for n in ("FP1-F3", "F3-C3", "C3-P3", "P3-O1")]].sum(axis=0)
    # four single-precision values of some tens of uV each
    assert np.abs(outer - inner).max() < 1e-4
    assert outer.std() > 10


def test_alpha_is_on_in_bursts_and_strongest_at_the_back() -> None:
    made = synthetic.alpha_bursts(1, n_subjects=3, duration_s=60)
    burst = made.truth["burst"]
    assert burst.mean() == pytest.approx(0.5, abs=0.15)
    share = _shares(_seconds(made, 256), 8, 12)
    names = made.recordings[0].regular("eeg").axis.names
    back, front = names.index("P3-O1"), names.index("FP1-F3")
    assert np.median(share[:, back][burst]) > 0.4 > 0.2 > np.median(share[:, back][~burst])
    assert np.median(share[:, back][burst]) > 2 * np.median(share[:, front][burst])
