"""Simulated EEG and BOLD: the sources are in both, and the best possible score is known."""

from typing import Any

import numpy as np
import pytest

from neuro.data import pair
from neuro.datasets import synthetic
from neuro.errors import ConfigError
from neuro.signal import hrf
from neuro.stats import autocorrelation, pearson

BANDS = {"alpha": (8.5, 11.5), "beta": (17, 25), "theta": (4.5, 7.5)}


@pytest.fixture(scope="module")
def made() -> Any:
    return synthetic.eeg_fmri(0, n_scans=2, n_volumes=200, sfreq=64)


def _second_power(made: Any, scan: int, channel: str, band: tuple[float, float]) -> Any:
    """Log power of one electrode in a band, once a second."""
    eeg = made.recordings[scan].regular("eeg")
    n = int(eeg.sfreq)
    x = eeg.values()[eeg.axis.names.index(channel)]
    x = x[: len(x) // n * n].reshape(-1, n)
    power = np.abs(np.fft.rfft(x * np.hanning(n), axis=1)) ** 2
    freq = np.arange(power.shape[1])
    return np.log(power[:, (freq >= band[0]) & (freq <= band[1])].sum(axis=1))


@pytest.mark.parametrize(
    ("source", "site"), [("alpha", "Oz"), ("beta", "Cz"), ("theta", "Fz")], ids=lambda v: v
)
def test_a_source_is_seen_in_its_band_under_its_electrode(
    made: Any, source: str, site: str
) -> None:
    k = made.truth["sources"].index(source)
    power = _second_power(made, 0, site, BANDS[source])
    drive = made.truth["drive"][0, k, : 20 * len(power)].reshape(-1, 20).mean(axis=1)
    # a second of noise 2 Hz wide says its power to within a factor of two
    assert pearson(np.log(drive + 1), power) > 0.6
    strongest = np.argsort(-np.abs(made.truth["mixing"][:, k]))[:3]
    assert site in [made.recordings[0].regular("eeg").axis.names[i] for i in strongest]


def test_log_amplitudes_keep_their_time_constant_and_size() -> None:
    made = synthetic.eeg_fmri(1, n_scans=3, n_volumes=500, sfreq=64)
    power = made.truth["drive"]
    spread = np.exp(1.0)
    log_amplitude = np.log(power * np.sqrt(spread * (spread - 1)) + np.sqrt(spread)) / 2
    # 9 courses of 1,050 s with a memory of 6 s: sd of the sd about 0.02
    assert log_amplitude.std(axis=2).mean() == pytest.approx(0.5, abs=0.04)
    memory = autocorrelation(log_amplitude.reshape(9, -1), 120)[:, 120].mean()
    assert memory == pytest.approx(np.exp(-1), abs=0.06)


@pytest.mark.parametrize("snr", [1.0, 4.0])
def test_the_ceiling_follows_from_the_noise(snr: float) -> None:
    made = synthetic.eeg_fmri(2, n_scans=4, n_volumes=400, sfreq=64, snr=snr)
    # 12 ceilings, each from some 100 independent volumes
    assert made.truth["ceiling"].mean() == pytest.approx(np.sqrt(snr / (1 + snr)), abs=0.02)
    noise = np.stack([r.regular("bold").values() for r in made.recordings]) - made.truth["signal"]
    assert noise.var(axis=2).mean() == pytest.approx(1 / snr, rel=0.1)
    lag = autocorrelation(noise, 1)[..., 1].mean()
    assert lag == pytest.approx(np.exp(-2.1 / 4), abs=0.04)


def test_bold_is_the_response_to_the_weighted_power(made: Any) -> None:
    drive = made.truth["weights"][1] @ made.truth["drive"][1]
    course = np.convolve(drive, hrf(0.05))
    # volume k is 1 s + k TR after the EEG's start
    at = np.round((1.0 + 2.1 * np.arange(200)) * 20).astype(int)
    assert pearson(course[at], made.truth["signal"][1, 1]) > 0.999


@pytest.mark.parametrize("peak_s", [4.0, 6.0, 8.0])
def test_the_response_peaks_where_asked(peak_s: float) -> None:
    made = synthetic.eeg_fmri(3, n_scans=1, n_volumes=400, sfreq=64, hrf_peak_s=peak_s)
    bold, drive = made.truth["signal"][0, 2], made.truth["drive"][0, 1]
    lags = np.arange(0, 14, 0.5)
    at = (1.0 + 2.1 * np.arange(400))[:, None] - lags
    seen = np.interp(at, np.arange(drive.shape[0]) / 20, drive, left=0)
    found = lags[np.argmax(pearson(seen.T, bold[None]))]
    # the response is skewed and the drive slow: the best lag lies a little after the peak
    assert found == pytest.approx(peak_s + 0.5, abs=1.0)


def test_clocks_and_triggers_agree(made: Any) -> None:
    rec = made.recordings[0]
    bold = rec.regular("bold")
    when = rec.clock("bold").to_session(bold.time(np.arange(bold.n_times)))
    np.testing.assert_allclose(rec.events.select("R149").onset_s, when, atol=1e-9)
    # 16 s of EEG are there from the ninth volume on (1 s + 8 * 2.1 s)
    assert len(pair(rec, window_s=16)) == 200 - 8


def test_a_null_scan_has_nothing_in_common() -> None:
    made = synthetic.eeg_fmri(4, n_scans=1, n_volumes=300, sfreq=64, variant="null")
    assert not made.truth["reachable"].any()
    assert not made.truth["ceiling"].any()
    course = np.convolve(made.truth["drive"][0, 1], hrf(0.05))
    at = np.round((1.0 + 2.1 * np.arange(300)) * 20).astype(int)
    # 300 volumes with some 30 independent ones among them
    assert abs(pearson(course[at], made.truth["signal"][0, 2])) < 0.45


def test_arousal_ties_all_regions_together() -> None:
    options: dict[str, Any] = {"n_scans": 3, "n_volumes": 300, "n_rois": 12, "sfreq": 64}
    upper = np.triu_indices(12, 1)
    plain, tied = (
        np.mean([np.corrcoef(x)[upper].mean() for x in made.truth["signal"]])
        for made in (
            synthetic.eeg_fmri(5, variant="plain", **options),
            synthetic.eeg_fmri(5, variant="shared_arousal", **options),
        )
    )
    assert abs(plain) < 0.2
    # regions of real scans share a global signal of about this size
    assert 0.5 < tied < 0.9


def test_an_unreachable_region_is_said_to_be_so() -> None:
    truth = synthetic.eeg_fmri(6, n_scans=1, n_volumes=100, sfreq=64, variant="unreachable").truth
    assert truth["reachable"].tolist() == [True, True, False]
    assert truth["ceiling"][0, :2].min() > 0.7
    assert truth["ceiling"][0, 2] == 0


def test_the_gradient_repeats_with_every_volume() -> None:
    made = [
        synthetic.eeg_fmri(7, n_scans=1, n_volumes=60, tr=2.0, sfreq=64, variant=v).recordings[0]
        for v in ("plain", "tr_artefact")
    ]
    added = made[1].regular("eeg").values() - made[0].regular("eeg").values()
    start = 64  # one second before the first volume there is none
    assert np.abs(added[:, :start]).max() == 0
    folded = added[:, start : start + 128 * 59].reshape(26, 59, 128)
    np.testing.assert_allclose(folded, folded[:, :1].repeat(59, axis=1), atol=1e-3)


def test_hearts_beat_and_are_recorded() -> None:
    made = synthetic.eeg_fmri(8, n_scans=1, n_volumes=60, sfreq=100, variant="pulse_artefact")
    beat_s = made.truth["beat_s"][0]
    assert 1 / np.diff(beat_s).mean() == pytest.approx(1.1, rel=0.15)
    ecg = made.recordings[0].regular("ecg")
    at = np.ceil(beat_s * 100).astype(int)
    assert np.median(ecg.values()[0, at]) > 500


def test_a_second_session_is_seen_by_other_electrodes() -> None:
    made = synthetic.eeg_fmri(
        9, n_scans=4, scans_per_subject=2, n_volumes=100, sfreq=64, variant="session_change"
    )
    assert [(r.subject, r.session) for r in made.recordings] == [
        ("01", "1"), ("01", "2"), ("02", "1"), ("02", "2"),
    ]  # fmt: skip
    cov = [np.corrcoef(r.regular("eeg").values()) for r in made.recordings]
    upper = np.triu_indices(26, 1)
    alike = [pearson(cov[0][upper], c[upper]) for c in cov]
    assert alike[2] > 0.9  # first session of another person: the same cap
    assert abs(alike[1]) < 0.3


def test_the_same_seed_gives_the_same_scan() -> None:
    a, b = (synthetic.eeg_fmri(10, n_scans=n, n_volumes=40, sfreq=64) for n in (1, 2))
    np.testing.assert_array_equal(
        a.recordings[0].regular("eeg").data, b.recordings[0].regular("eeg").data
    )
    assert a.recordings[0].dataset.startswith("synthetic_")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variant": "plian"}, "plain"),
        ({"sfreq": 20}, "64 Hz"),
        ({"n_rois": 2}, "3 regions"),
        ({"n_volumes": 5}, "40 s"),
        ({"snr": 0.0}, "snr"),
    ],
    ids=["variant", "sfreq", "n_rois", "n_volumes", "snr"],
)
def test_what_cannot_be_simulated_is_refused(options: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        synthetic.eeg_fmri(0, **options)
