"""From linear predictors to rates, log-likelihoods and their slopes, block by block.

Elementwise numpy on blocks that fit the processor's cache, in place where it saves a
pass. Logarithms are taken at zero counts too: a vectorised logarithm costs a sixth of
looking for the counts that are not zero.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from neuro.errors import ConfigError, DataError
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["BLOCK_BINS", "Link", "Observation", "ObservationKind", "link_of"]

BLOCK_BINS = 1024
_LOWEST, _HIGHEST = -30.0, 30.0  # of predictors of an exponential rate
_FAR = 80.0  # beyond, softplus is a line and the sigmoid flat, in single precision too

ObservationKind: TypeAlias = Literal["poisson", "bernoulli", "negative_binomial"]
Link: TypeAlias = Literal["exp", "softplus", "sigmoid"]
_LINKS: dict[str, tuple[Link, ...]] = {
    "poisson": ("exp", "softplus", "sigmoid"),
    "bernoulli": ("sigmoid",),
    "negative_binomial": ("exp", "softplus"),
}


def _softplus(eta: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(eta, 0) + np.log1p(np.exp(-np.abs(eta))))


def link_of(observation: ObservationKind, link: str) -> Link:
    """The link by its name, "auto" for the usual one of the observation.

    Raises
    ------
    ConfigError
        If they do not go together.
    """
    allowed = _LINKS[observation]
    if link == "auto":
        return "sigmoid" if observation == "bernoulli" else "softplus"
    for known in allowed:
        if known == link:
            return known
    raise ConfigError(f"{observation} takes the links {', '.join(allowed)}; got {link!r}.")


@dataclass(frozen=True)
class Observation:
    """How counts follow from a linear predictor.

    Parameters
    ----------
    kind : {"poisson", "bernoulli", "negative_binomial"}
        Distribution of a bin.
    link : {"exp", "softplus", "sigmoid"}
        Rate as a function of the predictor.
    dispersion : array, shape (n_units,), optional
        Negative binomial: r; the variance is ``f + f**2 / r``.
    floor : float
        Added to the rate inside the logarithm, and to the sigmoid: 1e-8 in the
        released code of the one-hot HMM-GLM, else 0.
    """

    kind: ObservationKind
    link: Link
    dispersion: FloatArray | None = None
    floor: float = 0.0

    def check(self, counts: AnyArray) -> None:
        """Refuse what is no count, or no choice.

        Raises
        ------
        DataError
            With the remedy.
        """
        found = counts[np.isfinite(counts)]
        if (found < 0).any() or (found != np.floor(found)).any():
            raise DataError(
                "Counts are whole numbers of 0 or more (NaN where a bin is missing); "
                "bin the spikes first, without smoothing."
            )
        if self.kind == "bernoulli" and (found > 1).any():
            raise DataError(
                f"Bernoulli bins hold 0 or 1, found {found.max():g}; use narrower bins or "
                "observation='poisson'."
            )

    def of_units(self, rows: IntArray) -> "Observation":
        """The same for some of the units."""
        r = self.dispersion
        return self if r is None else replace(self, dispersion=r[rows])

    def rate(self, eta: FloatArray) -> FloatArray:
        """Expected count of each bin."""
        return self._rate_and_slope(eta)[0]

    def _rate_and_slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        if self.link == "exp":
            rate = np.exp(np.clip(eta, _LOWEST, _HIGHEST))
            return rate, rate
        # softplus never quite reaches zero
        away = np.clip(eta, _LOWEST if self.link == "softplus" else -_FAR, _FAR)
        away = np.exp(away, out=away)
        slope = away / (1 + away)
        if self.link == "sigmoid":
            rate = self.floor + (1 - self.floor) * slope if self.floor else slope
            return rate, (1 - self.floor) * slope * (1 - slope)
        rate = np.log1p(away, out=away)
        if eta.size and eta.max() > _FAR:
            rate += np.maximum(eta - _FAR, 0)
        return rate, slope

    def log_lik(self, eta: FloatArray, counts: FloatArray) -> FloatArray:
        """Log-likelihood of one block without what does not depend on the predictor."""
        if self.kind == "bernoulli":
            return np.asarray(counts * eta - _softplus(eta))
        rate, _ = self._rate_and_slope(eta)
        return self._from_rate(rate, counts)

    def _from_rate(self, rate: FloatArray, counts: FloatArray) -> FloatArray:
        if self.kind == "poisson":
            out = np.log(rate + rate.dtype.type(self.floor))
            out *= counts
            out -= rate
            return out
        r = np.asarray(self.dispersion, dtype=rate.dtype)
        return np.asarray(counts * np.log(rate / (rate + r)) - r * np.log1p(rate / r))

    def log_lik_and_score(
        self, eta: FloatArray, counts: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Log-likelihood of one block and its slope by the predictor.

        Parameters
        ----------
        eta, counts : array, shape (n_bins, n_units)
            Predictors and counts, of one type.

        Returns
        -------
        log_lik, score : array, shape (n_bins, n_units)
            The first without what does not depend on the predictor.
        """
        rate, slope = self._rate_and_slope(eta)
        if self.kind == "bernoulli":
            return np.asarray(counts * eta - _softplus(eta)), counts - rate
        log_lik = self._from_rate(rate, counts)
        if self.kind == "poisson":
            score = counts / (rate + rate.dtype.type(self.floor))
            score -= 1
        else:
            r = np.asarray(self.dispersion, dtype=rate.dtype)
            score = (counts / rate - 1) * r / (rate + r)
        score *= slope
        return log_lik, score

    def information(self, eta: FloatArray) -> FloatArray:
        """Expected curvature of the log-likelihood by the predictor."""
        rate, slope = self._rate_and_slope(eta)
        if self.kind == "bernoulli":
            return slope
        if self.kind == "poisson":
            return slope * slope / rate
        r = np.asarray(self.dispersion, dtype=rate.dtype)
        return np.asarray(slope * slope * r / (rate * (rate + r)))

    def constant(self, counts: FloatArray) -> FloatArray:
        """What `terms` leaves out of each bin's log-likelihood, shape (n_bins,)."""
        from scipy.special import gammaln

        if self.kind == "bernoulli":
            return np.zeros(len(counts))
        # few different counts: a table is a hundred times as fast as the function
        whole = counts.astype(np.int64)
        most = np.arange(int(whole.max(initial=0)) + 1, dtype=np.float64)
        if self.kind == "poisson":
            return np.asarray(-gammaln(most + 1)[whole].sum(axis=1))
        r = np.asarray(self.dispersion, dtype=np.float64)
        table = gammaln(most[:, None] + r) - gammaln(r) - gammaln(most[:, None] + 1)
        return np.asarray(table[whole, np.arange(whole.shape[1])].sum(axis=1))
