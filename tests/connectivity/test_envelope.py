"""Envelope correlation: leakage is removed, shared amplitude is not."""

import numpy as np
import pytest

from neuro.connectivity.envelope import envelope_correlation
from neuro.errors import ConfigError, DataError

BANDS = {"alpha": (8, 13)}
SFREQ = 200


def narrow(n_chans, n, seed):
    """Alpha-band noise of n_chans independent sources."""
    rng = np.random.default_rng(seed)
    freqs = np.fft.rfftfreq(n, 1 / SFREQ)
    z = rng.standard_normal((2, n_chans, len(freqs)))
    return np.fft.irfft((z[0] + 1j * z[1]) * ((freqs > 8) & (freqs < 13)), n) * 30


def correlation(x, **options):
    return envelope_correlation(x, SFREQ, average="trials", bands=BANDS, **options).values[0]


def test_mixing_fools_the_plain_envelope_and_not_the_orthogonal_one():
    sources = narrow(2, 60_000, 0)
    mixed = np.array([[1.0, 0.5], [0.5, 1.0]]) @ sources
    assert correlation(mixed, orthogonal=False)[0, 1] > 0.4
    assert abs(correlation(mixed)[0, 1]) < 0.1


def test_a_shared_amplitude_of_unrelated_phases_is_found():
    rng = np.random.default_rng(1)
    slow = np.convolve(rng.standard_normal(60_000), np.ones(400) / 20, "same")
    x = narrow(3, 60_000, 2)
    x[:2] *= np.exp(slow)
    r = correlation(x)
    assert r[0, 1] > 0.4
    assert abs(r[0, 2]) < 0.1


def test_a_copy_has_nothing_orthogonal():
    x = narrow(2, 5000, 3)
    r = correlation(np.vstack([x, 2.0 * x[:1]]))
    assert r[0, 2] == 0


def test_the_scale_of_a_channel_does_not_matter():
    x = narrow(3, 5000, 4)
    scaled = x * np.array([[1.0], [1e-6], [1e3]])
    for orthogonal in (True, False):
        np.testing.assert_allclose(
            correlation(scaled, orthogonal=orthogonal),
            correlation(x, orthogonal=orthogonal),
            atol=1e-9,
        )


def test_time_keeps_trials_and_trials_average_them():
    x = np.stack([narrow(3, 3000, s) for s in range(4)])
    each = envelope_correlation(x, SFREQ, average="time", bands=BANDS)
    assert each.dims == ("trial", "band", "source", "target")
    np.testing.assert_allclose(each.values.mean(axis=0)[0], correlation(x), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"bands": {}}, ConfigError, "need bands"),
        ({"bands": {"hf": (90, 120)}}, DataError, "Nyquist"),
        ({"bands": {"slow": (0.5, 1.0)}}, DataError, "too short"),
        ({"scale": "power"}, ConfigError, "'log' or 'amplitude'"),
    ],
    ids=["none", "nyquist", "short", "scale"],
)
def test_bad_input_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        envelope_correlation(
            narrow(2, 1000, 0), SFREQ, **{"average": "trials", "bands": BANDS, **options}
        )
