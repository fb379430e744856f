"""Predicted regions as recordings of their own, and how alike two connectomes are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuro.data import PairedWindows, Recording, Regular
from neuro.errors import DataError
from neuro.stats import pearson
from neuro.typing import FloatArray

__all__ = ["ConnectomeSimilarity", "connectome_similarity", "predicted_recordings"]


def predicted_recordings(
    pairs: PairedWindows, said: FloatArray, *, model: str = "model", unit: str = "z"
) -> list[Recording]:
    """Predictions as recordings with a BOLD stream, one a scan.

    Whatever reads BOLD (connectivity, state models) then reads predictions.
    Volumes without a prediction between the first and the last one are
    missing values; those before and after are left out.

    Parameters
    ----------
    pairs : PairedWindows
        What was predicted from.
    said : ndarray, shape (n, roi)
        One prediction a window.
    model : str
        For the provenance.
    unit : str
        Of the predictions.

    Returns
    -------
    list of Recording
        Stream ``"bold"`` on the clock of the measured one; who and when as in
        the measured recording, task and regions too. The id begins with
        ``"predicted_"``, so that it cannot be taken for a measurement.

    Raises
    ------
    DataError
        If there is not one prediction a window and region.

    Examples
    --------
    >>> from neuro.data import pair
    >>> from neuro.datasets import synthetic
    >>> made = synthetic.eeg_fmri(0, n_scans=1, n_volumes=40)
    >>> pairs = pair(made.recordings, window_s=16)
    >>> predicted_recordings(pairs, pairs.target)[0].stream("bold")
    Regular(bold, 3 x 32, 0.47619 Hz, z, 67.2 s)
    """
    said = np.asarray(said, dtype=np.float64)
    if said.shape != (len(pairs), len(pairs.target_axis)):
        raise DataError(
            f"Predictions {said.shape} for {len(pairs)} windows and {len(pairs.target_axis)} "
            "regions: one a window and region is needed."
        )
    out = []
    for r in np.unique(pairs.recording).tolist():
        rows = np.flatnonzero(pairs.recording == r)
        series, volume = pairs.target_series(r), pairs.target_sample[rows]
        first = int(volume.min())
        x = np.full((said.shape[1], int(volume.max()) - first + 1), np.nan, np.float32)
        x[:, volume - first] = said[rows].T
        bold = Regular(
            x, series.rate, unit, pairs.target_axis, "bold", t0_s=float(series.time(first))
        )
        source = pairs.target_recordings[r]
        clocks = {"bold": source.clock(pairs.target_stream)}
        made = Recording(
            {"bold": bold},
            id=f"predicted_{source.id}",
            dataset=source.dataset,
            subject=source.subject,
            session=source.session,
            run=source.run,
            task=source.task,
            age=source.age,
            sex=source.sex,
            group=source.group,
            clocks=clocks,
            provenance=source.provenance,
        )
        out.append(
            made.with_step(f"predicted by {model} from {pairs.length_s:g} s of {pairs.stream}")
        )
    return out


@dataclass(frozen=True, eq=False)
class ConnectomeSimilarity:
    """Correlation of the connections of predicted and measured scans.

    Parameters
    ----------
    own : ndarray, shape (scan,)
        Over the pairs of regions, with the same scan's measured connectome.
    other : ndarray, shape (scan,)
        With those of other people, on average: what is common to everybody;
        NaN if there is one person.
    predicted, measured : ndarray, shape (scan, roi, roi)
        The connectomes (correlation).
    """

    own: FloatArray
    other: FloatArray
    predicted: FloatArray
    measured: FloatArray

    def __str__(self) -> str:
        return (
            f"predicted and measured connectomes: r {self.own.mean():.3f} over {len(self.own)} "
            f"scans; with other people's {np.nanmean(self.other):.3f}"
            if np.isfinite(self.other).any()
            else f"predicted and measured connectomes: r {self.own.mean():.3f}"
        )


def connectome_similarity(
    said: Sequence[Recording], true: Sequence[Recording], *, stream: str = "bold"
) -> ConnectomeSimilarity:
    """How alike predicted and measured functional connectomes are.

    Both are correlation matrices over the same volumes. A high similarity with
    other people's scans says that the common connectome is predicted, not this
    person's.

    Parameters
    ----------
    said, true : sequence of Recording
        In the same order, with the same regions.
    stream : str
        In both.

    Returns
    -------
    ConnectomeSimilarity

    Raises
    ------
    DataError
        If numbers or regions differ, or there are fewer than 3 regions.

    Examples
    --------
    >>> from neuro.datasets import synthetic
    >>> recs = synthetic.eeg_fmri(0, n_scans=2, n_volumes=40, n_rois=6).recordings
    >>> connectome_similarity(recs, recs).own.round(6).tolist()
    [1.0, 1.0]
    """
    if len(said) != len(true) or not said:
        raise DataError(f"{len(said)} predicted and {len(true)} measured scans: as many of each.")
    one, two = [], []
    for a, b in zip(said, true, strict=True):
        x, y = _common(a, b, stream)
        one.append(np.asarray(np.corrcoef(x)))
        two.append(np.asarray(np.corrcoef(y)))
    upper = np.triu_indices(len(one[0]), 1)
    if len(upper[0]) < 3:
        raise DataError(f"{len(one[0])} regions have too few connections to compare.")
    p, q = np.stack(one), np.stack(two)
    edges = pearson(p[:, None][:, :, upper[0], upper[1]], q[None][:, :, upper[0], upper[1]])
    people = np.array([rec.subject or rec.id for rec in true])
    foreign = people[:, None] != people[None, :]
    n = foreign.sum(axis=1)
    other = np.divide((edges * foreign).sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0)
    return ConnectomeSimilarity(np.diagonal(edges).copy(), other, p, q)


def _common(a: Recording, b: Recording, stream: str) -> tuple[FloatArray, FloatArray]:
    """Both series at the volumes that both hold."""
    one, two = a.regular(stream), b.regular(stream)
    if one.axis.names != two.axis.names:
        raise DataError(f"{a.id!r} and {b.id!r} hold other regions.")
    t = [
        rec.clock(stream).to_session(s.time(np.arange(s.n_times)))
        for rec, s in ((a, one), (b, two))
    ]
    at = np.round((t[0] - t[1][0]) * float(two.rate)).astype(int)
    inside = (at >= 0) & (at < two.n_times)
    x = one.values()[:, inside].astype(np.float64)
    y = two.values()[:, at[inside]].astype(np.float64)
    known = np.isfinite(x).all(axis=0) & np.isfinite(y).all(axis=0)
    if known.sum() < 10:
        raise DataError(f"{a.id!r} and {b.id!r} share {int(known.sum())} volumes.")
    return x[:, known], y[:, known]
