"""Every error this package raises on purpose.

One base class catches them all; each subclass also inherits the built-in
exception that idiomatic handlers expect. A message says what happened, with
which value, and what to try next.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ConfigError",
    "ContractError",
    "DataError",
    "DataUnavailableError",
    "FileError",
    "LeakageError",
    "MissingDependencyError",
    "NeuroError",
    "UnitError",
    "did_you_mean",
]


class NeuroError(Exception):
    """Base of all errors raised on purpose by this package.

    The text may quote a file that a stranger wrote, so it is shown without the
    control characters that a terminal would obey.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if text.isprintable():
            return text
        return "".join(
            c
            if c.isprintable() or c == "\n"
            else " "
            if c.isspace()
            else "\N{REPLACEMENT CHARACTER}"
            for c in text
        )


class DataError(NeuroError, ValueError):
    """Data in memory break a rule: shape, order, range, NaN, empty."""


class UnitError(DataError):
    """A unit is unknown, cannot be converted, or is implausible for its signal."""


class ContractError(DataError):
    """Data do not fit what a model declared it accepts."""


class LeakageError(DataError):
    """Training and test data are not independent."""


class ConfigError(NeuroError, ValueError):
    """An option, a name or a configuration value is not usable."""


class FileError(NeuroError, ValueError):
    """A file is malformed, hostile, truncated or of an unknown format."""


class DataUnavailableError(NeuroError, FileNotFoundError):
    """A data set or file is not on this machine and was not fetched."""


class MissingDependencyError(NeuroError, ImportError):
    """An optional package is needed; the message holds the install line."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Sentence that names the nearest valid option, for error messages.

    Parameters
    ----------
    name : str
        What the user wrote.
    options : iterable of str
        What would have been accepted.

    Returns
    -------
    str
        ``"Did you mean 'x'? "`` if a close match exists, then the choices.

    Examples
    --------
    >>> did_you_mean("ege", ["eeg", "bold"])
    "Did you mean 'eeg'? Known: bold, eeg."
    """
    names = sorted(options)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(names) if names else '(none)'}."
