"""The whole inspection of a code book in one call, one result."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuro.data import Windows
from neuro.errors import ConfigError, DataError
from neuro.evaluate.codebook.agreement import Agreement, agreement, kmeans_codes
from neuro.evaluate.codebook.evidence import Evidence, ngram_evidence
from neuro.evaluate.codebook.prototypes import BandError, BandSums, Prototypes, StretchSums
from neuro.evaluate.codebook.reading import (
    TokenGrid,
    joined,
    noisy,
    read_tokens,
    shifted,
    tokens_of,
)
from neuro.evaluate.codebook.stretches import Stretches
from neuro.typing import FloatArray, IntArray, PathLike

__all__ = ["CodebookReport", "inspect_codebook"]

_SHIFT_S, _SNR_DB = 0.005, 20.0
_KEPT = 20_000  # stretches that the yardstick is fitted on
_SHOWN = 24  # codes that are drawn


@dataclass(frozen=True)
class Stability:
    """Share of codes that stay the same when windows are shaken.

    Parameters
    ----------
    name : str
        What was done.
    kept : float
        Share of tokens with the same code.
    chance : float
        Share that two tokens drawn at random have in common.
    n_tokens : int
        Tokens compared.
    """

    name: str
    kept: float
    chance: float
    n_tokens: int


@dataclass(frozen=True, eq=False)
class CodebookReport:
    """All that was found out about a code book.

    Parameters
    ----------
    model : str
        Name of the tokenizer.
    windows : Windows
        That were tokenized.
    grid : TokenGrid
        Their codes.
    counts : ndarray of int, shape (n_codes,)
        How often each code occurs in the whole set.
    perplexity : float
        exp of the entropy of code use over the whole set.
    stability : tuple of Stability
        Under a shift of 5 ms and noise of 20 dB.
    prototypes : Prototypes
        What the most frequent codes, and those of the strongest n-grams, look like.
    bands : tuple of BandError
        How much of each band the codes lose; empty for models without
        ``token_spectra``.
    truth : Agreement, optional
        Codes against known stretches.
    yardstick : Agreement, optional
        The same for k-means with as many centres.
    yardstick_centres : int
        Centres of the yardstick.
    evidence : Evidence, optional
        What n-grams say of the classes of windows.
    notes : tuple of str
        What could not be measured, and why.
    """

    model: str
    windows: Windows
    grid: TokenGrid
    counts: IntArray
    perplexity: float
    stability: tuple[Stability, ...]
    prototypes: Prototypes
    bands: tuple[BandError, ...]
    truth: Agreement | None
    yardstick: Agreement | None
    yardstick_centres: int
    evidence: Evidence | None
    notes: tuple[str, ...]

    @property
    def n_codes(self) -> int:
        """Size of the vocabulary."""
        return self.grid.n_codes

    @property
    def n_used(self) -> int:
        """Codes that occur."""
        return int((self.counts > 0).sum())

    @property
    def n_dead(self) -> int:
        """Codes that never occur."""
        return self.n_codes - self.n_used

    @property
    def simulated(self) -> bool:
        """Whether any recording was made by a simulator."""
        return any(r.dataset.startswith("synthetic_") for r in self.windows.recordings)

    def __repr__(self) -> str:
        out = (
            f"CodebookReport({self.model}: {self.n_used} of {self.n_codes} codes used, "
            f"perplexity {self.perplexity:.1f}"
        )
        if self.truth is not None:
            out += f", purity {self.truth.purity:.3f}"
        if self.evidence is not None:
            out += f", AUROC {np.mean(self.evidence.auroc):.3f} for {self.evidence.positive!r}"
        return out + ")"

    def to_json(self, path: PathLike | None = None) -> dict[str, Any]:
        """Plain values without maps and samples, None for NaN; written to `path` if given."""
        names = sorted({r.dataset for r in self.windows.recordings})
        out = {
            "model": self.model,
            "datasets": names,
            "simulated": self.simulated,
            "n_windows": len(self.windows),
            "n_tokens": int(self.counts.sum()),
            "n_codes": self.n_codes,
            "n_used": self.n_used,
            "n_dead": self.n_dead,
            "perplexity": self.perplexity,
            "counts": self.counts.tolist(),
            "stability": [asdict(s) for s in self.stability],
            "bands": [asdict(b) for b in self.bands],
            "truth": None if self.truth is None else self.truth.to_json(),
            "yardstick": None if self.yardstick is None else self.yardstick.to_json(),
            "yardstick_centres": self.yardstick_centres,
            "evidence": None if self.evidence is None else self.evidence.to_json(),
            "notes": list(self.notes),
        }
        plain: dict[str, Any] = _plain(out)
        if path is not None:
            from neuro.io import safe

            safe.write_json(path, plain)
        return plain

    def to_html(self, path: PathLike) -> Path:
        """One self-contained page; see :func:`neuro.evaluate.codebook.codebook_page`."""
        from neuro.evaluate.codebook.page import codebook_page

        return codebook_page(self, path)


def inspect_codebook(
    model: Any,
    windows: Windows,
    *,
    name: str | None = None,
    stretches: Stretches | None = None,
    localise: str | None = None,
    positive: str | None = None,
    by: str = "subject",
    orders: Sequence[int] = (1, 2, 3),
    by_channel: bool = False,
    batch_size: int = 32,
    shuffles: int = 20,
    seed: int = 0,
) -> CodebookReport:
    """Find out what a tokenizer's codes mean.

    Samples are read batch by batch and only sums are kept, so memory does not
    grow with the recordings, but for some numbers a token.

    Parameters
    ----------
    model : object
        With ``tokenize(batch)``, and for the bands ``token_spectra(batch)``,
        as eegformer and tfm_tokenizer have. It is put into eval mode.
    windows : Windows
        Not of the training part, if anything shall be said about new data.
        With classes as targets, n-grams are asked for evidence.
    name : str, optional
        Of the model; its own if omitted.
    stretches : Stretches, optional
        What is known of single stretches: a simulator's truth or annotations.
    localise : str, optional
        Name of the stretches that the evidence should point at.
    positive : str, optional
        Class that evidence is for; the last one if omitted.
    by : str
        Units held out whole: subject, session, run or block.
    orders : sequence of int
        Lengths of the n-grams.
    by_channel : bool
        Tell the same n-gram of two channels apart.
    batch_size : int
        Windows a batch.
    shuffles : int
        Repetitions with exchanged labels, a fold.
    seed : int
        Of everything drawn.

    Returns
    -------
    CodebookReport

    Raises
    ------
    ConfigError
        If the model has no code book, or a name is unknown.
    DataError
        If there is no window or no token with a code.

    Examples
    --------
    >>> from neuro import models
    >>> from neuro.data import windows
    >>> from neuro.datasets.synthetic import motifs
    >>> made = motifs(n_subjects=2, duration_s=24, n_chans=2)
    >>> cut = windows(made.recordings, stream="eeg", length_s=6.0)
    >>> model = models.create("eegformer", "tiny", contract=cut.contract())
    >>> found = inspect_codebook(model, cut, stretches=Stretches.of_truth(made.truth))
    >>> found.n_codes, int(found.counts.sum()), found.truth.names[1]
    (16, 96, 'alpha')
    """
    if not len(windows):
        raise DataError("There are no windows to tokenize.")
    if localise is not None and stretches is None:
        raise ConfigError("localise= needs stretches=, which say where it is.")
    if callable(getattr(model, "eval", None)):
        model.eval()
    notes: list[str] = []
    read = _read(model, windows, stretches, batch_size, seed)
    grid, counts = read.grid, read.grid.counts
    if not counts.any():
        raise DataError("No token got a code: the windows hold nothing valid.")
    if not read.has_spectra:
        notes.append("No error of bands: the model has no token_spectra.")
    names = () if stretches is None else tuple(stretches.names)
    truth, yardstick, centres = _compared(windows, read, names, seed)
    options = {"positive": positive, "stretches": stretches, "localise": localise, "by": by,
               "orders": orders, "by_channel": by_channel, "shuffles": shuffles,
               "seed": seed}  # fmt: skip
    evidence = _evidence(windows, grid, notes, options)
    return CodebookReport(
        name or str(getattr(model, "name", type(model).__name__)),
        windows,
        grid,
        counts,
        perplexity_of(counts),
        _stability(model, windows, read, counts, batch_size),
        read.sums.prototypes(windows, grid, _drawn(counts, evidence), seed),
        read.bands.errors(names),
        truth,
        yardstick,
        centres,
        evidence,
        tuple(notes),
    )


def _drawn(counts: IntArray, evidence: Evidence | None) -> IntArray:
    """The most frequent codes, and those of the strongest n-grams, most frequent first."""
    told = dict.fromkeys(c for t in evidence.top for c in t.codes) if evidence is not None else {}
    frequent = np.argsort(-counts, kind="stable").tolist()
    codes = [*list(told)[: _SHOWN // 2], *frequent]
    kept = list(dict.fromkeys(c for c in codes if counts[c]))[:_SHOWN]
    return np.array(sorted(kept, key=lambda c: (-counts[c], c)))


def perplexity_of(counts: IntArray) -> float:
    """Perplexity of code use, see :func:`neuro.nn.quantise.perplexity`."""
    import torch

    from neuro.nn.quantise import perplexity

    return perplexity(torch.from_numpy(counts))


@dataclass(frozen=True, eq=False)
class _Read:
    """What one pass over the windows leaves."""

    grid: TokenGrid
    noise_grid: TokenGrid
    label: IntArray | None
    sums: StretchSums
    bands: BandSums
    has_spectra: bool


def _read(
    model: Any, windows: Windows, stretches: Stretches | None, batch_size: int, seed: int
) -> _Read:
    rng = np.random.default_rng([seed, 0])
    bands = BandSums(0 if stretches is None else len(stretches.names))
    has_spectra = callable(getattr(model, "token_spectra", None))
    parts, noisy_parts, labels = [], [], []
    sums: StretchSums | None = None
    for a in range(0, len(windows), batch_size):
        rows = np.arange(a, min(a + batch_size, len(windows)))
        batch = windows.batch(rows)
        grid = tokens_of(model, batch)
        label = None
        if stretches is not None:
            label = stretches.of_tokens(windows.select(rows), grid.start_s, grid.length_s)
            labels.append(label)
        if sums is None:
            n_times = round(grid.length_s * windows.sfreq)
            expected = len(windows) * grid.ids[0].size
            sums = StretchSums(grid.n_codes, n_times, windows.sfreq, keep=_KEPT,
                               expected=expected, rng=np.random.default_rng([seed, 1]))  # fmt: skip
        sums.add(batch.x.numpy(), grid)
        if has_spectra:
            bands.add(model, batch, grid.ids, label)
        parts.append(grid)
        noisy_parts.append(tokens_of(model, noisy(batch, _SNR_DB, rng)))
    assert sums is not None  # there is at least one window
    whole = np.concatenate(labels) if labels else None
    return _Read(joined(parts), joined(noisy_parts), whole, sums, bands, has_spectra)


def _compared(
    windows: Windows, read: _Read, names: tuple[str, ...], seed: int
) -> tuple[Agreement | None, Agreement | None, int]:
    """Codes and k-means centres against the labels of stretches."""
    if read.label is None:
        return None, None, 0
    ids = read.grid.ids
    people = np.unique(windows.column("subject").astype(str), return_inverse=True)[1]
    group = np.broadcast_to(people.reshape(-1, 1, 1), ids.shape)
    n_codes = read.grid.n_codes
    truth = agreement(ids, read.label, names, n_codes=n_codes, group=group, seed=seed)
    kept = np.concatenate(read.sums.kept_at)
    spectra: FloatArray = np.concatenate(read.sums.kept)
    # a centre needs some stretches of its own, or purity means nothing
    centres = min(n_codes, len(spectra) // 5)
    if centres < 2:
        return truth, None, 0
    code = np.full(ids.shape, -1, dtype=np.int64)
    code[kept] = kmeans_codes(spectra, centres, seed=seed)
    yardstick = agreement(code, read.label, names, n_codes=centres, group=group, seed=seed)
    return truth, yardstick, centres


def _stability(
    model: Any, windows: Windows, read: _Read, counts: IntArray, batch_size: int
) -> tuple[Stability, ...]:
    share = counts / counts.sum()
    chance = float((share**2).sum())
    later, rows = shifted(windows, _SHIFT_S)
    pairs = [(f"noise of {_SNR_DB:g} dB", read.grid.ids, read.noise_grid.ids)]
    if len(rows):
        moved = read_tokens(model, later, batch_size=batch_size)
        name = f"shift by {1e3 * _SHIFT_S:g} ms"
        pairs.insert(0, (name, read.grid.ids[rows], moved.ids))
    out = []
    for what, a, b in pairs:
        both = (a >= 0) & (b >= 0)
        if both.any():
            kept = float((a[both] == b[both]).mean())
            out.append(Stability(what, kept, chance, int(both.sum())))
    return tuple(out)


def _evidence(
    windows: Windows, grid: TokenGrid, notes: list[str], options: dict[str, Any]
) -> Evidence | None:
    if windows.classes is None:
        notes.append("No evidence of n-grams: the windows have no classes.")
        return None
    try:
        return ngram_evidence(windows, grid, **options)
    except DataError as error:
        notes.append(f"No evidence of n-grams: {error}")
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
