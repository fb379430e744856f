import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.signal import HRF_MODELS, DoubleGamma, convolve_hrf, double_gamma, hrf

T = np.arange(0, 60, 0.001)


@pytest.mark.parametrize(("name", "ratio"), [("spm", 0.167), ("glover", 0.48)])
def test_shape_equals_nilearn(name, ratio):
    models = pytest.importorskip("nilearn.glm.first_level.hemodynamic_models")
    theirs = {"spm": models.spm_hrf, "glover": models.glover_hrf}[name](2.0, oversampling=50)
    # nilearn samples 800 points from 0 to 32 s with both ends included, one step (0.04 s) late,
    # and rounds SPM's ratio 1/6 to 0.167; on that grid the curves are the same numbers
    stamps = np.linspace(0, 32, 800) - 0.04
    shape = HRF_MODELS[name]
    parameters = {f: getattr(shape, f) for f in shape.__dataclass_fields__} | {"ratio": ratio}
    ours = double_gamma(stamps, DoubleGamma(**parameters))
    np.testing.assert_allclose(ours / ours.sum(), theirs, atol=1e-12)


@pytest.mark.parametrize("name", ["spm", "glover"])
def test_block_regressor_close_to_nilearn(name):
    models = pytest.importorskip("nilearn.glm.first_level.hemodynamic_models")
    onsets, durations = np.array([10.0, 47.3, 101.0]), np.array([16.0, 8.0, 20.0])
    frames = np.arange(80) * 2.0
    condition = np.stack([onsets, durations, np.ones(3)])
    theirs, _ = models.compute_regressor(condition, name, frames, oversampling=50)
    ours = convolve_hrf(onsets, durations, tr=2.0, n_times=80, model=name)
    # nilearn cuts at 32 s, rounds onsets to 0.04 s and starts one step late: 0.02 of plateau 1
    assert np.abs(ours - theirs[:, 0]).max() < 0.03
    assert np.corrcoef(ours, theirs[:, 0])[0, 1] > 0.9995


@pytest.mark.parametrize("name", ["spm", "glover"])
def test_area_is_one_and_the_step_is_its_integral(name):
    h = double_gamma(T, name)
    assert h.sum() * 0.001 == pytest.approx(1, abs=1e-6)
    step = double_gamma(T, name, integral=True)
    np.testing.assert_allclose(step[1:], np.cumsum((h[1:] + h[:-1]) / 2) * 0.001, atol=1e-6)
    assert double_gamma(np.array([-3.0, 0.0]), name).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["spm", "glover"])
@pytest.mark.parametrize("peak", [3.0, 4.0, 6.0, 8.0])
def test_peak_falls_where_it_is_asked(name, peak):
    curve = double_gamma(T, HRF_MODELS[name].with_peak(peak))
    assert T[curve.argmax()] == pytest.approx(peak, abs=0.0015)


def test_sampled_kernel():
    kernel = hrf(0.5)
    assert kernel.shape == (64,)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert hrf(0.5, norm="peak").max() == 1
    np.testing.assert_array_equal(hrf(0.5, norm="area"), double_gamma(np.arange(64) * 0.5))
    assert hrf(0.1, peak_s=7.0).argmax() == 70
    assert hrf(0.7, length_s=30).shape == (43,)


def test_convolution_equals_a_fine_numerical_one():
    onsets, durations, heights = [3.21, 20.0, 40.5], [0.0, 6.5, 12.0], [2.0, 1.0, -0.5]
    dt = 0.005
    grid = np.zeros(int(90 / dt))
    for on, d, a in zip(onsets, durations, heights, strict=True):
        if d == 0:
            grid[round(on / dt)] += a / dt
        else:
            grid[round(on / dt) : round((on + d) / dt)] += a
    fine = np.convolve(grid, double_gamma(np.arange(0, 60, dt)) * dt)[: len(grid)]
    ours = convolve_hrf(onsets, durations, heights, tr=1.5, n_times=60)
    # a boxcar sampled in steps of 5 ms is known to half a step: 0.0025 s x slope 0.2 / s
    np.testing.assert_allclose(ours, fine[:: int(1.5 / dt)], atol=1e-3)


def test_a_long_event_settles_at_its_amplitude():
    course = convolve_hrf([0.0], [300.0], [4.0], tr=1.0, n_times=400)
    np.testing.assert_allclose(course[80:300], 4.0, atol=1e-6)
    np.testing.assert_allclose(course[381:], 0.0, atol=1e-6)


def test_courses_add_up_and_shift_with_their_onset():
    one = convolve_hrf([10.0], [4.0], tr=2.0, n_times=50)
    two = convolve_hrf([30.0], [4.0], tr=2.0, n_times=50)
    np.testing.assert_allclose(two[10:], one[:-10], atol=1e-14)
    both = convolve_hrf([10.0, 30.0], 4.0, tr=2.0, n_times=50)
    np.testing.assert_allclose(both, one + two, atol=1e-14)
    np.testing.assert_allclose(
        convolve_hrf([10.0], [4.0], tr=2.0, n_times=40, t0_s=6.0), one[3:43], atol=1e-14
    )


def test_slice_reference_shifts_the_samples():
    late = convolve_hrf([0.0], tr=2.0, n_times=20, t0_s=1.0)
    np.testing.assert_allclose(late, double_gamma(np.arange(20) * 2.0 + 1.0), atol=1e-15)


def test_events_outside_the_run():
    assert convolve_hrf([500.0, -500.0], 1.0, tr=2.0, n_times=50).max() == 0
    assert convolve_hrf([-4.0], 1.0, tr=2.0, n_times=50)[0] > 0.05
    assert convolve_hrf([], tr=2.0, n_times=5).tolist() == [0.0] * 5


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: hrf(0.5, "smp"), ConfigError, "Did you mean 'spm'"),
        (lambda: hrf(0.0), ConfigError, "dt=0"),
        (lambda: hrf(0.5, norm="max"), ConfigError, "norm='max'"),
        (lambda: hrf(0.5, peak_s=-1), ConfigError, "peak_s"),
        (lambda: DoubleGamma(ratio=1.0), ConfigError, "ratio"),
        (lambda: DoubleGamma(dispersion_s=7.0), ConfigError, "dispersions"),
        (lambda: convolve_hrf([1.0], tr=0, n_times=5), ConfigError, "tr=0"),
        (lambda: convolve_hrf([1.0, 2.0], [1.0] * 3, tr=1, n_times=5), DataError, "one value"),
        (lambda: convolve_hrf([np.nan], tr=1, n_times=5), DataError, "finite"),
        (lambda: convolve_hrf([1.0], [-1.0], tr=1, n_times=5), DataError, "negative"),
    ],
)
def test_bad_input_says_what_is_wrong(call, error, match):
    with pytest.raises(error, match=match):
        call()
