"""Bipolar montages: the published orders by name, and the derivation itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from neuro.data.axis import Axis
from neuro.data.channels import canonical_eeg_name, eeg_positions
from neuro.data.recording import Recording
from neuro.data.streams import Regular
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["MONTAGES", "bipolar", "montage_pairs"]

_SIDES = ("FP1-F7 F7-T3 T3-T5 T5-O1", "FP2-F8 F8-T4 T4-T6 T6-O2")
_TOP = ("FP1-F3 F3-C3 C3-P3 P3-O1", "FP2-F4 F4-C4 C4-P4 P4-O2")
_ACROSS = "T3-C3 C3-CZ CZ-C4 C4-T4"

# Order matters to networks whose patches or positions span neighbouring rows.
MONTAGES: dict[str, tuple[str, ...]] = {
    # temporal chains, the transverse row with both ears in place, parasagittal chains
    "tcp22": tuple(" ".join([*_SIDES, "A1-T3", _ACROSS, "T4-A2", *_TOP]).split()),
    # the same pairs with the two ear derivations last, as FEMBA's pre-training set has them
    "tcp22_ears_last": tuple(" ".join([*_SIDES, _ACROSS, *_TOP, "A1-T3", "T4-A2"]).split()),
    # the four chains alone: BIOT, TFM-Tokenizer
    "tcp16": tuple(" ".join([*_SIDES, *_TOP]).split()),
}


def montage_pairs(montage: str | Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Electrode pairs of a montage, by their standard names.

    Parameters
    ----------
    montage : str or sequence of (str, str)
        A name out of ``MONTAGES``, or pairs of electrodes in any spelling.

    Returns
    -------
    list of (anode, cathode)

    Raises
    ------
    ConfigError
        If there is no such montage, with the nearest name.

    Examples
    --------
    >>> montage_pairs("tcp16")[:3], len(montage_pairs("tcp22"))
    ([('Fp1', 'F7'), ('F7', 'T7'), ('T7', 'P7')], 22)
    """
    if isinstance(montage, str):
        if montage not in MONTAGES:
            raise ConfigError(f"No montage {montage!r}. {did_you_mean(montage, MONTAGES)}")
        given: list[Any] = [name.split("-") for name in MONTAGES[montage]]
    else:
        given = list(montage)
    if not given or any(isinstance(pair, str) or len(pair) != 2 for pair in given):
        raise ConfigError("A montage is a name or pairs of electrodes: [('Fp1', 'F7'), …].")
    return [(canonical_eeg_name(anode), canonical_eeg_name(cathode)) for anode, cathode in given]


def bipolar(
    recording: Recording,
    montage: str | Sequence[tuple[str, str]],
    *,
    stream: str = "eeg",
    missing: Literal["refuse", "drop"] = "refuse",
) -> Recording:
    """Recording whose EEG is differences of electrodes; samples stay where they are.

    A pair that the recording already holds as a channel is taken as it is.

    Parameters
    ----------
    recording : Recording
        With electrodes (or these pairs) in `stream`, in any spelling.
    montage : str or sequence of (str, str)
        ``"tcp22"``, ``"tcp22_ears_last"``, ``"tcp16"``, or pairs (anode, cathode).
    stream : str
        Name of the stream.
    missing : {"refuse", "drop"}
        What becomes of a pair that cannot be formed.

    Returns
    -------
    Recording
        Rows named ``"Fp1-F7"``, float32, in the montage's order.

    Raises
    ------
    DataError
        If electrodes are missing, or two channels mean the same electrode.

    Examples
    --------
    >>> from neuro.data import Axis
    >>> x = np.array([[3.0, 3.0], [1.0, 2.0]], np.float32)
    >>> eeg = Regular(x, 250, "uV", Axis(["EEG FP1-REF", "EEG F7-REF"], "eeg"), "eeg")
    >>> derived = bipolar(Recording({"eeg": eeg}), [("FP1", "F7")]).regular()
    >>> derived.axis.names, derived.values().tolist()
    (('Fp1-F7',), [[2.0, 1.0]])
    """
    signal = recording.regular(stream)
    pairs = montage_pairs(montage)
    place: dict[str, int] = {}
    for i, name in enumerate(signal.axis.names):
        known = canonical_eeg_name(name)
        if known in place:
            raise DataError(
                f"{recording.id}: {signal.axis.names[place[known]]!r} and {name!r} mean the same "
                "channel. Drop one of them."
            )
        place[known] = i
    names, rows = [], []
    absent = []
    for anode, cathode in pairs:
        name = f"{anode}-{cathode}"
        if name in place:
            rows.append((place[name], -1))
        elif anode in place and cathode in place:
            rows.append((place[anode], place[cathode]))
        else:
            absent.append(name)
            continue
        names.append(name)
    if absent and (missing == "refuse" or not names):
        raise DataError(
            f"{recording.id}: {len(absent)} of {len(pairs)} pairs cannot be formed, first "
            f"{absent[0]}; the channels are {', '.join(signal.axis.names[:8])} …. Use another "
            "montage, or missing='drop'."
        )
    step = f"bipolar montage {montage if isinstance(montage, str) else ', '.join(names)}"
    if absent:
        step += f" without {', '.join(absent)}"
    return recording.with_stream(stream, _derived(signal, names, np.array(rows)), step)


def _derived(signal: Regular, names: list[str], rows: IntArray) -> Regular:
    anode, cathode = rows.T
    single = cathode < 0
    where = eeg_positions(names)
    valid = None
    if signal.valid is not None:
        valid = signal.valid[anode] & (signal.valid[cathode] | single[:, None])
    data = _Differences(replace(signal, valid=None), anode, cathode)
    bad = signal.axis.bad
    axis = Axis(
        names,
        "eeg",
        positions=where,
        frame="mri_ras" if np.isfinite(where).any() else None,
        bad=bad[anode] | (bad[cathode] & ~single),
    )
    # an array that is in memory stays in memory
    values = data[:, :] if isinstance(signal.data, np.ndarray) else data
    return replace(signal, data=values, axis=axis, valid=valid, scale=None, offset=None)


class _Differences:
    """Anode minus cathode of a stream's rows, shape (pairs, time), computed when read."""

    dtype = np.dtype(np.float32)

    def __init__(self, signal: Regular, anode: IntArray, cathode: IntArray) -> None:
        self._signal, self._anode, self._cathode = signal, anode, cathode
        self.shape: tuple[int, ...] = (len(anode), signal.n_times)

    def __getitem__(self, key: Any) -> AnyArray:
        rows, times = key if isinstance(key, tuple) else (key, slice(None))
        start, stop, step = times.indices(self.shape[1])
        anode, cathode = self._anode[rows], self._cathode[rows]
        used = np.unique(np.concatenate([np.atleast_1d(anode), np.atleast_1d(cathode)]))
        used = used[used >= 0]
        x: FloatArray = self._signal.read(start, max(start, stop), used)
        out = x[np.searchsorted(used, anode)].copy()
        both = cathode >= 0
        out[both] -= x[np.searchsorted(used, np.where(both, cathode, used[0]))][both]
        return np.asarray(out[..., ::step])
