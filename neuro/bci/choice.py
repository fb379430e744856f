"""What is trained next, and what goes online: the experimenter's decisions so far."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from neuro.bci.scores import Auto
from neuro.errors import ConfigError, did_you_mean
from neuro.stream.rules import RULES

__all__ = ["Choice"]


@dataclass(frozen=True)
class Choice:
    """Features and classifier of the next attempt, and the attempt that goes online.

    Parameters
    ----------
    features : tuple of str, optional
        Names as ``"C4;13"``; if None the map picks.
    n : int
        How many the map picks.
    fmin, fmax : float, optional
        Band in Hz the map picks from.
    kind : str
        Classifier, see :func:`neuro.stream.fit_rule`.
    online : int, optional
        Number of the attempt that goes online; the last if None.

    Examples
    --------
    >>> Choice().toggled("C3;12").toggled("C4;12").toggled("C3;12").features
    ('C4;12',)
    >>> Choice(("C3;12",)).toggled("C3;12").wanted
    Auto(n=3, fmin=None, fmax=None, ch_names=None)
    """

    features: tuple[str, ...] | None = None
    n: int = 3
    fmin: float | None = None
    fmax: float | None = None
    kind: str = "lda"
    online: int | None = None

    def __post_init__(self) -> None:
        names = self.features
        if names is not None and not all(isinstance(one, str) for one in names):
            raise ConfigError("Features are texts like 'C4;13'.")
        whole = [self.n] if self.online is None else [self.n, self.online]
        if not all(isinstance(one, int) and one >= 1 for one in whole):
            raise ConfigError(f"n={self.n!r} and online={self.online!r}: whole numbers from 1 on.")
        for edge in (self.fmin, self.fmax):
            if edge is not None and not -1e6 < edge < 1e6:
                raise ConfigError(f"A band needs edges in Hz, got {edge!r}.")
        if self.kind not in RULES:
            raise ConfigError(f"No classifier {self.kind!r}. {did_you_mean(str(self.kind), RULES)}")

    @property
    def wanted(self) -> Auto | tuple[str, ...]:
        """What training takes; a classifier of whole covariances takes all."""
        if self.features is not None:
            return self.features
        return () if self.kind == "tangent" else Auto(self.n, self.fmin, self.fmax)

    def toggled(self, feature: str) -> "Choice":
        """With one more feature, or without it if it was chosen; None once all are gone."""
        now = self.features or ()
        left = tuple(name for name in now if name != feature)
        if feature not in now:
            left = (*left, feature)
        return replace(self, features=left or None)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The choice that :meth:`to_json` wrote; what is absent keeps its default.

        Raises
        ------
        ConfigError
            Unknown fields.
        """
        known = {f.name for f in fields(cls)}
        for key in values:
            if key not in known:
                raise ConfigError(f"A choice has no field {key!r}. {did_you_mean(key, known)}")
        names = values.get("features")
        return cls(**{**values, "features": None if names is None else tuple(names)})
