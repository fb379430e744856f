"""The regions of one atlas as those of another, where the user says how."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from neuro.data.axis import Axis
from neuro.data.recording import Recording
from neuro.errors import DataError, did_you_mean
from neuro.typing import FloatArray

__all__ = ["RegionMapping", "map_regions"]

RegionMapping: TypeAlias = Mapping[str, str | Sequence[str] | Mapping[str, float]]


def map_regions(
    recording: Recording, mapping: RegionMapping, *, atlas: str, stream: str = "bold"
) -> Recording:
    """Recording whose regions are those of another atlas.

    Which regions correspond nobody but the user can say, so nothing is
    guessed from names. A region of the new atlas that the mapping leaves out
    does not exist in the result: a contract with ``missing="mask"`` masks it.

    Parameters
    ----------
    recording : Recording
        With regions in `stream`.
    mapping : mapping of str to str, sequence of str, or mapping of str to float
        Region of the new atlas -> the recording's region, regions whose mean
        it is, or regions with weights (shares of its volume, say). Regions
        that are bad, and missing samples, do not count in a mean.
    atlas : str
        Name of the new atlas.
    stream : str
        Name of the stream.

    Returns
    -------
    Recording
        Rows in the order of the mapping, float32; a row all of whose sources
        are bad is bad. The mapping is noted in the provenance.

    Raises
    ------
    DataError
        If the mapping is empty or names a region that the recording lacks, or
        a weight is not above 0.

    Examples
    --------
    >>> from neuro.data import Regular
    >>> axis = Axis(["V1", "V2", "M1"], "roi", atlas="fine")
    >>> bold = Regular(np.array([[1.0, 2], [3, 4], [5, 6]]), "1/2", "au", axis, "bold")
    >>> mapping = {"visual": {"V1": 3.0, "V2": 1.0}, "motor": "M1"}
    >>> coarse = map_regions(Recording({"bold": bold}), mapping, atlas="coarse").regular("bold")
    >>> coarse.values().tolist(), coarse.axis.atlas
    ([[1.5, 2.5], [5.0, 6.0]], 'coarse')
    """
    signal = recording.regular(stream)
    weights = _weights(signal.axis, mapping)
    used = weights * ~signal.axis.bad
    bad = ~used.any(axis=1)
    # a region without a good source keeps the values of the bad ones, marked as such
    used[bad] = weights[bad]
    x = signal.values()
    known = np.isfinite(x)
    total = used @ np.where(known, x, 0.0)
    count = used @ known
    values = np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)
    places = signal.axis.positions
    mapped = replace(
        signal,
        data=values.astype(np.float32),
        axis=Axis(
            list(mapping),
            "roi",
            positions=None if places is None else _centres(used, places),
            frame=signal.axis.frame,
            atlas=atlas,
            bad=bad,
        ),
        valid=None,
        scale=None,
        offset=None,
    )
    step = f"{len(mapping)} regions of {atlas} from {int(weights.any(axis=0).sum())} of " + (
        signal.axis.atlas or "an unnamed atlas"
    )
    return recording.with_stream(stream, mapped, step)


def _weights(axis: Axis, mapping: RegionMapping) -> FloatArray:
    """Weight of each of the recording's regions in each new one, (new, old)."""
    if not mapping:
        raise DataError("The mapping is empty: give new region -> the recording's region.")
    where = {name: i for i, name in enumerate(axis.names)}
    out = np.zeros((len(mapping), len(axis)))
    for row, (target, sources) in zip(out, mapping.items(), strict=True):
        if isinstance(sources, str):
            sources = (sources,)
        shares = sources if isinstance(sources, Mapping) else dict.fromkeys(sources, 1.0)
        if not shares:
            raise DataError(f"The mapping gives {target!r} no region; leave it out instead.")
        for name, share in shares.items():
            if name not in where:
                raise DataError(
                    f"The mapping makes {target!r} of {name!r}, which the recording does not "
                    f"have. {did_you_mean(name, axis.names)}"
                )
            if not (np.isfinite(share) and share > 0):
                raise DataError(f"The weight of {name!r} in {target!r} is {share}; use above 0.")
            row[where[name]] = share
    return out


def _centres(weights: FloatArray, places: FloatArray) -> FloatArray:
    """Weighted mean place of each new region; NaN where a source's is unknown."""
    share = weights / weights.sum(axis=1, keepdims=True)
    unknown = np.asarray(~np.isfinite(places).all(axis=1))
    centres = share @ np.where(unknown[:, None], 0.0, places)
    return np.asarray(np.where((share[:, unknown] > 0).any(axis=1)[:, None], np.nan, centres))
