"""``neuro tokens``: recordings as code numbers, and a page that says what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neuro import models
from neuro.cli._show import clean, console, show_json
from neuro.cli._sources import recordings_of
from neuro.cli.catalogue import load_model
from neuro.data import Windows, windows
from neuro.data.by_channel import ANY_CHANNEL
from neuro.errors import ConfigError

__all__ = ["run_tokens"]


def run_tokens(
    model_folder: Path,
    source: str,
    out: Path,
    options: Mapping[str, Any],
    *,
    stream: str | None,
    root: Path | None,
    where: Sequence[str],
    align: Sequence[str],
    label: str | None,
    positive: str | None,
    by: str,
    seed: int,
    as_json: bool,
) -> None:
    """Bring recordings to the model, tokenize them, write tokens, numbers and a page.

    Raises
    ------
    ConfigError
        If the model has no code book.
    """
    from neuro.evaluate.codebook import inspect_codebook
    from neuro.io import safe

    model = load_model(model_folder)
    if not callable(getattr(model, "tokenize", None)):
        raise ConfigError(
            f"{model.name!r} has no code book: it does not turn recordings into tokens. Train a "
            "tokenizer, e.g. `neuro train eegformer …`."
        )
    cut = _cut(model.contract, recordings_of(source, options, root=root, where=where), stream,
               align, label)  # fmt: skip
    if model.contract.ch_names == (ANY_CHANNEL,):  # learned channel by channel, read as a montage
        model = models.adapt(model, cut.contract())
    found = inspect_codebook(model, cut, positive=positive, by=by, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    safe.save_npz(
        out / "tokens.npz",
        {
            "ids": found.grid.ids.astype(np.int32),
            "token_start_s": found.grid.start_s,
            "token_length_s": np.array(found.grid.length_s),
            "n_codes": np.array(found.n_codes),
            "window_start_s": cut.start_s(),
            "recording": np.array([rec.id for rec in cut.recordings])[cut.recording],
            "ch_names": np.array(cut.ch_names),
        },
    )
    facts = found.to_json(out / "codes.json")
    found.to_html(out / "codes.html")
    if as_json:
        show_json(facts)
        return
    console.print(clean(repr(found)))
    for note in found.notes:
        console.print(f"note: {clean(note)}")
    console.print(f"page: {clean(out / 'codes.html')}")


def _cut(
    contract: Any,
    recordings: Sequence[Any],
    stream: str | None,
    align: Sequence[str],
    label: str | None,
) -> Windows:
    """Windows of the model's own length, in its own unit, rate and channels."""
    if contract.ch_names == (ANY_CHANNEL,):
        contract = replace(contract, ch_names=None)
    conformed = [contract.conform(rec, stream) for rec in recordings]
    first = conformed[0].streams
    name = stream or next(k for k, s in first.items() if s.modality == contract.modality)
    length_s = float(contract.n_times / contract.sfreq)
    return windows(
        conformed, stream=name, length_s=length_s, align=list(align) or None, label=label
    )
