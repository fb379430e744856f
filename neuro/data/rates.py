"""Sampling rates as exact fractions, and the one rule from seconds to samples."""

import math
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

from neuro.errors import DataError

__all__ = ["exact_rate", "sample_index"]

# Of a sample: far above float64 noise on times of a day-long recording.
_EDGE = 1e-6


def exact_rate(rate: int | float | str | Fraction) -> Fraction:
    """Turn a sampling rate in Hz into an exact fraction.

    Floats that are a ratio of small integers, or the reciprocal of one, are
    recognised, so a TR of 1.4 s given as ``1 / 1.4`` becomes 5/7 Hz.

    Parameters
    ----------
    rate : int, float, str or Fraction
        Rate in Hz. A string may be a ratio: ``"250/3"``, ``"1/1.4"``.

    Returns
    -------
    Fraction
        The rate in Hz.

    Raises
    ------
    DataError
        If the rate is not a positive finite number.

    Examples
    --------
    >>> exact_rate(1 / 1.4), exact_rate("250/3"), exact_rate(256.0)
    (Fraction(5, 7), Fraction(250, 3), Fraction(256, 1))
    """
    try:
        if isinstance(rate, str):
            top, _, bottom = rate.partition("/")
            if "/" in bottom:
                raise ValueError("more than one slash")
            exact = Fraction(top.strip()) / Fraction(bottom.strip() or "1")
        else:
            exact = _from_number(rate)
    except (ValueError, OverflowError, ZeroDivisionError, TypeError) as error:
        raise DataError(
            f"Rate {rate!r} is not a number of Hz. Give e.g. 250 or '1/1.4'."
        ) from error
    if exact <= 0:
        raise DataError(f"Rate must be above 0 Hz, got {rate!r}.")
    return exact


def _from_number(rate: Any) -> Fraction:
    if isinstance(rate, bool):
        raise TypeError("a truth value is no rate")
    if isinstance(rate, Rational):
        # numpy's integers would stay inside the fraction and overflow there
        return Fraction(int(rate.numerator), int(rate.denominator))
    if isinstance(rate, Real):
        return _nearest_simple(float(rate))
    return Fraction(rate)


def _nearest_simple(rate: float) -> Fraction:
    if rate == 0:
        return Fraction(0)
    value = Fraction(rate)
    for candidate in (
        value.limit_denominator(10_000),
        1 / (1 / value).limit_denominator(10_000) if abs(value) < 10_000 else value,
    ):
        if abs(candidate - value) <= abs(value) * Fraction(1, 10**9):
            return candidate
    return value.limit_denominator(10**9)


def sample_index(t_s: float, t0_s: float, rate: Fraction) -> int:
    """First sample at or after a time, under the half-open rule.

    Parameters
    ----------
    t_s : float
        Time in seconds.
    t0_s : float
        Time of sample 0 in seconds.
    rate : Fraction
        Sampling rate in Hz.

    Returns
    -------
    int
        ``ceil((t_s - t0_s) * rate)``, forgiving the float error of the two
        times, and never less than 1e-6 sample.

    Examples
    --------
    >>> sample_index(0.3, 0.0, Fraction(10)), sample_index(0.31, 0.0, Fraction(10))
    (3, 4)
    """
    position = (t_s - t0_s) * rate.numerator / rate.denominator
    # times counted from 1970 are known to 2e-7 s only: 2e-4 samples at 1 kHz
    noise = 2 * math.ulp(max(abs(t_s), abs(t0_s))) * rate.numerator / rate.denominator
    return math.ceil(position - min(max(_EDGE, noise), 0.1))
