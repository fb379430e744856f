"""What is computed of a stretch of signal: one code for calibration, replay and the live loop.

A family looks at one window at a time (`window`), and at the windows of a trial
together (`combine`). Windows are never computed in groups: a number must not
depend on how many others were asked for at the same time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np

from neuro.connectivity.spectral import ALIASES, finish
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.signal import burg, burg_spectrum, tapering
from neuro.typing import AnyArray, FloatArray

# far beyond any use; a wrong number in a file must not ask for all the memory or time
_MOST_FREQS, _MOST_ORDER = 10_000, 1000

__all__ = ["Covariance", "Family", "Power", "Strength", "Table", "family_from_json"]


@dataclass(frozen=True)
class Table:
    """Names of the rows and columns of a family's values.

    Parameters
    ----------
    rows : tuple of str
        Channels, mostly.
    columns : tuple of float
        Frequencies in Hz, or numbers of components.
    unit : str
        What the values are.
    """

    rows: tuple[str, ...]
    columns: tuple[float, ...]
    unit: str


@runtime_checkable
class Family(Protocol):
    """A kind of feature; frozen, so that training and the loop cannot differ."""

    def fitted(self, ch_names: Sequence[str], sfreq: float, n_times: int) -> "Family":
        """The same family, made for windows of this size."""

    def window(self, x: FloatArray) -> AnyArray:
        """What one window (n_chans, n_times) contributes."""

    def combine(self, parts: Sequence[AnyArray]) -> FloatArray:
        """Values (n_rows, n_columns) of one or more windows together."""

    @property
    def table(self) -> Table:
        """Names of rows and columns."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""


@dataclass(frozen=True)
class _Spectral:
    """What families of spectra share: a range of frequencies, and windows of one size."""

    fmin: float = 4.0
    fmax: float = 40.0
    ch_names: tuple[str, ...] = ()
    sfreq: float = 0.0
    n_times: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fmin < self.fmax:
            raise ConfigError(f"fmin={self.fmin} Hz must lie below fmax={self.fmax} Hz.")

    def fitted(self, ch_names: Sequence[str], sfreq: float, n_times: int) -> Self:
        """The same family, made for windows of this size.

        Raises
        ------
        ConfigError
            If frequencies or orders do not fit the windows.
        """
        if self.fmax > sfreq / 2:
            raise ConfigError(
                f"fmax={self.fmax:g} Hz lies above the Nyquist frequency {sfreq / 2:g} Hz; "
                "lower it."
            )
        return replace(self, ch_names=tuple(ch_names), sfreq=float(sfreq), n_times=int(n_times))

    def _ready(self) -> None:
        if not self.n_times:
            raise ConfigError("Call fitted(ch_names, sfreq, n_times) first.")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"family": _NAMES[type(self)]} | asdict(self)


@dataclass(frozen=True)
class Power(_Spectral):
    """Spectral power of every channel, mean over the windows.

    Parameters
    ----------
    fmin, fmax : float
        Range in Hz, both ends included.
    method : {"burg", "welch"}
        Autoregressive spectrum (smooth, for short windows), or a Hann-tapered
        periodogram.
    order_s : float
        Burg: order in seconds, so that it scales with the rate; 0.038 s are 19
        samples at 500 Hz, HappyFeat's default.
    step_hz : float
        Burg: spacing of the frequencies in Hz.
    log : bool
        Decibels instead of power; separates classes better in most recordings.

    Examples
    --------
    >>> family = Power(fmin=8, fmax=12).fitted(["C3", "C4"], 250, 63)
    >>> x = np.random.default_rng(0).standard_normal((2, 63))
    >>> family.combine([family.window(x)]).shape, family.table.columns
    ((2, 5), (8.0, 9.0, 10.0, 11.0, 12.0))
    """

    method: Literal["burg", "welch"] = "burg"
    order_s: float = 0.038
    step_hz: float = 1.0
    log: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in ("burg", "welch"):
            raise ConfigError(
                f"method={self.method!r}. {did_you_mean(self.method, ('burg', 'welch'))}"
            )
        if not (0 < self.step_hz <= 1e6 and 0 < self.order_s <= 3600):
            raise ConfigError("step_hz (up to 1e6) and order_s (up to an hour) must be positive.")
        if (self.fmax - self.fmin) / self.step_hz > _MOST_FREQS:
            raise ConfigError(f"step_hz={self.step_hz:g}: {_MOST_FREQS} frequencies at most.")
        if self.n_times and self.method == "burg" and self._order > _MOST_ORDER:
            raise ConfigError(f"order_s={self.order_s:g} is more than {_MOST_ORDER} samples.")
        if self.n_times and self.method == "burg" and self._order >= self.n_times:
            raise ConfigError(
                f"order_s={self.order_s:g} is {self._order} samples, a window has {self.n_times}: "
                "use longer windows or a lower order."
            )

    @property
    def _order(self) -> int:
        return max(1, round(self.order_s * self.sfreq))

    @cached_property
    def _freqs(self) -> FloatArray:
        if self.method == "welch":
            return np.asarray(self._tapering.freqs)
        n = int(np.floor((self.fmax - self.fmin) / self.step_hz + 1e-9)) + 1
        return np.asarray(self.fmin + self.step_hz * np.arange(n))

    @cached_property
    def _tapering(self) -> Any:
        return tapering(self.n_times, self.sfreq, fmin=self.fmin, fmax=self.fmax)

    def window(self, x: FloatArray) -> FloatArray:
        """Power density of one window, (n_chans, n_freqs)."""
        self._ready()
        if self.method == "welch":
            return np.asarray((np.abs(self._tapering.spectra(x)) ** 2).sum(axis=-2))
        a, variance = burg(x - x.mean(axis=-1, keepdims=True), self._order)
        return burg_spectrum(a, variance, self.sfreq, self._freqs)

    def combine(self, parts: Sequence[AnyArray]) -> FloatArray:
        """Mean over windows, (n_chans, n_freqs); in dB with `log`."""
        mean = np.mean(parts, axis=0)
        # a silent channel has no logarithm; far below any amplifier's noise it stays finite
        return np.asarray(10 * np.log10(np.maximum(mean, 1e-12)) if self.log else mean)

    @property
    def table(self) -> Table:
        """Channels and frequencies."""
        self._ready()
        return Table(self.ch_names, tuple(self._freqs.tolist()), "dB" if self.log else "uV^2/Hz")


@dataclass(frozen=True)
class Strength(_Spectral):
    """Node strength: mean connectivity of each channel with all others.

    Cross-spectra are averaged over the windows of a trial first. The channel
    itself is left out of its mean: with it, a constant 1 would only compress the
    contrast between classes.

    Parameters
    ----------
    fmin, fmax : float
        Range in Hz.
    method : {"imcoh", "coherence", "wpli"}
        Absolute imaginary part of coherency (blind to volume conduction),
        coherence, or weighted phase lag index.

    Examples
    --------
    >>> family = Strength(fmin=8, fmax=12).fitted(["C3", "Cz", "C4"], 250, 125)
    >>> x = np.random.default_rng(0).standard_normal((4, 3, 125))
    >>> family.combine([family.window(w) for w in x]).shape
    (3, 3)
    """

    method: str = "imcoh"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in _STRENGTHS:
            raise ConfigError(f"method={self.method!r}. {did_you_mean(self.method, _STRENGTHS)}")
        if self.n_times and len(self.ch_names) < 2:
            raise ConfigError("Connectivity needs at least two channels.")

    @cached_property
    def _tapering(self) -> Any:
        return tapering(self.n_times, self.sfreq, fmin=self.fmin, fmax=self.fmax)

    def window(self, x: FloatArray) -> AnyArray:
        """Cross-spectrum of one window, (n_freqs, n_chans, n_chans), complex."""
        self._ready()
        z = self._tapering.spectra(x).transpose(2, 0, 1)  # (freq, channel, taper)
        return np.asarray(z @ z.conj().transpose(0, 2, 1))

    def combine(self, parts: Sequence[AnyArray]) -> FloatArray:
        """Strength of each channel, (n_chans, n_freqs), 0 to 1.

        Raises
        ------
        DataError
            For a single window: its coherence is 1 whatever the signal.
        """
        if len(parts) < 2:
            raise DataError("Connectivity needs two windows or more; lengthen the trial.")
        cross = np.sum(parts, axis=0)
        power = np.einsum("fii->fi", cross).real
        auto = np.sqrt(power[:, :, None] * power[:, None, :])
        # of the three only wPLI reads this, and it costs more than all the rest
        absim = sum(np.abs(p.imag) for p in parts) if self.method == "wpli" else cross.imag
        sums = _Sums(cross, auto + (auto == 0), np.asarray(absim))
        matrix = np.abs(finish(ALIASES.get(self.method, self.method), sums))
        np.einsum("fii->fi", matrix)[:] = 0
        return np.asarray((matrix.sum(axis=2) / (matrix.shape[1] - 1)).T)

    @property
    def table(self) -> Table:
        """Channels and frequencies."""
        self._ready()
        return Table(self.ch_names, tuple(self._tapering.freqs.tolist()), self.method)


@dataclass(frozen=True)
class _Sums:
    """Sums over windows by the names that `neuro.connectivity` gives them."""

    cross: AnyArray
    auto: AnyArray
    absim: AnyArray


_STRENGTHS = ("imcoh", "coherence", "wpli")


@dataclass(frozen=True)
class Covariance:
    """Covariance of the channels over all windows, for decoders in tangent space.

    Shrunk towards a multiple of the identity by `shrinkage`, so that it has full
    rank for any length. Filter the signal to the band of interest in the chain.

    Parameters
    ----------
    shrinkage : float
        0 to 1.

    Examples
    --------
    >>> family = Covariance().fitted(["C3", "C4"], 250, 100)
    >>> family.combine([family.window(np.eye(2, 100))]).shape
    (2, 2)
    """

    shrinkage: float = 0.05
    ch_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.shrinkage <= 1:
            raise ConfigError(f"shrinkage={self.shrinkage} must lie between 0 and 1.")

    def fitted(self, ch_names: Sequence[str], sfreq: float, n_times: int) -> Self:
        """The same family for these channels."""
        return replace(self, ch_names=tuple(ch_names))

    def window(self, x: FloatArray) -> FloatArray:
        """Covariance of one window."""
        z = x - x.mean(axis=1, keepdims=True)
        return np.asarray(z @ z.T / z.shape[1])

    def combine(self, parts: Sequence[AnyArray]) -> FloatArray:
        """Mean covariance, shrunk, (n_chans, n_chans)."""
        mean = np.mean(parts, axis=0)
        size = max(float(np.trace(mean)) / len(mean), 1e-12)
        return np.asarray((1 - self.shrinkage) * mean + self.shrinkage * size * np.eye(len(mean)))

    @property
    def table(self) -> Table:
        """Channels by channels; columns are numbers of channels."""
        return Table(self.ch_names, tuple(float(i) for i in range(len(self.ch_names))), "uV^2")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"family": _NAMES[type(self)]} | asdict(self)


_FAMILIES: Mapping[str, Any] = {"power": Power, "strength": Strength, "covariance": Covariance}
_NAMES = {kind: name for name, kind in _FAMILIES.items()}


def family_from_json(values: Mapping[str, Any], networks: Path | None = None) -> Family:
    """The family that `to_json` wrote.

    Parameters
    ----------
    values : mapping
        Plain values.
    networks : Path, optional
        Folder in which networks were kept by their hash.

    Raises
    ------
    ConfigError
        Unknown family or field.

    Examples
    --------
    >>> family_from_json({"family": "power", "fmax": 30}).fmax
    30
    """
    rest = dict(values)
    name = str(rest.pop("family", ""))
    if name == "embedding":
        return _embedding(rest, networks)
    if name not in _FAMILIES:
        raise ConfigError(
            f"No family of features {name!r}. {did_you_mean(name, (*_FAMILIES, 'embedding'))}"
        )
    kind = _FAMILIES[name]
    known = {f.name for f in fields(kind)}
    for key in rest:
        if key not in known:
            raise ConfigError(f"{name!r} has no option {key!r}. {did_you_mean(key, known)}")
    if "ch_names" in rest:
        rest["ch_names"] = tuple(rest["ch_names"])
    made: Family = kind(**rest)
    return made


def _embedding(values: Mapping[str, Any], networks: Path | None) -> Family:
    from neuro.stream.networks import Embedding  # torch only where a network is used

    if networks is None or set(values) != {"output", "identity"}:
        raise ConfigError("A family of a network needs its output, its identity and its folder.")
    return Embedding.load(networks, output=str(values["output"]), identity=str(values["identity"]))
