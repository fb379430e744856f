"""The session's features as a scikit-learn transformer, for pipelines and MOABB."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from neuro.bci.settings import Settings
from neuro.data.rates import exact_rate
from neuro.errors import DataError
from neuro.stream import Extractor, Plan, StreamInfo
from neuro.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator, TransformerMixin
else:
    from sklearn.base import BaseEstimator, TransformerMixin

__all__ = ["TrialFeatures"]


class TrialFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Features of epochs, by the code that decides live.

    Parameters
    ----------
    settings : Settings
        What is computed. An epoch is a trial: the plan's windows must fit into it.
    ch_names : sequence of str
        Channels of the epochs, in order.
    sfreq : float
        Their rate in Hz.
    unit : str
        Of the samples; MNE's and MOABB's epochs are in "V" unless scaled.

    Examples
    --------
    >>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    >>> from sklearn.pipeline import make_pipeline
    >>> from neuro.stream import Plan, Power
    >>> settings = Settings(plan=Plan(0, 2), family=Power(fmin=8, fmax=30))
    >>> features = TrialFeatures(settings, ["C3", "Cz", "C4"], 250)
    >>> x = np.random.default_rng(0).standard_normal((12, 3, 500))
    >>> model = make_pipeline(features, LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    >>> model.fit(x, [0, 1] * 6).predict(x).shape
    (12,)
    """

    def __init__(
        self, settings: Settings, ch_names: Sequence[str], sfreq: float, unit: str = "uV"
    ) -> None:
        self.settings, self.ch_names, self.sfreq, self.unit = settings, ch_names, sfreq, unit

    def fit(self, X: AnyArray, y: Any = None) -> Self:
        """Nothing is learned; the shape of the epochs is checked."""
        self._extractor(np.shape(X))
        self.n_features_in_ = int(np.prod(np.shape(X)[1:]))
        return self

    def transform(self, X: AnyArray) -> FloatArray:
        """Features of epochs.

        Parameters
        ----------
        X : array, shape (n_trials, n_chans, n_times)
            Epochs that begin at the cue.

        Returns
        -------
        float64 array, shape (n_trials, n_features)
            Row after row of the table.

        Raises
        ------
        DataError
            If an epoch is too short for the plan, or nothing in it is usable.
        """
        extractor = self._extractor(np.shape(X))
        out = []
        for i, epoch in enumerate(np.asarray(X)):
            extractor.reset()
            extractor.mark(0, "epoch")
            found = extractor.push(epoch)
            if not found or not found[0].usable:
                raise DataError(
                    f"Epoch {i} gives no features: samples are missing, or it ends before the "
                    "last window of the plan is through the filters."
                )
            out.append(found[0].values.ravel())
        return np.stack(out)

    def _extractor(self, shape: tuple[int, ...]) -> Extractor:
        if len(shape) != 3 or shape[1] != len(self.ch_names):
            raise DataError(
                f"Expected epochs of shape (n_trials, {len(self.ch_names)}, n_times), got {shape}."
            )
        info = StreamInfo(tuple(self.ch_names), exact_rate(self.sfreq), self.unit)
        plan: Plan = self.settings.plan
        if plan.start_s < 0 or shape[2] < round(plan.stop_s * float(self.sfreq)):
            raise DataError(
                f"The plan's trial, {plan.start_s:g} to {plan.stop_s:g} s, is not inside an epoch "
                f"of {shape[2] / float(self.sfreq):g} s. Change the plan, or cut longer epochs."
            )
        return self.settings.extractor(info)
