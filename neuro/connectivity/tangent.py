"""Tangent space of covariances, fitted on a training group alone (nilearn inside)."""

from typing import Any, Self

import numpy as np

from neuro.connectivity._rows import ESTIMATORS, Estimator, as_rows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import AnyArray, FloatArray

__all__ = ["TangentSpace"]


class TangentSpace:
    """Deviation of each covariance from the geometric mean of a training group.

    nilearn's ``ConnectivityMeasure(kind="tangent")`` with time last; the mean
    comes from the recordings given to :meth:`fit` alone, so that a test subject
    never shapes the space in which it is judged.

    Parameters
    ----------
    estimator : "ledoit_wolf", "oas" or "empirical"
        Of each covariance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> group = [rng.standard_normal((3, 200)) for _ in range(4)]
    >>> TangentSpace().fit(group).transform(group[:1]).shape
    (1, 3, 3)
    """

    def __init__(self, estimator: Estimator = "ledoit_wolf") -> None:
        if estimator == "graphical_lasso" or estimator not in ESTIMATORS:
            raise ConfigError(
                f"estimator={estimator!r} is not usable here. "
                f"{did_you_mean(estimator, ESTIMATORS[:3])}"
            )
        self.estimator = estimator
        self._model: Any = None

    def fit(self, group: "list[AnyArray] | tuple[AnyArray, ...] | AnyArray") -> Self:
        """Find the geometric mean covariance of a group.

        Parameters
        ----------
        group : sequence of array, each of shape (n_chans, n_times)
            Two or more training recordings; lengths may differ.

        Raises
        ------
        DataError
            Fewer than two recordings, or shapes that do not fit.
        """
        from nilearn.connectome import ConnectivityMeasure
        from sklearn import covariance as sk

        if len(group) < 2:
            raise DataError(
                f"{len(group)} recording(s): a mean covariance needs a group of two or more. "
                "Fit on the training group, then transform the one."
            )
        kinds = {
            "empirical": sk.EmpiricalCovariance,
            "ledoit_wolf": sk.LedoitWolf,
            "oas": sk.OAS,
        }
        self._model = ConnectivityMeasure(
            cov_estimator=kinds[self.estimator](store_precision=False),
            kind="tangent",
            standardize=False,
        ).fit(self._time_first(group))
        return self

    def transform(self, group: "list[AnyArray] | tuple[AnyArray, ...] | AnyArray") -> FloatArray:
        """Tangent vectors as matrices, shape (n_recordings, n_chans, n_chans)."""
        if self._model is None:
            raise ConfigError("The space has not been fitted: call .fit(training_group) first.")
        found = self._time_first(group)
        if len(found) == 1:  # nilearn refuses one recording even after a fit
            return np.asarray(self._model.transform(found * 2))[:1]
        return np.asarray(self._model.transform(found))

    @property
    def mean(self) -> FloatArray:
        """Geometric mean covariance of the training group, (n_chans, n_chans)."""
        if self._model is None:
            raise ConfigError("The space has not been fitted: call .fit(training_group) first.")
        return np.asarray(self._model.mean_)

    @staticmethod
    def _time_first(group: Any) -> list[FloatArray]:
        return [as_rows(x).T for x in group]
