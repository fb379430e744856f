"""``neuro train`` for estimators: they learn from whole series, not from windows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuro import models
from neuro.cli._show import clean, console, show_json
from neuro.cli.cutting import sampled
from neuro.data import Recording, Regular
from neuro.errors import ConfigError, DataError
from neuro.typing import FloatArray

__all__ = ["fit_estimator", "series"]

_WINDOWED = ("length_s", "step_s", "align", "label")


def fit_estimator(
    name: str,
    recordings: Sequence[Recording],
    out: Path,
    *,
    window: Mapping[str, Any],
    preset: str,
    config: Mapping[str, Any],
    seed: int,
    valid_by: str | None,
    as_json: bool,
) -> None:
    """Fit an estimator to every stretch of a stream and save it in a folder.

    Parameters
    ----------
    name : str
        A registered estimator.
    recordings : sequence of Recording
        What to learn from.
    out : Path
        Folder of the model; where the estimator can, an interrupted fit goes on there.
    window : mapping
        Stream, bin width and preparation; what only windows have is refused.
    preset : str
        Of the estimator.
    config : mapping
        Fields of its configuration.
    seed : int
        Of all that is random.
    valid_by : str, optional
        "time" holds out the last tenth of every stretch; subject, session, run or
        recording a tenth of those.
    as_json : bool
        Print JSON.

    Raises
    ------
    ConfigError
        An option that means nothing to an estimator.
    """
    for option in _WINDOWED:
        if window.get(option) is not None:
            raise ConfigError(f"{option} is for networks: {name} learns from whole series.")
    options = {k: window.get(k) for k in ("stream", "bin_s", "prepare")}
    ready, stream = sampled(recordings, **options)
    model = models.create(name, preset, seed=seed, **config)
    train, valid = _held_out(ready, stream, valid_by, whole=model.takes_recordings)
    which = {"stream": stream} if model.takes_recordings else {}
    model.provenance = {"recordings": len(ready), "stream": stream, "bin_s": options["bin_s"]}
    if model.resumable:
        model.fit(train, out=out, progress=None if as_json else _say)
    else:
        model.fit(train, **which).save(out)
    facts: dict[str, Any] = {"model": name, "preset": preset, "folder": str(out)}
    facts["series"] = {"train": len(train), "valid": len(valid)}
    for label, some in (("score", train), ("valid_score", valid)):
        if some and hasattr(model, "score"):
            facts[label] = float(sum(model.score([one], **which) for one in some) / len(some))
    if hasattr(model, "n_states"):
        facts["n_states"] = int(model.n_states)
    if as_json:
        show_json(facts)
        return
    numbers = {k: v for k, v in facts.items() if isinstance(v, int | float)}
    console.print("  ".join(f"{k} {v:.6g}" for k, v in numbers.items()), soft_wrap=True)
    console.print(clean(f"fitted: {out}"), soft_wrap=True)


def _say(done: Any) -> None:
    console.print(f"round {done.number + 1}: log posterior {done.log_posterior:.6g}")


def series(recordings: Sequence[Recording], stream: str) -> list[FloatArray]:
    """Every stretch of a sampled stream, (n_rows, n_times), NaN where missing."""
    out: list[FloatArray] = []
    for rec in recordings:
        found = rec.stream(stream)
        if not isinstance(found, Regular):
            raise DataError(f"Stream {stream!r} of {rec.id!r} is not sampled.")
        out += [found.read(a, b) for a, b in found.segments.tolist()]
    return out


def _held_out(
    recordings: Sequence[Recording], stream: str, by: str | None, *, whole: bool
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Series (or `whole` recordings) to learn from, and those to judge by."""
    if by == "time":
        if whole:
            raise ConfigError(
                "One row is made of a whole recording here: hold out subject, session, run or "
                "recording, not time."
            )
        parts = [(x, max(1, x.shape[1] // 10)) for x in series(recordings, stream)]
        return [x[:, :-n] for x, n in parts], [x[:, -n:] for x, n in parts]
    train, valid = (recordings, []) if by is None else _parted(recordings, by)
    if whole:
        return train, valid
    return series(train, stream), series(valid, stream)


def _parted(
    recordings: Sequence[Recording], by: str
) -> tuple[Sequence[Recording], Sequence[Recording]]:
    if by not in ("subject", "session", "run", "recording"):
        raise ConfigError(
            f"{by!r} cannot be held out from an estimator: use time, subject, session, run or "
            "recording."
        )
    keys = [rec.id if by == "recording" else str(getattr(rec, by)) for rec in recordings]
    groups = sorted(set(keys))
    if len(groups) < 2:
        raise ConfigError(f"Only one {by}: there is none to hold out; use --valid-by time.")
    last = set(groups[-max(1, len(groups) // 10) :])
    train = [rec for rec, key in zip(recordings, keys, strict=True) if key not in last]
    valid = [rec for rec, key in zip(recordings, keys, strict=True) if key in last]
    return train, valid
