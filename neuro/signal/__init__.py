"""Signals as plain arrays: filters, rates, references, spectra, models, HRF, bins, history bases.

Time is the last axis. Whatever streams (``CausalFilter``, ``Resampler``,
``CountSmoother``) has ``push(chunk)``, ``reset()``, ``state_dict()`` and
``load_state_dict()``, and gives the same bits for any chunk size; the offline
functions run on the same code. scipy loads on the first call that needs it.
"""

from neuro.signal.ar import (
    VAR,
    choose_order,
    fit_var,
    multichannel_burg,
    var_residuals,
    whiteness_test,
)
from neuro.signal.bases import (
    HistoryBuffer,
    bspline_basis,
    exponential_basis,
    history_features,
    raised_cosine_basis,
)
from neuro.signal.beats import heart_beats, locked_share
from neuro.signal.binning import (
    CountSmoother,
    bin_counts,
    bin_index,
    gaussian_taps,
    smooth_counts,
)
from neuro.signal.cross import Tapering, cross_spectrum, morlet_spectra, tapering
from neuro.signal.filters import (
    CausalFilter,
    apply_filter,
    bandpass,
    filter_signal,
    highpass,
    lowpass,
    notch,
    settling_samples,
)
from neuro.signal.hrf import HRF_MODELS, DoubleGamma, convolve_hrf, double_gamma, hrf
from neuro.signal.reference import apply_matrix, reference_matrix
from neuro.signal.resample import Resampler, resample, resampled_ranges
from neuro.signal.spectra import BANDS, band_power, burg, burg_spectrum, psd

__all__ = [
    "BANDS",
    "HRF_MODELS",
    "VAR",
    "CausalFilter",
    "CountSmoother",
    "DoubleGamma",
    "HistoryBuffer",
    "Resampler",
    "Tapering",
    "apply_filter",
    "apply_matrix",
    "band_power",
    "bandpass",
    "bin_counts",
    "bin_index",
    "bspline_basis",
    "burg",
    "burg_spectrum",
    "choose_order",
    "convolve_hrf",
    "cross_spectrum",
    "double_gamma",
    "exponential_basis",
    "filter_signal",
    "fit_var",
    "gaussian_taps",
    "heart_beats",
    "highpass",
    "history_features",
    "hrf",
    "locked_share",
    "lowpass",
    "morlet_spectra",
    "multichannel_burg",
    "notch",
    "psd",
    "raised_cosine_basis",
    "reference_matrix",
    "resample",
    "resampled_ranges",
    "settling_samples",
    "smooth_counts",
    "tapering",
    "var_residuals",
    "whiteness_test",
]
