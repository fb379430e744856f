"""EEG and BOLD of one scan, made of the same sources, so that the best score is known."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from neuro.datasets.synthetic._noise import band_noise, coloured_noise
from neuro.datasets.synthetic._simulation import Simulation, check_positive, rng_of, simulated
from neuro.errors import ConfigError, did_you_mean
from neuro.typing import FloatArray

if TYPE_CHECKING:
    from neuro.data import Events, Recording, Regular

__all__ = ["eeg_fmri"]

Variant = Literal[
    "plain",
    "null",
    "shared_arousal",
    "unreachable",
    "tr_artefact",
    "pulse_artefact",
    "session_change",
]

_CHANNELS = tuple(
    "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 Fpz Fz Cz Pz POz Oz FT9 FT10 TP9 TP10"
    .split()
)  # fmt: skip
_SOURCES = ("alpha", "beta", "theta")
_CARRIER_HZ = ((9.0, 11.0), (18.0, 24.0), (5.0, 7.0))
# under which electrodes a source is strongest; where it stands decides what occlusion finds
_STRONGEST = ("Oz", "Cz", "Fz")
_REGIONS = ("minus_alpha", "alpha_theta", "beta")
_WEIGHTS = ((-1.0, 0.0, 0.0), (0.7, 0.0, 0.7), (0.0, 1.0, 0.0))

_AMPLITUDE_TAU_S = 6.0
_AMPLITUDE_SD = 0.5  # of the logarithm
_NOISE_TAU_S = 4.0
_DRIVE_HZ = 20.0  # rate at which power and the response to it are computed
_SCALE_UV = 10.0
_LEAD_S = 1.0  # EEG runs this long before the first volume
_AROUSAL_TAU_S = 30.0
_AROUSAL_SHARE = 0.5  # of the variance of every source's log amplitude
_AROUSAL_IN_BOLD = 1.5  # deviation beside that of a region's own course
_SLICES = 30  # slice excitations a TR: the comb of the gradient artefact
_ARTEFACT_UV = 15.0
_HEART_HZ = 1.1


@dataclass(frozen=True)
class _Design:
    n_volumes: int
    tr: float
    sfreq: int
    snr: float
    peak_s: float
    variant: Variant
    weights: FloatArray
    mixing: FloatArray

    @property
    def n_times(self) -> int:
        """Samples of EEG: up to about one TR after the last volume."""
        from scipy.fft import next_fast_len

        # noise is made in the frequency domain; a length with a large prime factor is slow
        return int(next_fast_len(round((_LEAD_S + self.n_volumes * self.tr) * self.sfreq), True))

    @property
    def n_drive(self) -> int:
        """Samples at which power is computed."""
        return int(np.ceil(self.n_times / self.sfreq * _DRIVE_HZ)) + 1


def eeg_fmri(
    seed: int = 0,
    *,
    n_scans: int = 8,
    scans_per_subject: int = 1,
    n_volumes: int = 575,
    n_rois: int = 3,
    tr: float = 2.1,
    sfreq: int = 200,
    snr: float = 4.0,
    hrf_peak_s: float = 5.0,
    variant: Variant = "plain",
) -> Simulation:
    """Simulate simultaneous EEG and BOLD that share three rhythmic sources.

    The logarithm of each source's amplitude follows an Ornstein-Uhlenbeck
    process (time constant 6 s, standard deviation 0.5); its carrier is noise at
    9-11, 18-24 or 5-7 Hz. The sources reach 26 electrodes through one mixing
    matrix (the same for all scans), strongest under Oz, Cz and Fz, beside 1/f
    noise of the same size. A region's BOLD is a double-gamma response
    convolved with a weighted sum of the sources' standardised power, plus
    autoregressive noise (time constant 4 s) of a variance `snr` times smaller.

    No function of the EEG can correlate with a region better than its
    noise-free course does: that is the ceiling, about ``sqrt(snr / (1 + snr))``.

    Parameters
    ----------
    seed : int
        Same seed, same recordings, in any process.
    n_scans, scans_per_subject : int
        Recordings, and how many of them in a row belong to one person (the
        second scan of a person is session 2).
    n_volumes : int
        Volumes a scan; the EEG starts 1 s before the first one.
    n_rois : int
        Regions: minus alpha, alpha with theta, beta, and beyond three regions
        of random weights.
    tr : float
        Seconds between volumes.
    sfreq : int
        Rate of the EEG in Hz, 64 or more.
    snr : float
        Variance of the noise-free course over that of the noise.
    hrf_peak_s : float
        When the response is largest, in seconds.
    variant : str
        ``"plain"``; ``"null"``: BOLD follows sources that no electrode sees;
        ``"shared_arousal"``: one slow process (30 s) moves all amplitudes and
        all regions alike; ``"unreachable"``: the last region follows a
        source that no electrode sees; ``"tr_artefact"``: a residual gradient
        artefact, locked to the volumes, stands on the EEG; ``"pulse_artefact"``:
        an artefact follows each heart beat, whose rate also moves BOLD, and
        stream ``"ecg"`` records the heart; ``"session_change"``: electrodes of
        second sessions sit elsewhere.

    Returns
    -------
    Simulation
        Streams ``"eeg"`` (26 channels, uV) and ``"bold"`` (z, on a clock of its
        own), an event ``"R149"`` at every volume. Truth: ``drive`` (recording,
        source, time) standardised power at 20 Hz from the EEG's first sample;
        ``signal`` (recording, region, volume) noise-free BOLD; ``ceiling``
        (recording, region), its correlation with the BOLD, 0 where no
        electrode sees the source; ``weights`` (region, source); ``mixing``
        (channel, source); ``lag_s``, the response's peak; ``reachable``
        (region,).

    Raises
    ------
    ConfigError
        If a size is not positive, or the variant unknown.

    Examples
    --------
    >>> made = eeg_fmri(seed=1, n_scans=1, n_volumes=60)
    >>> made.recordings[0].stream("bold")
    Regular(bold, 3 x 60, 0.47619 Hz, z, 126 s)
    >>> bool(made.truth["ceiling"].min() > 0.8)
    True
    """
    check_positive(
        n_scans=n_scans, scans_per_subject=scans_per_subject, n_volumes=n_volumes, tr=tr, snr=snr,
        hrf_peak_s=hrf_peak_s,
    )  # fmt: skip
    if variant not in get_args(Variant):
        raise ConfigError(f"No variant {variant!r}. {did_you_mean(variant, get_args(Variant))}")
    if sfreq < 64 or n_rois < 3 or n_volumes * tr < 40:
        raise ConfigError(
            f"sfreq={sfreq} Hz, n_rois={n_rois}, {n_volumes} volumes of {tr} s: at least 64 Hz, 3 "
            "regions and 40 s are needed."
        )
    design = _design(seed, n_rois, n_volumes, tr, sfreq, snr, hrf_peak_s, variant)
    places = [divmod(i, scans_per_subject) for i in range(n_scans)]
    scans = [_scan(rng_of(seed, 1, i), design, session) for i, (_, session) in enumerate(places)]
    recordings = [
        _recording(scan, design, place, scans_per_subject, seed)
        for scan, place in zip(scans, places, strict=True)
    ]
    return Simulation(tuple(recordings), _truth(scans, design))


def _design(
    seed: int,
    n_rois: int,
    n_volumes: int,
    tr: float,
    sfreq: int,
    snr: float,
    peak_s: float,
    variant: Variant,
) -> _Design:
    rng = rng_of(seed, 0)
    more = rng.standard_normal((n_rois - len(_WEIGHTS), len(_SOURCES)))
    weights = np.concatenate([np.array(_WEIGHTS), more])
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return _Design(n_volumes, tr, sfreq, snr, peak_s, variant, weights, _mixing(rng))


def _mixing(rng: np.random.Generator) -> FloatArray:
    """Random signs and sizes, larger near the electrode a source lies under; mean square 1/3."""
    from neuro.data import eeg_positions

    where = eeg_positions(_CHANNELS)
    home = where[[_CHANNELS.index(name) for name in _STRONGEST]]
    near = np.exp(-(((where[:, None] - home[None]) / 0.06) ** 2).sum(-1))
    mixing = rng.choice([-1.0, 1.0], near.shape) * rng.uniform(0.5, 1.5, near.shape)
    mixing *= 0.3 + 1.5 * near
    return np.asarray(mixing / np.sqrt((mixing**2).mean(axis=0) * len(_SOURCES)))


# ---- one scan ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scan:
    eeg: FloatArray
    bold: FloatArray
    signal: FloatArray
    drive: FloatArray
    ecg: FloatArray | None = None
    beat_s: FloatArray | None = None


def _scan(rng: np.random.Generator, design: _Design, session: int) -> _Scan:
    arousal = None
    if design.variant == "shared_arousal":
        arousal = _ornstein_uhlenbeck(rng, 1, design.n_drive, 1 / _DRIVE_HZ, _AROUSAL_TAU_S)
    log_amplitude = _log_amplitude(rng, design, arousal)
    carrier = np.concatenate(
        [band_noise(rng, 1, design.n_times, design.sfreq, *edges) for edges in _CARRIER_HZ]
    )
    fine = np.arange(design.n_times) / design.sfreq
    coarse = np.arange(log_amplitude.shape[1]) / _DRIVE_HZ
    amplitude = np.stack([np.exp(np.interp(fine, coarse, row)) for row in log_amplitude])
    mixing = design.mixing
    if design.variant == "session_change" and session > 0:
        mixing = _mixing(rng)
    eeg = mixing @ (amplitude * carrier)
    eeg += coloured_noise(rng, len(_CHANNELS), design.n_times, design.sfreq)
    drive = _standard_power(log_amplitude)
    felt = drive
    if design.variant == "null":
        felt = _standard_power(_log_amplitude(rng, design))
    signal = design.weights @ _response(felt, design)
    if design.variant == "unreachable":
        signal[-1] = _response(_standard_power(_log_amplitude(rng, design)), design)[0]
    signal /= signal.std(axis=1, keepdims=True)
    if arousal is not None:
        everywhere = _response(arousal, design)
        signal = signal + _AROUSAL_IN_BOLD * everywhere / everywhere.std()
        signal /= signal.std(axis=1, keepdims=True)
    noise = _ornstein_uhlenbeck(rng, len(signal), design.n_volumes, design.tr, _NOISE_TAU_S)
    scan = _Scan(_SCALE_UV * eeg, signal + noise / np.sqrt(design.snr), signal, drive)
    if design.variant == "tr_artefact":
        return replace(scan, eeg=scan.eeg + _gradient(rng, design))
    if design.variant == "pulse_artefact":
        return _with_heart(rng, scan, design)
    return scan


def _ornstein_uhlenbeck(
    rng: np.random.Generator, n: int, n_times: int, dt: float, tau_s: float
) -> FloatArray:
    """Stationary processes of variance 1, (n, n_times), exact at any step."""
    from scipy.signal import lfilter

    keep = np.exp(-dt / tau_s)
    push = np.sqrt(1 - keep**2) * rng.standard_normal((n, n_times))
    push[:, 0] /= np.sqrt(1 - keep**2)
    return np.asarray(lfilter([1.0], [1.0, -keep], push, axis=1))


def _log_amplitude(
    rng: np.random.Generator, design: _Design, arousal: FloatArray | None = None
) -> FloatArray:
    n = design.n_drive
    own = _ornstein_uhlenbeck(rng, len(_SOURCES), n, 1 / _DRIVE_HZ, _AMPLITUDE_TAU_S)
    if arousal is not None:
        # drowsiness: alpha falls while theta rises
        direction = np.array([[-1.0], [1.0], [1.0]])
        own = np.sqrt(1 - _AROUSAL_SHARE) * own + np.sqrt(_AROUSAL_SHARE) * direction * arousal
    return _AMPLITUDE_SD * own


def _standard_power(log_amplitude: FloatArray) -> FloatArray:
    """Power, the square of the amplitude, by its known mean and deviation (log-normal)."""
    spread = np.exp((2 * _AMPLITUDE_SD) ** 2)
    mean, sd = np.sqrt(spread), np.sqrt(spread * (spread - 1))
    return np.asarray((np.exp(2 * log_amplitude) - mean) / sd)


def _response(drive: FloatArray, design: _Design) -> FloatArray:
    """HRF convolved with the drive, at the times of the volumes, (source, volume)."""
    from scipy.signal import fftconvolve

    from neuro.signal import hrf

    kernel = hrf(1 / _DRIVE_HZ, "spm", peak_s=design.peak_s)
    # before the EEG the sources stood at their mean, which is 0
    course = fftconvolve(drive, kernel[None], axes=1)[:, : drive.shape[1]]
    volume_s = _LEAD_S + design.tr * np.arange(design.n_volumes)
    at = np.arange(drive.shape[1]) / _DRIVE_HZ
    return np.stack([np.interp(volume_s, at, row) for row in course])


def _gradient(rng: np.random.Generator, design: _Design) -> FloatArray:
    """What is left of slice excitations: one waveform in every volume, on all electrodes."""
    t = np.arange(design.n_times) / design.sfreq - _LEAD_S
    phase = (t / design.tr) % 1.0
    waves = [
        np.sin(2 * np.pi * k * phase + rng.uniform(0, 2 * np.pi)) / j
        for j, k in enumerate((_SLICES, 2 * _SLICES, 1, 7), start=1)
    ]
    shape = np.sum(waves, axis=0) * (t >= 0)
    gain = rng.uniform(0.5, 1.5, (len(_CHANNELS), 1))
    return np.asarray(_ARTEFACT_UV * gain * shape[None])


def _with_heart(rng: np.random.Generator, scan: _Scan, design: _Design) -> _Scan:
    """Beats of a changing rate: an artefact on the EEG, the rate's share in BOLD, and an ECG."""
    n = scan.drive.shape[1]
    rate = _ornstein_uhlenbeck(rng, 1, n, 1 / _DRIVE_HZ, 10.0)[0]
    cycles = np.cumsum(_HEART_HZ * (1 + 0.1 * rate)) / _DRIVE_HZ
    beat_s = np.interp(np.arange(1, int(cycles[-1])), cycles, np.arange(n) / _DRIVE_HZ)
    t = np.arange(design.n_times) / design.sfreq
    last = np.searchsorted(beat_s, t, side="right") - 1
    since = np.where(last >= 0, t - beat_s[np.maximum(last, 0)], np.inf)
    # the pulse arrives some 0.2 s after the heart beat
    wave = np.exp(-(((since - 0.25) / 0.08) ** 2)) - 0.6 * np.exp(-(((since - 0.45) / 0.1) ** 2))
    gain = rng.uniform(0.5, 1.5, (len(_CHANNELS), 1))
    ecg = 1000 * np.exp(-((since / 0.015) ** 2)) + 20 * rng.standard_normal(design.n_times)
    felt = _response(rate[None], design)
    bold = scan.bold + 0.5 * felt / felt.std()
    return replace(
        scan, eeg=scan.eeg + _ARTEFACT_UV * gain * wave, bold=bold, ecg=ecg[None], beat_s=beat_s
    )


# ---- what is handed out --------------------------------------------------------------


def _truth(scans: list[_Scan], design: _Design) -> dict[str, Any]:
    from neuro.stats import pearson

    signal = np.stack([s.signal for s in scans])
    reachable = np.ones(len(design.weights), dtype=bool)
    if design.variant == "null":
        reachable[:] = False
    if design.variant == "unreachable":
        reachable[-1] = False
    ceiling = np.where(reachable, pearson(signal, np.stack([s.bold for s in scans])), 0.0)
    truth: dict[str, Any] = {
        "drive": np.stack([s.drive for s in scans]),
        "signal": signal,
        "ceiling": ceiling,
        "weights": design.weights,
        "mixing": design.mixing,
        "sources": _SOURCES,
        "reachable": reachable,
        "lag_s": design.peak_s,
        "snr": design.snr,
        "variant": design.variant,
    }
    if scans[0].beat_s is not None:
        truth["beat_s"] = tuple(s.beat_s for s in scans)
    return truth


def _recording(
    scan: _Scan, design: _Design, place: tuple[int, int], scans_per_subject: int, seed: int
) -> "Recording":
    from neuro.data import Axis, Clock, Recording, Regular, exact_rate

    subject, session = place
    names = [*_REGIONS, *(f"mixed{i:02d}" for i in range(4, len(design.weights) + 1))]
    bold = Regular(
        scan.bold.astype(np.float32),
        exact_rate(1 / design.tr),
        "z",
        Axis(names, "roi", atlas="synthetic_sources"),
        "bold",
    )
    streams = {"eeg": _eeg_stream(scan.eeg, design), "bold": bold}
    if scan.ecg is not None:
        axis = Axis(["ECG"], "ecg")
        streams["ecg"] = Regular(
            scan.ecg.astype(np.float32), exact_rate(design.sfreq), "uV", axis, "physio"
        )
    return Recording(
        streams,
        _volume_events(design),
        dataset="synthetic_eeg_fmri",
        subject=f"{subject + 1:02d}",
        session=f"{session + 1}" if scans_per_subject > 1 else "",
        run="1",
        task="rest",
        clocks={"bold": Clock(1.0, _LEAD_S)},
        provenance=simulated("eeg_fmri", seed),
    )


def _eeg_stream(x: FloatArray, design: _Design) -> "Regular":
    from neuro.data import Axis, Regular, eeg_positions, exact_rate

    axis = Axis(
        _CHANNELS, "eeg", positions=eeg_positions(_CHANNELS), frame="mri_ras", reference="FCz"
    )
    return Regular(x.astype(np.float32), exact_rate(design.sfreq), "uV", axis, "eeg")


def _volume_events(design: _Design) -> "Events":
    from neuro.data import Events

    onset = _LEAD_S + design.tr * np.arange(design.n_volumes)
    return Events.make(onset, ["R149"] * design.n_volumes)
