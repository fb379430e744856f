from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from neuro.errors import ConfigError, DataError
from neuro.signal import (
    CausalFilter,
    apply_filter,
    bandpass,
    filter_signal,
    highpass,
    lowpass,
    notch,
    settling_samples,
)
from neuro.signal._segments import odd_extend

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 400))
DESIGNS = {
    "iir band": bandpass(1.0, 30.0, 100),
    "iir high": highpass(0.5, 100),
    "iir notch": notch(20.0, 100),
    "fir band": bandpass(4.0, 30.0, 100, method="fir"),
    "fir low": lowpass(20.0, 100, method="fir"),
    "fir short": np.array([0.25, 0.5, 0.25]),
    "fir gain": np.array([2.0]),
}


def gain(design, freqs, sfreq):
    if design.ndim == 2:
        return np.abs(signal.freqz_sos(design, freqs, fs=sfreq)[1])
    return np.abs(signal.freqz(design, 1, freqs, fs=sfreq)[1])


def sine(freq, sfreq=250, seconds=8):
    return np.sin(2 * np.pi * freq * np.arange(int(sfreq * seconds)) / sfreq)


# --- designs ---------------------------------------------------------------------------------


def test_butterworth_edges_are_the_minus_3_db_points():
    g = gain(bandpass(8, 13, 250), [8, 10.2, 13], 250)
    np.testing.assert_allclose(g, [np.sqrt(0.5), 1, np.sqrt(0.5)], atol=1e-3)


def test_butterworth_designs_equal_scipy():
    expected = signal.butter(4, [1, 40], "bandpass", fs=250, output="sos")
    np.testing.assert_array_equal(bandpass(1, 40, 250), expected)


def test_fir_passes_its_edges_and_stops_beyond_the_transition():
    taps = bandpass(8, 13, 250, method="fir")
    # a Hamming window promises -53 dB in the stop band and ripple of 0.0022 for each of the two
    # slopes; at the very edge the other slope's ripple comes on top
    assert gain(taps, [8, 10, 13], 250) == pytest.approx(1, abs=0.006)
    assert gain(taps, [0, 3, 5.9, 16.3, 25, 60], 250).max() < 10 ** (-50 / 20)


def test_fir_is_linear_phase_of_odd_length():
    for taps in (
        bandpass(1, 40, 250, method="fir"),
        lowpass(40, 250, method="fir"),
        highpass(1, 250, method="fir"),
        notch(50, 250, method="fir"),
    ):
        assert len(taps) % 2 == 1
        np.testing.assert_allclose(taps, taps[::-1], atol=1e-15)


@pytest.mark.parametrize("edges", [(1.0, 40.0), (None, 30.0), (0.5, None), (8.0, 13.0)])
def test_fir_taps_equal_mne(edges):
    mne_filter = pytest.importorskip("mne.filter")
    low, high = edges
    expected = mne_filter.create_filter(
        None, 250.0, low, high, fir_design="firwin", verbose="error"
    )
    if low is None:
        ours = lowpass(high, 250, method="fir")
    elif high is None:
        ours = highpass(low, 250, method="fir")
    else:
        ours = bandpass(low, high, 250, method="fir")
    # same windowed sincs, added in another order
    np.testing.assert_allclose(ours, expected, atol=1e-14)


def test_notch_removes_its_line_and_spares_the_neighbours():
    for method, floor in (("iir", 1e-3), ("fir", 3e-3)):
        g = gain(notch(50, 250, method=method), [10, 47, 50, 53], 250)
        assert g[2] < floor
        assert g[[0, 1, 3]].min() > 0.97


def test_high_pass_fir_has_exactly_no_gain_at_zero():
    assert abs(highpass(1, 250, method="fir").sum()) < 1e-12


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: lowpass(125, 250), "Nyquist"),
        (lambda: highpass(0, 250), "between 0 and"),
        (lambda: bandpass(40, 1, 250), "below h_freq"),
        (lambda: bandpass(1, 40, 250, method="ir"), "Did you mean 'iir'"),
        (lambda: bandpass(1, 40, 250, order=0), "order=0"),
        (lambda: notch(124.5, 250), "Nyquist"),
        (lambda: notch(50, 250, width_hz=0), "width_hz"),
        (lambda: lowpass(120, 250, method="fir", transition_hz=10), "only 5 Hz are left"),
        (lambda: highpass(1, 250, method="fir", transition_hz=2), "must fit"),
    ],
)
def test_impossible_designs_say_why(call, match):
    with pytest.raises(ConfigError, match=match):
        call()


def test_settling_time_is_that_of_the_impulse_response():
    sos = highpass(1.0, 100)
    response = np.abs(signal.sosfilt(sos, np.r_[1.0, np.zeros(2000)]))
    n = settling_samples(sos, 1e-3)
    # the slowest mode of this filter starts near the sampling step 2 pi f / fs, below 1
    assert response[n:].max() < 1e-3
    assert response[n // 3 : n].max() > 1e-3


def test_unstable_sections_are_refused():
    with pytest.raises(ConfigError, match="unstable"):
        CausalFilter(np.array([[1.0, 0, 0, 1, -2.1, 1.1]]), 1)


# --- streaming = offline ---------------------------------------------------------------------


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_partition_gives_the_same_bits(name, dtype, cuts):
    x = X.astype(dtype)
    stream = CausalFilter(DESIGNS[name], 3)
    edges = [0, *sorted(cuts), 400]
    parts = [stream.push(x[:, a:b]) for a, b in pairwise(edges)]
    whole = apply_filter(x, DESIGNS[name], phase="causal")
    assert whole.dtype == dtype
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("size", [1, 2, 3, 11])
@pytest.mark.parametrize("name", DESIGNS)
def test_tiny_chunks_give_the_same_bits(name, size):
    stream = CausalFilter(DESIGNS[name], 3, initial="zero")
    parts = [stream.push(X[:, a : a + size]) for a in range(0, 400, size)]
    whole = CausalFilter(DESIGNS[name], 3, initial="zero").push(X)
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("name", ["iir band", "fir band"])
def test_state_moves_to_another_filter(name):
    first, second = CausalFilter(DESIGNS[name], 3), CausalFilter(DESIGNS[name], 3)
    first.push(X[:, :123])
    second.load_state_dict(first.state_dict())
    assert np.array_equal(second.push(X[:, 123:]), first.push(X[:, 123:]))


def test_state_dict_is_a_copy():
    stream = CausalFilter(DESIGNS["iir band"], 3)
    stream.push(X[:, :10])
    state = stream.state_dict()
    before = state["state"].copy()
    stream.push(X[:, 10:])
    assert np.array_equal(state["state"], before)


def test_reset_makes_it_new():
    stream = CausalFilter(DESIGNS["iir band"], 3)
    first = stream.push(X)
    stream.reset()
    assert np.array_equal(stream.push(X), first)


def test_a_state_of_another_filter_is_refused():
    stream = CausalFilter(DESIGNS["iir band"], 3)
    with pytest.raises(DataError, match="another design"):
        stream.load_state_dict(CausalFilter(DESIGNS["iir band"], 2).state_dict())
    with pytest.raises(DataError, match="'state' and 'started'"):
        stream.load_state_dict({"zi": 1})


def test_nan_in_a_chunk_is_refused_and_leaves_the_state():
    stream, twin = CausalFilter(DESIGNS["iir band"], 3), CausalFilter(DESIGNS["iir band"], 3)
    assert np.array_equal(stream.push(X[:, :50]), twin.push(X[:, :50]))
    broken = X[:, 50:60].copy()
    broken[1, 4] = np.nan
    with pytest.raises(DataError, match="channel 1 at sample 4"):
        stream.push(broken)
    assert np.array_equal(stream.push(X[:, 50:]), twin.push(X[:, 50:]))


def test_a_chunk_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"\(3, n\)"):
        CausalFilter(DESIGNS["fir band"], 3).push(X[:2])


def test_steady_start_has_no_jump_from_an_offset():
    x = np.full((1, 300), 5000.0)
    assert np.abs(CausalFilter(DESIGNS["iir high"], 1).push(x)).max() < 1e-6
    assert np.abs(CausalFilter(DESIGNS["iir high"], 1, initial="zero").push(x)).max() > 4000
    low = CausalFilter(lowpass(10, 100, method="fir"), 1).push(x)
    np.testing.assert_allclose(low, 5000.0, rtol=1e-12)


# --- offline application ---------------------------------------------------------------------


def test_causal_iir_equals_scipy():
    sos = DESIGNS["iir band"]
    zi = signal.sosfilt_zi(sos)[:, np.newaxis] * X[np.newaxis, :, :1]
    expected, _ = signal.sosfilt(sos, X, zi=zi)
    assert np.array_equal(apply_filter(X, sos, phase="causal"), expected)


def test_zero_phase_iir_equals_scipy_with_the_same_padding():
    sos = bandpass(4, 30, 100)
    pad = min(399, settling_samples(sos))
    expected = signal.sosfiltfilt(sos, X, padtype="odd", padlen=pad)
    # same operations; scipy scales the steady state in another order
    np.testing.assert_allclose(apply_filter(X, sos), expected, atol=1e-12)


@pytest.mark.parametrize("edges", [(1.0, 40.0), (None, 30.0), (1.0, None)])
def test_zero_phase_fir_equals_mne(edges):
    mne_filter = pytest.importorskip("mne.filter")
    x = np.random.default_rng(1).standard_normal((2, 3000)) + 7
    expected = mne_filter.filter_data(x.copy(), 250.0, *edges, fir_design="firwin", verbose="error")
    ours = filter_signal(x, 250, *edges, method="fir")
    # identical taps and padding, both by FFT in float64: only rounding differs, edges included
    np.testing.assert_allclose(ours, expected, atol=1e-11)


def test_zero_phase_iir_equals_mne_away_from_the_edges():
    mne_filter = pytest.importorskip("mne.filter")
    x = np.random.default_rng(1).standard_normal((2, 5000))
    params = {"order": 4, "ftype": "butter", "output": "sos"}
    expected = mne_filter.filter_data(
        x.copy(), 250.0, 1.0, 40.0, method="iir", iir_params=params, verbose="error"
    )
    # the paddings differ in length, so ends may differ; 4 s inside nothing of that is left
    np.testing.assert_allclose(
        filter_signal(x, 250, 1, 40)[:, 1000:-1000], expected[:, 1000:-1000], atol=1e-6
    )


@pytest.mark.parametrize("method", ["iir", "fir"])
def test_zero_phase_keeps_the_pass_band_in_place(method):
    x = sine(10) + sine(60)
    y = filter_signal(x, 250, 2, 30, method=method)
    # 2 s at either end may ring; between, only the FIR's ripple of 0.0022 a slope is left
    assert np.abs(y - sine(10))[500:-500].max() < 5e-3


def test_causal_fir_is_the_zero_phase_fir_delayed_by_half_its_length():
    taps = bandpass(4, 30, 100, method="fir")
    half = len(taps) // 2
    centred = apply_filter(X, taps)
    causal = apply_filter(X, taps, phase="causal")
    # FFT against direct sums
    np.testing.assert_allclose(causal[:, 2 * half :], centred[:, half:-half], atol=1e-13)


def test_causal_output_does_not_look_ahead():
    y = X.copy()
    y[:, 200:] += 100
    for design in (DESIGNS["iir band"], DESIGNS["fir band"]):
        a = apply_filter(X, design, phase="causal")
        b = apply_filter(y, design, phase="causal")
        assert np.array_equal(a[:, :200], b[:, :200])
        assert not np.allclose(a[:, 200:], b[:, 200:])


@pytest.mark.parametrize("phase", ["zero", "causal"])
@pytest.mark.parametrize("name", ["iir band", "fir low"])
def test_segments_never_see_each_other(name, phase):
    segments = np.array([[0, 150], [150, 290], [300, 400]])
    y = apply_filter(X, DESIGNS[name], phase=phase, segments=segments)
    for start, stop in segments:
        alone = apply_filter(X[:, start:stop], DESIGNS[name], phase=phase)
        np.testing.assert_array_equal(y[:, start:stop], alone)
    assert np.isnan(y[:, 290:300]).all()
    assert np.isfinite(np.delete(y, np.arange(290, 300), axis=1)).all()


def test_nan_outside_segments_is_ignored():
    x = X.copy()
    x[:, 200:210] = np.nan
    y = apply_filter(x, DESIGNS["iir band"], segments=[[0, 200], [210, 400]])
    assert np.isnan(y).sum() == 3 * 10


def test_nan_in_a_segment_names_the_channel():
    x = X.copy()
    x[2, 33] = np.inf
    with pytest.raises(DataError, match="channel 'Cz' at sample 33"):
        filter_signal(x, 100, 1, 30, ch_names=["Fz", "Pz", "Cz"])
    with pytest.raises(DataError, match="channel 2 at sample 33"):
        filter_signal(x, 100, 1, 30)


def test_nan_spreads_exactly_over_the_taps_that_touch_it():
    x = X.copy()
    x[1, 200] = np.nan
    taps = DESIGNS["fir band"]
    half = len(taps) // 2
    zero = apply_filter(x, taps, nan="propagate")
    assert np.flatnonzero(np.isnan(zero[1])).tolist() == list(range(200 - half, 201 + half))
    causal = apply_filter(x, taps, phase="causal", nan="propagate")
    expected = list(range(200, min(400, 200 + len(taps))))
    assert np.flatnonzero(np.isnan(causal[1])).tolist() == expected
    clean = apply_filter(X, taps)
    np.testing.assert_allclose(zero[1, : 200 - half], clean[1, : 200 - half], atol=1e-12)
    assert np.isfinite(zero[[0, 2]]).all()


def test_nan_spoils_the_rest_or_the_whole_of_an_iir_segment():
    x = X.copy()
    x[1, 250] = np.nan
    causal = apply_filter(x, DESIGNS["iir band"], phase="causal", nan="propagate")
    assert np.flatnonzero(np.isnan(causal[1])).tolist() == list(range(250, 400))
    zero = apply_filter(x, DESIGNS["iir band"], nan="propagate", segments=[[0, 200], [200, 400]])
    assert np.flatnonzero(np.isnan(zero[1])).tolist() == list(range(200, 400))


@pytest.mark.parametrize("name", ["iir band", "fir low"])
def test_a_segment_too_short_is_refused_by_number(name):
    with pytest.raises(DataError, match=r"Segment 1 \[300, 330\) has 30 samples"):
        apply_filter(X, DESIGNS[name], segments=[[0, 300], [300, 330]])


def test_short_segments_can_be_marked_missing():
    y = filter_signal(X, 100, 1.0, 30.0, segments=[[0, 300], [300, 330]], short="nan")
    assert np.isnan(y[:, 300:]).all()
    assert np.isfinite(y[:, :300]).all()


def test_shapes_and_types():
    x = np.arange(2 * 3 * 300).reshape(2, 3, 300) % 7
    y = filter_signal(x.astype(np.int16), 100, 1, 30)
    assert y.shape == x.shape
    assert y.dtype == np.float64
    assert filter_signal(x.astype(np.float32), 100, 1, 30).dtype == np.float32
    np.testing.assert_array_equal(y[1, 2], filter_signal(x[1, 2], 100, 1, 30))


def test_float32_loses_nothing_to_an_offset():
    x = (sine(10) + 1e5).astype(np.float32)
    y = filter_signal(x, 250, 1, 40)
    # the input itself is rounded to 0.004 at 1e5; float32 arithmetic would lose far more
    assert np.abs(y - sine(10))[500:-500].max() < 0.02


@pytest.mark.parametrize(
    ("segments", "match"),
    [
        ([[0, 500]], "non-empty part"),
        ([[5, 5]], "non-empty part"),
        ([[0, 200], [100, 300]], "overlap"),
        ([[0.0, 10.0]], "whole numbers"),
        ([0, 10], "shape"),
        (np.empty((0, 2), int), "n >= 1"),
    ],
)
def test_bad_segments_say_what_is_wrong(segments, match):
    with pytest.raises(DataError, match=match):
        filter_signal(X, 100, 1, 30, segments=segments)


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ConfigError, match="at least one edge"):
        filter_signal(X, 100, None, None)
    with pytest.raises(ConfigError, match="Did you mean 'zero'"):
        filter_signal(X, 100, 1, 30, phase="zer0")
    with pytest.raises(DataError, match="no samples"):
        filter_signal(X[:, :0], 100, 1, 30)
    with pytest.raises(DataError, match="real numbers"):
        filter_signal(X.astype(complex), 100, 1, 30)
    with pytest.raises(ConfigError, match="no centre"):
        apply_filter(X, np.ones(4) / 4)
    with pytest.raises(ConfigError, match="sections"):
        apply_filter(X, np.ones((2, 5)))


@settings(deadline=None)
@given(
    before=st.integers(0, 30),
    after=st.integers(0, 30),
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20),
)
def test_odd_extension_equals_scipy_where_the_signal_is_long_enough(before, after, values):
    x = np.array([values])
    y = odd_extend(x, before, after)
    assert y.shape == (1, before + len(values) + after)
    n = len(values) - 1
    left, right = min(before, n), min(after, n)
    expected = np.pad(x, ((0, 0), (left, right)), mode="reflect", reflect_type="odd")
    np.testing.assert_array_equal(y[:, before - left : y.shape[1] - (after - right)], expected)
    assert (y[:, : before - left] == y[:, before - left]).all()
    assert (y[:, y.shape[1] - (after - right) :] == y[:, y.shape[1] - (after - right) - 1]).all()


def test_large_recordings_are_filtered_in_blocks_of_rows(monkeypatch):
    whole = filter_signal(X, 100, 1, 30)
    monkeypatch.setattr("neuro.signal._segments._BLOCK_SAMPLES", 500)
    assert np.array_equal(filter_signal(X, 100, 1, 30), whole)
