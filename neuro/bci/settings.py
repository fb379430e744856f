"""How features are made in a session: one object, one identity."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from neuro.errors import ConfigError, did_you_mean
from neuro.stream import Chain, Extractor, Filter, Pick, Plan, Power, Rate, Reference, StreamInfo
from neuro.stream.chain import Step
from neuro.stream.features import Family, family_from_json

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a feature is.

    Parameters
    ----------
    ch_names : tuple of str, optional
        Channels, in order; all of the first run's if None.
    reference : str or tuple of str, optional
        "average", or channels whose mean is subtracted; None leaves it as recorded.
    l_freq, h_freq, notch : float, optional
        Causal filter in Hz.
    sfreq : float, optional
        Rate to which the signal is brought.
    plan : Plan
        Trials and windows.
    family : Family
        What is computed.

    Examples
    --------
    >>> Settings().identity == Settings(reference="average").identity
    True
    >>> Settings(h_freq=40.0).identity == Settings().identity
    False
    """

    ch_names: tuple[str, ...] | None = None
    reference: str | tuple[str, ...] | None = "average"
    l_freq: float | None = None
    h_freq: float | None = None
    notch: float | None = None
    sfreq: float | None = None
    plan: Plan = field(default_factory=Plan)
    family: Family = field(default_factory=Power)

    def __post_init__(self) -> None:
        for name in ("l_freq", "h_freq", "notch", "sfreq"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e6:
                raise ConfigError(f"{name}={value!r} must be a frequency in Hz, or none.")
        _ = self.steps  # what a step refuses is refused here

    @property
    def steps(self) -> list[Step]:
        """The signal chain's steps."""
        steps: list[Step] = []
        if self.ch_names is not None:
            steps.append(Pick(tuple(self.ch_names)))
        if self.reference is not None:
            steps.append(Reference(self.reference))
        if (self.l_freq, self.h_freq, self.notch) != (None, None, None):
            steps.append(Filter(self.l_freq, self.h_freq, self.notch))
        if self.sfreq is not None:
            steps.append(Rate(self.sfreq))
        return steps

    def extractor(self, info: StreamInfo, *, running_s: float | None = None) -> Extractor:
        """An extractor of these features for a stream.

        Parameters
        ----------
        info : StreamInfo
            Channels, rate and unit of the stream.
        running_s : float, optional
            Also without cues, see :class:`~neuro.stream.Plan`.
        """
        plan = self.plan
        if running_s is not None:
            plan = Plan.from_json(plan.to_json() | {"running_s": running_s})
        chain = Chain(info.ch_names, info.sfreq, self.steps)
        return Extractor(chain, plan, self.family, unit=info.unit)

    @property
    def identity(self) -> str:
        """Same settings, same text, on any machine."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("plan", "family")
        }
        for name in ("l_freq", "h_freq", "notch", "sfreq"):
            plain[name] = None if plain[name] is None else float(plain[name])
        return plain | {"plan": self.plan.to_json(), "family": self.family.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], networks: Path | None = None) -> Self:
        """The settings that :meth:`to_json` wrote; what is absent keeps its default.

        Parameters
        ----------
        values : mapping
            Plain values.
        networks : Path, optional
            Folder of networks, where the family needs one.

        Raises
        ------
        ConfigError
            Unknown fields.
        """
        known = {f.name for f in fields(cls)}
        rest = dict(values)
        for key in rest:
            if key not in known:
                raise ConfigError(f"Settings have no field {key!r}. {did_you_mean(key, known)}")
        for key in ("ch_names", "reference"):
            if isinstance(rest.get(key), list):
                rest[key] = tuple(rest[key])
        try:
            if "plan" in rest:
                rest["plan"] = Plan.from_json(rest["plan"])
            if "family" in rest:
                rest["family"] = family_from_json(rest["family"], networks)
            return cls(**rest)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The settings are not usable: {error}.") from error
