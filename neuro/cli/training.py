"""``neuro train``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuro import models
from neuro.cli._run_page import PAGE, write_run_page
from neuro.cli._show import clean, console, first_process, show_json
from neuro.cli._sources import setting
from neuro.cli.catalogue import load_model
from neuro.cli.preparing import prepared
from neuro.data import Irregular, Recording, Regular, Windows, windows
from neuro.errors import ConfigError, DataError

__all__ = ["cut", "sampled", "settings", "train_model"]

# Window length where none is given, in seconds: enough for the slowest rhythm
# or the haemodynamic response.
_LENGTH_S = {"eeg": 4.0, "meg": 4.0, "ieeg": 4.0, "lfp": 4.0, "bold": 40.0, "spikes": 1.0}
_BIN_S = 0.05
_RESERVED = ("contract", "chs_info", "name", "preset", "seed")


def train_model(
    name: str,
    recordings: Sequence[Recording],
    out: Path,
    *,
    window: Mapping[str, Any],
    preset: str,
    config: Mapping[str, Any],
    fit: Mapping[str, Any],
    init: Path | None,
    valid_by: str | None,
    as_json: bool,
) -> None:
    """Cut windows, build the model, train it.

    Parameters
    ----------
    name : str
        A registered model.
    recordings : sequence of Recording
        What to train on.
    out : Path
        Run folder.
    window : mapping
        Arguments of :func:`cut`.
    preset : str
        Of the model.
    config : mapping
        Fields of its configuration.
    fit : mapping
        Arguments of :func:`neuro.train.fit`.
    init : Path, optional
        Run or saved model whose weights are the start, on these channels.
    valid_by : str, optional
        Level by which a tenth is held out.
    as_json : bool
        Print JSON.
    """
    from neuro.train import fit as run_fit

    if models.info(name).kind == "estimator":
        from neuro.cli.estimators import fit_estimator

        if init is not None or fit["stage"] is not None:
            raise ConfigError(f"{name} is an estimator: --init and --stage are for networks.")
        fit_estimator(
            name, recordings, out, window=window, preset=preset, config=config,
            seed=int(fit["seed"]), valid_by=valid_by, as_json=as_json,
        )  # fmt: skip
        return
    index = cut(recordings, **window)
    train, valid = (index, None)
    if valid_by is not None:
        train, valid = index.split(valid_by, test=0.1, seed=int(fit["seed"]))
    model = _started(name, preset, init, train, {**_outputs(train), **config}, int(fit["seed"]))
    if not as_json:
        console.print(clean(f"{train!r}"), soft_wrap=True)
        console.print(f"{name} ({preset}): {model.n_parameters():,} parameters")
    run = run_fit(model, train, valid, out=out, **fit)
    figures = _last_figures(run.metrics())
    if first_process():
        write_run_page(run, model, train, valid)
    if as_json:
        facts = {"model": name, "preset": preset, "parameters": model.n_parameters()}
        counts = {"train": len(train), "valid": 0 if valid is None else len(valid)}
        # out is the user's own word for the folder
        show_json(facts | {"windows": counts, "step": run.step, "folder": str(out), **figures})
        return
    said = "  ".join(f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, float))
    console.print(f"step {run.step}: {said}", soft_wrap=True)
    console.print(f"trained: {out}, report: {out / PAGE}", soft_wrap=True)


def _outputs(train: Windows) -> dict[str, Any]:
    """A head for labelled windows: one output a class, or a target."""
    if train.target is None:
        return {}
    return {"n_outputs": len(train.classes or ()) or max(1, train.target[0].size)}


def _started(
    name: str,
    preset: str,
    init: Path | None,
    train: Windows,
    config: Mapping[str, Any],
    seed: int,
) -> Any:
    """A new network, or one with the weights of an earlier run."""
    contract = train.contract()
    if init is None:
        return models.create(name, preset, contract=contract, seed=seed, **config)
    earlier = load_model(init)
    if earlier.name != name:
        raise ConfigError(f"{init.name!r} holds a {earlier.name!r}, not a {name!r}.")
    return models.adapt(earlier, contract, seed=seed, **config)


def _last_figures(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last training and the last validation loss."""
    last: dict[str, Any] = {}
    for line in lines:
        last.update({k: v for k, v in line.items() if k in ("loss", "valid_loss")})
    return last


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Fields of a model's configuration out of ``name=value`` pairs.

    Raises
    ------
    ConfigError
        If a pair is malformed or names what has an option of its own.
    """
    out = dict(setting(pair) for pair in pairs)
    for name in _RESERVED:
        if name in out:
            raise ConfigError(f"--set {name}=… is no field of the model's configuration.")
    return out


def cut(
    recordings: Sequence[Recording],
    *,
    stream: str | None = None,
    length_s: float | None = None,
    step_s: float | None = None,
    bin_s: float | None = None,
    prepare: Mapping[str, Any] | None = None,
    **labels: Any,
) -> Windows:
    """Windows of the named stream, or of the only signal there is.

    Parameters
    ----------
    recordings : sequence of Recording
        Not empty.
    stream : str, optional
        Needed where there are several signals.
    length_s, step_s : float, optional
        Of the windows; the modality's usual length if omitted.
    bin_s : float, optional
        Bin width for spikes.
    prepare : mapping, optional
        Rate, filters, channels; see :func:`neuro.cli.preparing.prepared`.
    **labels : object
        Further arguments of :func:`neuro.data.windows`.

    Returns
    -------
    Windows

    Raises
    ------
    DataError
        If the stream must be named, or its modality has no usual length.
    ConfigError
        If bins are asked of a stream that is sampled already.
    """
    recordings, name = sampled(recordings, stream=stream, bin_s=bin_s, prepare=prepare)
    first = recordings[0].stream(name)
    if length_s is None and "align" not in labels:
        if first.modality not in _LENGTH_S:
            raise DataError(f"Say how long a window of {first.modality} is: length_s.")
        length_s = _usual_length(recordings, name, _LENGTH_S[first.modality])
    return windows(recordings, stream=name, length_s=length_s, step_s=step_s, **labels)


def _usual_length(recordings: Sequence[Recording], name: str, usual_s: float) -> float | None:
    """The usual length, or None (the whole of each) where trials are shorter."""
    stretches = [
        (stop - start) / stream.sfreq
        for stream in (rec.stream(name) for rec in recordings)
        if isinstance(stream, Regular)
        for start, stop in stream.segments.tolist()
    ]
    return None if stretches and max(stretches) < usual_s else usual_s


def sampled(
    recordings: Sequence[Recording],
    *,
    stream: str | None = None,
    bin_s: float | None = None,
    prepare: Mapping[str, Any] | None = None,
) -> tuple[Sequence[Recording], str]:
    """Recordings whose named stream is sampled and prepared, and the stream's name.

    Parameters
    ----------
    recordings : sequence of Recording
        Not empty.
    stream : str, optional
        Needed where there are several signals.
    bin_s : float, optional
        Bin width for spikes.
    prepare : mapping, optional
        As in :func:`cut`.

    Returns
    -------
    recordings : sequence of Recording
        The stream is Regular in each.
    name : str
        Of the stream.

    Raises
    ------
    DataError
        If the stream must be named.
    ConfigError
        If bins are asked of a stream that is sampled already.
    """
    name = stream or _main_stream(recordings[0])
    if isinstance(recordings[0].stream(name), Irregular):
        width = _BIN_S if bin_s is None else bin_s
        recordings = [_binned(rec, name, width) for rec in recordings]
    elif bin_s is not None:
        raise ConfigError(f"bin_s is for spikes; stream {name!r} is sampled already.")
    if prepare:
        recordings = prepared(recordings, name, prepare)
    return recordings, name


def _binned(rec: Recording, name: str, bin_s: float) -> Recording:
    stream = rec.stream(name)
    if not isinstance(stream, Irregular):
        raise DataError(f"Stream {name!r} of {rec.id!r} is sampled, the first recording's is not.")
    return rec.with_stream(name, stream.bin(bin_s), f"bin {bin_s:g} s")


def _main_stream(rec: Recording) -> str:
    signals = [
        k
        for k, s in rec.streams.items()
        if isinstance(s, Regular | Irregular) and s.modality in _LENGTH_S
    ]
    preferred = [k for k in signals if k in _LENGTH_S]
    for found in (preferred, signals):
        if len(found) == 1:
            return found[0]
    raise DataError(f"{rec.id!r} has the signals {signals or sorted(rec.streams)}: name a stream.")
