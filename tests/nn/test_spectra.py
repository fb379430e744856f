"""Short-time spectra: against torch, scipy and the numbers of an original."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch

from neuro.errors import ConfigError, DataError
from neuro.nn.spectra import n_frames, stft_magnitude

ORACLE = Path(__file__).parents[2].parent / "shared" / "oracles" / "tfm-tokenizer" / "io.npz"


def _noise(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize(("n_fft", "hop"), [(200, 100), (256, 64), (50, 50), (11, 3)])
def test_hann_equals_torch(n_fft, hop):
    x = _noise(3, 1001, dtype=torch.float64)
    window = torch.hann_window(n_fft, dtype=torch.float64)
    expected = torch.stft(x, n_fft, hop, window=window, center=False, return_complex=True).abs()
    # one transform of the same frames: rounding only
    torch.testing.assert_close(stft_magnitude(x, n_fft, hop), expected, rtol=1e-12, atol=1e-12)


def test_boxcar_equals_numpy_frame_by_frame():
    x = _noise(2, 470, dtype=torch.float64)
    found = stft_magnitude(x, 100, 30, "boxcar")
    assert found.shape == (2, 51, 13)
    for frame in range(13):
        expected = np.abs(np.fft.rfft(x[:, 30 * frame : 30 * frame + 100].numpy()))
        np.testing.assert_allclose(found[..., frame], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("window", ["hann", "boxcar"])
def test_scipy_differs_by_the_sum_of_the_window(window):
    x = _noise(1000, dtype=torch.float64)
    _, _, theirs = scipy.signal.stft(
        x.numpy(), window=window, nperseg=200, noverlap=100, boundary=None, padded=False
    )
    total = scipy.signal.get_window(window, 200).sum()
    ours = stft_magnitude(x, 200, 100, window)
    np.testing.assert_allclose(ours / total, np.abs(theirs), rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(not ORACLE.is_file(), reason="no frozen numbers of the original")
def test_magnitudes_are_those_of_the_original():
    from neuro.io.safe import load_npz

    arrays = load_npz(ORACLE)
    ours = stft_magnitude(torch.tensor(arrays["x"]), 200, 100)[..., :100, :]
    # float32 sums of 200 terms of size 10 (the oracle's own tolerance)
    np.testing.assert_allclose(ours, arrays["stft"], rtol=0, atol=2e-5)


def test_a_frame_has_the_same_bits_whatever_else_is_in_the_call():
    x = _noise(7, 16, 2000)
    whole = stft_magnitude(x, 200, 100)
    for batch, chans, times in ((1, 1, 200), (3, 5, 700), (7, 16, 1999)):
        part = stft_magnitude(x[:batch, :chans, :times], 200, 100)
        assert torch.equal(part, whole[:batch, :chans, :, : part.shape[-1]])


def test_only_whole_frames_count():
    x = _noise(299)
    assert stft_magnitude(x, 200, 100).shape == (101, 1)
    assert [n_frames(n, 200, 100) for n in (199, 200, 299, 300)] == [0, 1, 1, 2]
    changed = torch.cat([x[:200], 1e6 * x[200:]])
    assert torch.equal(stft_magnitude(changed, 200, 100), stft_magnitude(x, 200, 100))


def test_gradient_is_right_and_zero_where_nothing_is():
    x = _noise(2, 40, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: stft_magnitude(v, 16, 8), x)
    flat = torch.zeros(1, 40, requires_grad=True)
    stft_magnitude(flat, 16, 8).sum().backward()
    assert torch.equal(flat.grad, torch.zeros(1, 40))


def test_half_precision_is_transformed_in_single():
    x = _noise(300).bfloat16()
    assert torch.equal(stft_magnitude(x, 200, 100), stft_magnitude(x.float(), 200, 100))


@pytest.mark.parametrize(
    ("n_fft", "hop", "window", "error", "said"),
    [
        (1, 1, "hann", ConfigError, "n_fft = 1"),
        (20, 0, "hann", ConfigError, "hop = 0"),
        (20, 10, "ham", ConfigError, "No window is called 'ham'. Did you mean 'hann'"),
        (101, 10, "hann", DataError, "100 samples, less than one frame of 101"),
    ],
)
def test_impossible_frames_are_refused(n_fft, hop, window, error, said):
    with pytest.raises(error, match=said):
        stft_magnitude(torch.zeros(100), n_fft, hop, window)
