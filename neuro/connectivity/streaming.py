"""Connectivity of a running signal: the numbers of the offline measures, hop by hop.

Windows start every ``hop`` samples after the last gap; each is tapered by the same
code as offline. Without ``tau_s`` all windows since the gap count alike, so the
result is that of the offline function on the same samples; with it older windows
fade with that time constant.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuro.connectivity._bands import Bands, band_groups, frequency_range
from neuro.connectivity._models import by_source
from neuro.connectivity._online import CODES, STATES, compiled_step
from neuro.connectivity._sums import unpack
from neuro.connectivity.directed import DIRECTED, pdc_of
from neuro.connectivity.spectral import ALIASES, SPECTRAL, statistics_of
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.signal.ar import accumulate_var, solve_var
from neuro.signal.cross import CrossMethod, Tapering, tapering
from neuro.typing import AnyArray, FloatArray

__all__ = ["StreamingConnectivity", "Update"]

_Real: TypeAlias = NDArray[np.float64]
_MODELS = ("pdc", "gpdc")


@dataclass(frozen=True, eq=False)
class Update:
    """State of the connectivity after one window.

    Parameters
    ----------
    sample : int
        Samples pushed up to the end of the window (missing ones included).
    after_gap : bool
        Whether this is the first result since a gap: what came before is forgotten.
    n_windows : float
        Sum of the weights of the windows.
    freqs : float64 array, shape (n_freqs,)
        Frequencies in Hz.
    """

    sample: int
    after_gap: bool
    n_windows: float
    freqs: FloatArray
    _packed: Mapping[str, _Real]
    _full: Mapping[str, _Real]
    _strength: Mapping[str, _Real]
    _groups: tuple[NDArray[np.int64], ...]
    _independent: Callable[[], float]

    @property
    def n_eff(self) -> float:
        """Independent observations the windows and tapers are worth.

        Measures of phase lags average tapers first and have fewer by their number.
        """
        return self._independent()

    @property
    def names(self) -> tuple[str, ...]:
        """Measures this update holds."""
        return (*self._packed, *self._full)

    def _banded(self, values: _Real) -> _Real:
        if not self._groups:
            return values
        return np.stack([values[bins].mean(axis=0) for bins in self._groups])

    def values(self, name: str) -> FloatArray:
        """Matrix of a measure.

        Parameters
        ----------
        name : str
            One of ``names``.

        Returns
        -------
        float64 array, shape (n_freqs or n_bands, source, target)
            As the offline measure of that name; NaN of models while fewer samples than
            coefficients have been seen since the gap.
        """
        if name in self._full:
            return self._banded(self._full[name])
        packed = self._banded(self._look_up(self._packed, name))
        n_chans = next(iter(self._strength.values())).shape[1]
        measure = SPECTRAL[name]
        return unpack(packed, n_chans, measure.symmetry, measure.diagonal)

    def strength(self, name: str) -> FloatArray:
        """Node strength: sum over the other channels (the diagonal never counts).

        Parameters
        ----------
        name : str
            One of ``names``.

        Returns
        -------
        float64 array, shape (n_freqs or n_bands, n_chans)
            Of magnitudes for imaginary coherence; of what a channel sends (rows) for
            directed measures. Divide by ``n_chans - 1`` for the mean strength.
        """
        found = self._look_up(self._strength, name)
        if self._groups and name == "imaginary_coherence":  # a magnitude of means, not a mean
            return np.asarray(np.abs(self.values(name)).sum(axis=2))
        return self._banded(found)

    def _look_up(self, table: Mapping[str, _Real], name: str) -> _Real:
        if name not in table:
            raise ConfigError(f"No measure {name!r} here. {did_you_mean(name, self.names)}")
        return table[name]


class StreamingConnectivity:
    """Connectivity that follows a stream.

    Any partition of a signal into chunks gives the same results, bit for bit. A
    sample with NaN in any channel, or a jump of ``start``, is a gap: everything is
    forgotten and the next result carries ``after_gap``.

    Parameters
    ----------
    n_chans : int
        Rows of every chunk.
    sfreq : float
        Sampling rate in Hz.
    methods : sequence of str
        Names in ``SPECTRAL`` (or aliases), "pdc" and "gpdc".
    length_s : float
        Window in seconds.
    overlap : float
        Share of a window that the next one repeats; the hop is the rest.
    tau_s : float or None
        Time constant of forgetting in seconds; None forgets nothing.
    estimator : "welch" or "multitaper"
        Taper(s) of a window.
    bands : mapping of name to (low, high), or None
        Half-open bands in Hz over which values are averaged.
    fmin, fmax : float or None
        Range of frequencies without bands.
    bandwidth_hz : float or None
        Multitaper only: full width of the main lobe.
    order : int or None
        Lags of the model behind "pdc" and "gpdc", fitted by exponentially weighted
        (recursive) least squares with the same time constant.

    Raises
    ------
    ConfigError
        Unknown measure or option.
    DataError
        A band above the Nyquist frequency or narrower than the resolution.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((3, 1000))
    >>> stream = StreamingConnectivity(3, 250, ["wpli"], bands={"alpha": (8, 13)})
    >>> updates = stream.push(x[:, :600]) + stream.push(x[:, 600:])
    >>> len(updates), updates[-1].values("wpli").shape, updates[-1].strength("wpli").shape
    (6, (1, 3, 3), (1, 3))
    """

    def __init__(
        self,
        n_chans: int,
        sfreq: float,
        methods: Sequence[str],
        *,
        length_s: float = 1.0,
        overlap: float = 0.5,
        tau_s: float | None = None,
        estimator: CrossMethod = "welch",
        bands: Bands | None = None,
        fmin: float | None = None,
        fmax: float | None = None,
        bandwidth_hz: float | None = None,
        order: int | None = None,
    ) -> None:
        if n_chans < 2:
            raise ConfigError(f"n_chans={n_chans}: connectivity needs at least 2.")
        if not 0 <= overlap < 1:
            raise ConfigError(f"overlap={overlap} must lie in [0, 1).")
        if tau_s is not None and not tau_s > 0:
            raise ConfigError(f"tau_s={tau_s} must be positive, or None to forget nothing.")
        self.n_chans, self.sfreq = n_chans, float(sfreq)
        self._pairwise, self._models = _split(methods, order)
        self.order = order or 0
        n = round(length_s * self.sfreq)
        if n <= self.order:
            raise ConfigError(f"length_s={length_s} is {n} samples, not above order={order}.")
        low, high = frequency_range(bands, fmin, fmax, self.sfreq, self.sfreq / n)
        self._taper = tapering(n, sfreq, estimator, fmin=low, fmax=high, bandwidth_hz=bandwidth_hz)
        found = band_groups(
            bands, self._taper.freqs, self._taper.resolution_hz, "Raise length_s or widen it."
        )
        self.bands = tuple(name for name, _ in found)
        self._groups = tuple(bins for _, bins in found)
        self.hop = max(1, round(n * (1 - overlap)))
        self._keep = 1.0 if tau_s is None else float(np.exp(-self.hop / (self.sfreq * tau_s)))
        self._forget = 1.0 if tau_s is None else float(np.exp(-1 / (self.sfreq * tau_s)))
        if self._models and self._forget < 1 / (1 + 1 / (n_chans * self.order + 2)):
            raise ConfigError(
                f"tau_s={tau_s} remembers fewer samples than the {n_chans * self.order + 1} "
                "coefficients a channel of the model: raise tau_s, or lower the order."
            )
        self._codes = np.array([CODES.index(m) for m in self._pairwise], dtype=np.int64)
        self._phase = any("phase" in statistics_of([m]) for m in self._pairwise)
        self.reset()
        if self._pairwise:
            self._warm_up()

    def _warm_up(self) -> None:
        """Load or compile the loop now: the first hop has no time for it."""
        n_freqs = len(self._taper.bins)
        zero = np.zeros((n_freqs, self._taper.n_tapers, self.n_chans))
        self._read(zero, zero, 1.0, 1.0, 1.0)
        self.reset()

    @property
    def freqs(self) -> FloatArray:
        """Frequencies of the results in Hz; of bands, the mean of their bins."""
        freqs = self._taper.freqs
        return np.array([freqs[b].mean() for b in self._groups]) if self._groups else freqs

    def reset(self) -> None:
        """Forget everything; samples are counted from 0 again."""
        self._forget_all()
        self._seen, self._gap = 0, False

    def _forget_all(self) -> None:
        n_freqs, pairs = len(self._taper.bins), self.n_chans * (self.n_chans - 1) // 2
        size = self.n_chans * (self.order + 1) + 1 if self._models else 0
        rows = len(STATES) if self._pairwise else 0
        self._buffer = np.zeros((self.n_chans, self._taper.n_times))
        self._filled = 0  # samples in the buffer, oldest first
        self._n = self._n2 = 0.0
        self._n_windows = 0
        self._power = np.zeros((n_freqs, self.n_chans))
        self._state = np.zeros((rows, n_freqs, pairs))
        self._gram = np.zeros((size, size))
        self._n_obs = 0.0
        self._shift = np.zeros(self.n_chans)

    def push(self, chunk: AnyArray, *, start: int | None = None) -> list[Update]:
        """Add the next samples.

        Parameters
        ----------
        chunk : array, shape (n_chans, n), n >= 0
            Samples that follow those pushed before.
        start : int or None
            Number of the chunk's first sample in the stream, where it is known: if
            samples are missing before it, that is a gap.

        Returns
        -------
        list of Update
            One for every window that became complete, from the second after a gap
            on (one window says nothing); often none.

        Raises
        ------
        DataError
            Wrong shape, or a start that lies in the past.
        """
        x = np.asarray(chunk)
        if x.ndim != 2 or len(x) != self.n_chans or x.dtype.kind not in "fiu":
            raise DataError(
                f"Expected a real chunk of shape ({self.n_chans}, n), got {x.dtype} {x.shape}."
            )
        if start is not None and start < self._seen:
            raise DataError(f"start={start}, but {self._seen} samples have been seen.")
        if start is not None and start > self._seen:
            self._seen = start
            self._mark_gap()
        good = np.isfinite(x).all(axis=0)
        out: list[Update] = []
        edges = np.flatnonzero(np.diff(good)) + 1
        for low, high in zip([0, *edges], [*edges, x.shape[1]], strict=True):
            if low == high:
                continue
            if good[low]:
                out += self._run(np.asarray(x[:, low:high], np.float64))
            else:
                self._seen += int(high - low)
                self._mark_gap()
        return out

    def _mark_gap(self) -> None:
        self._forget_all()
        self._gap = True

    def _run(self, x: _Real) -> list[Update]:
        """Samples without a gap."""
        n, at, out = self._taper.n_times, 0, []
        while at < x.shape[1]:
            take = min(n - self._filled, x.shape[1] - at)
            self._buffer[:, self._filled : self._filled + take] = x[:, at : at + take]
            at, self._filled, self._seen = at + take, self._filled + take, self._seen + take
            if self._filled == n:
                update = self._window()
                if update is not None:
                    out.append(update)
                self._buffer[:, : n - self.hop] = self._buffer[:, self.hop :].copy()
                self._filled = n - self.hop
        return out

    def _window(self) -> Update | None:
        first = self._n_windows == 0
        self._n_windows += 1
        self._n = self._n * self._keep + 1
        self._n2 = self._n2 * self._keep**2 + 1
        packed: dict[str, _Real] = {}
        strength: dict[str, _Real] = {}
        if self._pairwise:
            z = self._taper.spectra(self._buffer).transpose(2, 1, 0)
            zr, zi = np.ascontiguousarray(z.real), np.ascontiguousarray(z.imag)
            values, sums = self._read(zr, zi, self._keep, self._n, self._n2)
            packed = dict(zip(self._pairwise, values, strict=True))
            strength = dict(zip(self._pairwise, sums, strict=True))
        if self._models:
            self._regress(first)
        if first:
            return None
        full = self._model_values()
        for name, value in full.items():
            strength[name] = value.sum(axis=2) - np.diagonal(value, axis1=1, axis2=2)
        gap, self._gap = self._gap, False
        return Update(
            self._seen,
            gap,
            self._n,
            self.freqs,
            packed,
            full,
            strength,
            self._groups,
            partial(_n_eff, self._taper, self._n_windows, self.hop, self._n**2 / self._n2),
        )

    def _read(self, zr: _Real, zi: _Real, keep: float, n: float, n2: float) -> tuple[_Real, _Real]:
        out = np.empty((len(self._codes), *self._state.shape[1:]))
        strength = np.empty((len(self._codes), len(zr), self.n_chans))
        step = compiled_step()
        step(
            zr, zi, keep, n, n2, self._power, self._state, self._codes, out, strength, self._phase
        )  # fmt: skip
        return out, strength

    def _regress(self, first: bool) -> None:
        """Add the samples since the last window to the normal equations."""
        if first:
            self._shift = self._buffer.mean(axis=1)  # any constant near the mean will do
        new = self._taper.n_times - self.order if first else min(self.hop, self._taper.n_times)
        part = self._buffer[:, self._taper.n_times - new - self.order :]
        gram, weight = accumulate_var(part, self.order, self._shift, self._forget)
        fade = self._forget**new
        self._gram = self._gram * fade + gram
        self._n_obs = self._n_obs * fade + weight

    def _model_values(self) -> dict[str, _Real]:
        if not self._models:
            return {}
        if self._n_obs <= self.n_chans * self.order + 1:  # not determined yet
            shape = (len(self._taper.bins), self.n_chans, self.n_chans)
            return {m: np.full(shape, np.nan) for m in self._models}
        model = solve_var(self._gram, self._n_obs, self.n_chans, self.order, self._shift)
        a, _ = model.transfer(self._taper.freqs, self.sfreq)
        scale = {"pdc": np.ones(self.n_chans), "gpdc": np.sqrt(np.diagonal(model.cov))}
        return {
            m: np.asarray(by_source(pdc_of(a / scale[m][:, np.newaxis])), np.float64)
            for m in self._models
        }

    def state_dict(self) -> dict[str, AnyArray]:
        """State as arrays (copies), enough to continue in another process.

        Returns
        -------
        dict of str to array
            Load it into an object made with the same arguments.
        """
        return {name: np.array(getattr(self, f"_{name}")) for name in _STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned.

        Parameters
        ----------
        state : mapping
            Of an object with the same arguments.

        Raises
        ------
        DataError
            Missing entries, or shapes of other arguments.

        Examples
        --------
        >>> a, b = (StreamingConnectivity(2, 100, ["coherence"]) for _ in range(2))
        >>> _ = a.push(np.random.default_rng(0).standard_normal((2, 130)))
        >>> b.load_state_dict(a.state_dict())
        """
        if set(state) != set(_STATE):
            raise DataError(f"Expected the entries {sorted(_STATE)}, got {sorted(state)}.")
        for name in _STATE:
            own, found = np.asarray(getattr(self, f"_{name}")), np.asarray(state[name])
            if own.shape != found.shape:
                raise DataError(
                    f"{name} has shape {found.shape}, {own.shape} is needed: the state belongs "
                    "to other arguments."
                )
        for name in _STATE:
            own, found = getattr(self, f"_{name}"), np.asarray(state[name])
            value: Any = found.astype(np.float64) if isinstance(own, np.ndarray) else found.item()
            setattr(self, f"_{name}", value.copy() if isinstance(value, np.ndarray) else value)


def _n_eff(taper: Tapering, n_windows: int, hop: int, weight: float) -> float:
    return weight * taper.independent(n_windows, hop) / n_windows


_STATE = (
    "buffer", "filled", "n", "n2", "n_windows", "power", "state", "gram", "n_obs", "shift",
    "seen", "gap",
)  # fmt: skip


def _split(methods: Sequence[str], order: int | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Measures of pairs of spectra, and of models."""
    if isinstance(methods, str) or not methods:
        raise ConfigError("methods must be a sequence of names, for instance ('coherence', 'wpli')")
    names = [ALIASES.get(m, m) for m in methods]
    known = (*SPECTRAL, *_MODELS)
    for name in names:
        if name not in known:
            also = " It has no streaming form." if name in DIRECTED else ""
            raise ConfigError(
                f"Measure {name!r} is not known here.{also} {did_you_mean(name, known)}"
            )
    models = tuple(m for m in names if m in _MODELS)
    if models and (order is None or order < 1):
        raise ConfigError(f"{models[0]!r} needs order= (lags of the model), got {order}.")
    return tuple(m for m in names if m in SPECTRAL), models
