"""Configurations: frozen dataclasses that check themselves and go through JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from neuro.errors import ConfigError, did_you_mean
from neuro.typing import Modality

__all__ = ["Config", "NetworkConfig"]

# A size above this is a typing error or a hostile file, not a model.
_LARGEST = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all configurations: typed fields, JSON round trip.

    Raises
    ------
    ConfigError
        On construction, if a value does not have the type its field declares.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in fields(self):
            value = _coerce(getattr(self, f.name), hints[f.name], f.name)
            object.__setattr__(self, f.name, value)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary of numbers, strings and lists."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`.

        Parameters
        ----------
        values : mapping
            Field names and values; missing fields take their default.

        Returns
        -------
        Config
            Equal to the configuration that was written.

        Raises
        ------
        ConfigError
            If a field is unknown or a value unusable.
        """
        known = [f.name for f in fields(cls)]
        for key in values:
            if key not in known:
                raise ConfigError(
                    f"{cls.__name__} has no field {key!r}. {did_you_mean(str(key), known)}"
                )
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(Config):
    """What every network is told about its input, in braindecode's words.

    Parameters
    ----------
    n_chans : int
        Channels; 0 takes the number of `ch_names`, or 19 (our default, the
        10-20 system) without names.
    n_times : int
        Samples in a window.
    sfreq : float
        Hz.
    n_outputs : int
        Outputs of the prediction head; 0 builds none.
    ch_names : tuple of str, optional
        Channels in order; with them the contract refuses any other order.
    ch_positions : tuple of (x, y, z), optional
        Metres; used when a bare tensor comes without positions.
    modality, unit : str
        What the samples are.

    Raises
    ------
    ConfigError
        If values contradict each other.
    """

    n_chans: int = 0
    n_times: int = 512
    sfreq: float = 128.0
    n_outputs: int = 0
    ch_names: tuple[str, ...] | None = None
    ch_positions: tuple[tuple[float, float, float], ...] | None = None
    modality: Modality = "eeg"
    unit: str = "uV"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.n_chans:
            object.__setattr__(self, "n_chans", len(self.ch_names) if self.ch_names else 19)
        self.require("n_chans", self.n_chans >= 1, "at least 1")
        self.require("n_times", self.n_times >= 1, "at least 1")
        self.require("sfreq", 0 < self.sfreq < float("inf"), "a positive number of Hz")
        self.require("n_outputs", self.n_outputs >= 0, "0 (no head) or more")
        for name, listed in (("ch_names", self.ch_names), ("ch_positions", self.ch_positions)):
            if listed is not None and len(listed) != self.n_chans:
                raise ConfigError(
                    f"n_chans = {self.n_chans} but {len(listed)} {name} are given; "
                    "leave n_chans out or make them agree."
                )
        if self.ch_names and len(set(self.ch_names)) < self.n_chans:
            twice = sorted({n for n in self.ch_names if self.ch_names.count(n) > 1})
            raise ConfigError(f"Channel names must differ; found twice: {', '.join(twice)}.")

    def require(self, field: str, holds: bool, rule: str) -> None:
        """Raise ConfigError unless the rule holds for the field's value."""
        if not holds:
            raise ConfigError(f"{field} = {getattr(self, field)!r} is not possible; use {rule}.")


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _coerce(value: Any, hint: Any, field: str) -> Any:
    """Value in the declared type (int to float, list to tuple), or ConfigError."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for option in options:
        fits, result = _fit(value, option, field)
        if fits:
            return result
    if len(options) == 1 and get_origin(hint) is Literal:
        raise ConfigError(
            f"{field} = {value!r} is unknown. {did_you_mean(str(value), map(str, get_args(hint)))}"
        )
    wanted = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{field} = {value!r} has the wrong type; use {wanted}.")


def _fit(value: Any, option: Any, field: str) -> tuple[bool, Any]:
    if option is NoneType:
        return value is None, None
    if get_origin(option) is Literal:
        # a command line cannot tell the word none from the absence of a value
        value = "none" if value is None and "none" in get_args(option) else value
        return value in get_args(option), value
    if get_origin(option) is tuple:
        return _fit_tuple(value, get_args(option), field)
    if option in (int, float):
        return _fit_number(value, option)
    return isinstance(value, option), value


def _fit_tuple(value: Any, items: tuple[Any, ...], field: str) -> tuple[bool, Any]:
    if not isinstance(value, (tuple, list)):
        return False, None
    if len(items) == 2 and items[1] is Ellipsis:
        items = items[:1] * len(value)
    if len(items) != len(value):
        return False, None
    found = tuple(_coerce(v, item, field) for v, item in zip(value, items, strict=True))
    # the very object that came, as for numbers
    same = isinstance(value, tuple) and all(a is b for a, b in zip(value, found, strict=True))
    return True, value if same else found


def _fit_number(value: Any, option: type) -> tuple[bool, Any]:
    # numpy's numbers are welcome, true and false are not numbers
    if isinstance(value, bool) or not hasattr(value, "__float__") or isinstance(value, str):
        return False, None
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False, None
    if option is int:
        if not number.is_integer():
            return False, None
        # the very object that came, which scikit-learn's clone asks for
        return abs(number) <= _LARGEST, value if type(value) is int else int(number)
    return number == number, number
