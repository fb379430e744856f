from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from neuro.errors import ConfigError, DataError
from neuro.signal import Resampler, resample, resampled_ranges
from neuro.signal.resample import _Kernel

TR2, TR14 = Fraction(1, 2), Fraction(5, 7)
BIG = Fraction(5_000_001, 20_000)  # 250.00005 Hz: no table of phases is small enough
RATIOS = [(250, 100), (100, 250), (TR2, TR14), (TR14, TR2), (1000, 100), (BIG, 100), (64, 200)]


def band_limited(n, sfreq, top_hz, seed=0, rows=2):
    """Noise without power above ``top_hz``, smooth at the ends."""
    x = np.random.default_rng(seed).standard_normal((rows, n))
    spectrum = np.fft.rfft(x)
    spectrum[:, np.fft.rfftfreq(n, 1 / sfreq) > top_hz] = 0
    return np.fft.irfft(spectrum, n) * signal.windows.tukey(n, 0.2)


def amplitude(y, freq, sfreq):
    t = np.arange(len(y)) / float(sfreq)
    return 2 * abs(np.mean(y * np.exp(-2j * np.pi * freq * t)))


@pytest.mark.parametrize(("rate_in", "rate_out"), RATIOS)
def test_a_slow_sine_lands_at_its_exact_times(rate_in, rate_out):
    freq = 0.2 * float(min(rate_in, rate_out))
    n = 1200
    x = np.sin(2 * np.pi * freq * np.arange(n) / float(rate_in))
    y, segments = resample(x, rate_in, rate_out)
    expected = np.sin(2 * np.pi * freq * np.arange(len(y)) / float(rate_out))
    # 80 dB kernel: 1e-4 of ripple; the outermost 26 slow samples see the padding
    edge = int(np.ceil(26 * max(1.0, float(rate_out / Fraction(rate_in)))))
    assert np.abs(y - expected)[edge:-edge].max() < 5e-4
    assert segments.tolist() == [[0, len(y)]]
    assert len(y) == int(np.ceil(n * Fraction(rate_out) / Fraction(rate_in)))


def test_no_drift_over_a_long_recording():
    # 250.00005 Hz against 250 Hz slips by one sample in 5.6 hours; 100,000 samples show 0.02
    n = 100_000
    x = np.sin(2 * np.pi * 40.0 * np.arange(n) / float(BIG))
    y, _ = resample(x, BIG, 250)
    expected = np.sin(2 * np.pi * 40.0 * np.arange(len(y)) / 250)
    assert np.abs(y - expected)[100:-100].max() < 5e-4
    wrong = np.abs(x[:-1] - expected[: n - 1])[-200:-100].max()
    assert wrong > 0.01  # what ignoring the difference would give


def test_a_tone_above_the_new_nyquist_is_attenuated_by_80_db():
    t = np.arange(5000) / 250
    for freq in (50.0, 55.0, 80.0, 120.0):
        y, _ = resample(np.sin(2 * np.pi * freq * t), 250, 100)
        alias = abs(freq - 100 * round(freq / 100))
        assert np.abs(y[60:-60]).max() < 10 ** (-75 / 20)
        assert amplitude(y[60:-60], alias, 100) < 1e-4


def test_a_tone_in_the_pass_band_keeps_its_amplitude():
    t = np.arange(5000) / 250
    y, _ = resample(np.sin(2 * np.pi * 38.0 * t), 250, 100)
    assert amplitude(y[100:1100], 38.0, 100) == pytest.approx(1, abs=1e-3)


def test_upsampling_makes_no_images():
    t = np.arange(2000) / 100
    y, _ = resample(np.sin(2 * np.pi * 30 * t), 100, 400)
    middle = y[200:-200]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    freqs = np.fft.rfftfreq(len(middle), 1 / 400)
    assert spectrum[freqs > 55].max() < 2e-4 * spectrum.max()


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(250, 400), (250, 1000), (100, 64), (TR14, TR2), (TR2, TR14)]
)
def test_round_trip_of_band_limited_noise(rate_in, rate_out):
    slow = float(min(rate_in, rate_out))
    x = band_limited(2000, float(rate_in), 0.39 * slow)
    there, _ = resample(x, rate_in, rate_out)
    back, _ = resample(there, rate_out, rate_in)
    n = min(back.shape[1], x.shape[1])
    error = np.abs(back[:, :n] - x[:, :n])
    # ends included: the noise fades out there. Ripple of 1e-4 each way, peaks of about 3
    assert error.max() < 1e-3 * np.abs(x).max()
    assert np.sqrt(np.mean(error**2)) < 2e-4 * x.std()


def test_close_to_scipy_on_content_both_pass():
    x = band_limited(3000, 250, 25)
    y, _ = resample(x, 250, 100)
    expected = signal.resample_poly(x, 2, 5, axis=1, padtype="line")
    # scipy's default kernel is shorter (Kaiser 5), good to about 60 dB
    assert np.abs(y - expected)[:, 50:-50].max() < 3e-3 * np.abs(x).max()


def test_a_constant_stays_exactly_that_constant():
    for rates in RATIOS:
        y, _ = resample(np.full((1, 300), 1e4), *rates)
        np.testing.assert_allclose(y, 1e4, rtol=1e-13)


def test_a_drift_stays_a_line_up_to_the_ends():
    x = np.arange(400.0)
    y, _ = resample(x, 100, 50)
    np.testing.assert_allclose(y, x[::2], atol=1e-9)


@pytest.mark.parametrize(("up", "down"), [(10, 7), (7, 10), (1, 5), (6, 1), (128, 125)])
def test_tabulated_and_evaluated_kernels_agree(up, down):
    x = np.random.default_rng(0).standard_normal((2, 500))
    out = []
    for tabulate in (True, False):
        kernel = _Kernel(up, down, tabulate)
        padded = np.pad(x, ((0, 0), (kernel.edge, kernel.edge)))
        out.append(kernel.run(padded, -kernel.edge, 0, kernel.outputs_before(500 * up)))
    np.testing.assert_allclose(out[0], out[1], atol=1e-13)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATIOS)
@pytest.mark.parametrize("start", [0, 37])
@settings(deadline=None, max_examples=6)
@given(cuts=st.lists(st.integers(0, 500), max_size=6))
def test_any_partition_gives_the_same_bits(rate_in, rate_out, start, cuts):
    x = np.random.default_rng(1).standard_normal((2, 500))
    whole, segments = resample(
        np.pad(x, ((0, 0), (start, 0))), rate_in, rate_out, segments=[[start, start + 500]]
    )
    stream = Resampler(rate_in, rate_out, 2, start=start)
    assert stream.next_output == segments[0, 0]
    parts = [stream.push(x[:, a:b]) for a, b in pairwise([0, *sorted(cuts), 500])]
    parts.append(stream.flush())
    assert np.array_equal(np.concatenate(parts, axis=1), whole[:, segments[0, 0] :])
    assert stream.next_output == segments[0, 1]


@pytest.mark.parametrize("rates", [(250, 100), (TR2, TR14), (BIG, 100)])
def test_one_sample_at_a_time_gives_the_same_bits(rates):
    x = np.random.default_rng(1).standard_normal((1, 120)).astype(np.float32)
    stream = Resampler(*rates, 1)
    parts = [stream.push(x[:, i : i + 1]) for i in range(120)]
    y = np.concatenate([*parts, stream.flush()], axis=1)
    assert y.dtype == np.float32
    assert np.array_equal(y, resample(x, *rates)[0])


def test_short_streams_are_exact_too():
    for n in (1, 2, 3, 26, 51):
        x = np.random.default_rng(n).standard_normal((1, n))
        stream = Resampler(100, 250, 1)
        parts = [stream.push(x[:, i : i + 1]) for i in range(n)]
        y = np.concatenate([*parts, stream.flush()], axis=1)
        whole = resample(x, 100, 250)[0]
        assert np.array_equal(y, whole)
        assert whole.shape[1] == int(np.ceil(n * 2.5))
        assert np.abs(whole).max() < 3 * np.abs(x).max() + 1  # no runaway extrapolation


def test_output_comes_as_soon_as_it_is_determined():
    stream = Resampler(200, 100, 1)
    got = sum(stream.push(np.zeros((1, 1))).shape[1] for _ in range(1000))
    # 25 slow samples of look-ahead
    assert 500 - 27 <= got <= 500 - 25


def test_state_moves_to_another_resampler():
    x = np.random.default_rng(1).standard_normal((2, 300)).astype(np.float32)
    first, second = Resampler(250, 100, 2), Resampler(250, 100, 2)
    first.push(x[:, :170])
    second.load_state_dict(first.state_dict())
    a = np.concatenate([first.push(x[:, 170:]), first.flush()], axis=1)
    b = np.concatenate([second.push(x[:, 170:]), second.flush()], axis=1)
    assert np.array_equal(a, b)
    empty = Resampler(250, 100, 2)
    empty.load_state_dict(first.state_dict())
    with pytest.raises(DataError, match="flushed"):
        empty.push(x)


def test_reset_and_foreign_states():
    stream = Resampler(250, 100, 2)
    x = np.ones((2, 300))
    first = np.concatenate([stream.push(x), stream.flush()], axis=1)
    stream.reset()
    again = np.concatenate([stream.push(x), stream.flush()], axis=1)
    assert np.array_equal(first, again)
    with pytest.raises(DataError, match="buffer"):
        stream.load_state_dict(Resampler(250, 100, 3).state_dict())
    with pytest.raises(DataError, match="'buffer' and 'counters'"):
        stream.load_state_dict({})


def test_segments_keep_their_times_and_never_mix():
    x = np.random.default_rng(0).standard_normal((2, 1003))
    segments = np.array([[0, 400], [403, 800], [800, 1003]])
    y, new = resample(x, 250, 100, segments)
    assert new.tolist() == [[0, 160], [162, 320], [320, 402]]
    assert y.shape == (2, 402)
    assert np.isnan(y[:, 160:162]).all()
    changed = x.copy()
    changed[:, 403:800] += 50
    z, _ = resample(changed, 250, 100, segments)
    assert np.array_equal(
        np.delete(z, np.arange(162, 320), 1), np.delete(y, np.arange(162, 320), 1), equal_nan=True
    )


def test_a_later_segment_stays_on_the_recordings_grid():
    t = np.arange(2000) / 250
    x = np.sin(2 * np.pi * 3 * t)
    y, new = resample(x, 250, 100, [[701, 2000]])  # 701 / 250 s is between two new samples
    first, last = new[0]
    assert (first, last) == (281, 800)
    expected = np.sin(2 * np.pi * 3 * np.arange(first, last) / 100)
    assert np.abs(y[first:last] - expected)[26:-26].max() < 5e-4


@settings(deadline=None, max_examples=50)
@given(
    up=st.integers(1, 50),
    down=st.integers(1, 50),
    cuts=st.lists(st.integers(1, 999), min_size=1, max_size=5, unique=True),
)
def test_ranges_cover_the_same_half_open_times(up, down, cuts):
    edges = [0, *sorted(cuts), 1000]
    segments = [[a, b] for a, b in pairwise(edges)]
    try:
        new = resampled_ranges(segments, 1000, down, up)
    except DataError:
        assert min(b - a for a, b in segments) * up < down  # only a too short one is refused
        return
    for (a, b), (c, d) in zip(segments, new.tolist(), strict=True):
        inside = [m for m in range(max(0, c - 2), d + 2) if a * up <= m * down < b * up]
        assert inside == list(range(c, d))


def test_a_segment_between_two_new_samples_is_refused():
    with pytest.raises(DataError, match=r"Segment 1 .* holds no sample at 10 Hz"):
        resample(np.zeros(100), 100, 10, [[0, 50], [51, 55]])


def test_equal_rates_copy():
    x = np.random.default_rng(0).standard_normal((2, 50))
    y, segments = resample(x, TR14, TR14, [[0, 20], [25, 50]])
    assert np.array_equal(y[:, :20], x[:, :20])
    assert np.isnan(y[:, 20:25]).all()
    assert segments.tolist() == [[0, 20], [25, 50]]


@pytest.mark.parametrize("rates", [(250, 100), (BIG, 100)])
def test_nan_reaches_only_outputs_that_use_it(rates):
    x = np.random.default_rng(0).standard_normal((2, 600))
    clean, _ = resample(x, *rates)
    x[1, 300] = np.nan
    with pytest.raises(DataError, match="channel 'B' at sample 300"):
        resample(x, *rates, ch_names=["A", "B"])
    y, _ = resample(x, *rates, nan="propagate")
    missing = np.flatnonzero(np.isnan(y[1]))
    reach = 25.1 * 2.5  # input samples
    assert missing.tolist() == [m for m in range(240) if abs(m * 2.5 - 300) <= reach]
    assert np.array_equal(y[1, missing[-1] + 1 :], clean[1, missing[-1] + 1 :])
    assert np.array_equal(y[0], clean[0])


def test_bad_rates_say_what_is_wrong():
    with pytest.raises(ConfigError, match="rounded rate"):
        resample(np.zeros(10), 250, 1 / 1.4)
    with pytest.raises(ConfigError, match="positive"):
        resample(np.zeros(10), 250, 0)
    with pytest.raises(ConfigError, match="n_chans"):
        Resampler(250, 100, 0)
    with pytest.raises(DataError, match=r"\(2, n\)"):
        Resampler(250, 100, 2).push(np.zeros((3, 4)))


def test_leading_axes_and_types():
    x = np.random.default_rng(0).integers(-99, 99, (2, 3, 200)).astype(np.int16)
    y, _ = resample(x, 100, 50)
    assert y.shape == (2, 3, 100)
    assert y.dtype == np.float64
    assert np.array_equal(y[1, 2], resample(x[1, 2], 100, 50)[0])
