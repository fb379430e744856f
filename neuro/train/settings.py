"""What a run folder says about a run, and whether a resumed run is the same one."""

import hashlib
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import neuro
from neuro.errors import ConfigError, did_you_mean
from neuro.train.schedules import Schedule, Shape, make_schedule
from neuro.typing import FloatArray

__all__ = [
    "Arguments",
    "check_same",
    "describe_callback",
    "describe_data",
    "describe_model",
    "hash_subject",
    "versions",
]

# Fields that change no weight: they may differ when a run is resumed.
FREE = ("num_workers", "checkpoint_every", "valid_every", "log_every", "keep")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of one call of `fit`, checked; see there.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    steps: int
    batch_size: int
    optimizer: str
    lr: float
    schedule: Shape
    warmup: float
    weight_decay: float
    clip: float | None
    stage: str | None
    seed: int
    checkpoint_every: int | None
    valid_every: int | None
    log_every: int
    keep: int
    precision: str
    accumulate: int
    num_workers: int
    shard: bool
    callbacks: tuple[Any, ...]

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "lamb"):
            raise ConfigError(
                f"optimizer={self.optimizer!r} is unknown. "
                f"{did_you_mean(self.optimizer, ('adamw', 'lamb'))}"
            )
        counts = ("steps", "batch_size", "log_every", "keep", "accumulate")
        for name in (*counts, "checkpoint_every", "valid_every", "seed", "num_workers"):
            value, least = getattr(self, name), 0 if name in ("seed", "num_workers") else 1
            if value is None and name.endswith("_every"):
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name}={value!r} is not possible; use an int, {least} or more.")
            object.__setattr__(self, name, int(value))
        for name in ("lr", "weight_decay", "clip"):
            value = getattr(self, name)
            if name == "clip" and value is None:
                continue
            zero = name == "weight_decay"
            if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
                raise ConfigError(
                    f"{name}={value!r} is not possible; use a number above 0"
                    + (
                        " or 0."
                        if zero
                        else ", or None to clip nothing."
                        if name == "clip"
                        else "."
                    )
                )

    @property
    def checkpoint_period(self) -> int:
        """Steps from checkpoint to checkpoint."""
        return self.checkpoint_every or max(1, math.ceil(self.steps / 10))

    @property
    def valid_period(self) -> int:
        """Steps from validation to validation."""
        return self.valid_every or self.checkpoint_period

    def make_schedule(self) -> Schedule:
        """Schedule of the run."""
        return make_schedule(self.schedule, self.steps, self.warmup)

    def to_json(self, schedule: Schedule) -> dict[str, Any]:
        """All arguments as plain JSON."""
        out = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "warmup"}
        out["schedule"] = {"name": schedule.name, "warmup": schedule.warmup}
        out["callbacks"] = [describe_callback(c) for c in self.callbacks]
        return out

    def provenance(self) -> dict[str, Any]:
        """What a saved model tells about its training, beside the data."""
        names = (
            "steps",
            "batch_size",
            "optimizer",
            "lr",
            "weight_decay",
            "stage",
            "seed",
            "precision",
        )
        return {name: getattr(self, name) for name in names}


def hash_subject(dataset: str, subject: str, *more: str) -> str:
    """Name of a subject, or of a run of one, that does not say who it is.

    Parameters
    ----------
    dataset, subject : str
        As in the recording.
    *more : str
        Session and run, to name one run.

    Returns
    -------
    str
        SHA-256 in hexadecimal. Not secret: who knows the data set can compare
        its identifiers with it, which is what it is for.

    Examples
    --------
    >>> hash_subject("scp1", "01")[:8]
    'c17d4ff7'
    """
    return hashlib.sha256("\0".join((dataset, subject, *more)).encode()).hexdigest()


def describe_data(source: Any) -> dict[str, Any]:
    """Hashes and counts of what a model is trained on: no name, no path.

    Parameters
    ----------
    source : Windows or object with ``len`` and ``batch(indices)``
        Training data.

    Returns
    -------
    dict
        Number of examples; for Windows also hashed subjects, and for each
        recording its source's hash, hashed run, number of windows and the
        stretches of session time they cover (``covered_s``; ``start_s`` and
        ``stop_s`` are its ends); ``sha256`` over all that decides an example.
    """
    out: dict[str, Any] = {"examples": len(source)}
    recordings = getattr(source, "recordings", None)
    number = getattr(source, "recording", None)
    if recordings is None or number is None:
        return out
    digest = hashlib.sha256()
    for name in ("recording", "start", "stop", "id", "target"):
        values = getattr(source, name, None)
        if values is not None:
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    start_s, stop_s = np.asarray(source.start_s()), np.asarray(source.stop_s())
    by_recording = np.argsort(number, kind="stable")
    used, first = np.unique(np.asarray(number)[by_recording], return_index=True)
    listed = []
    for i, mine in zip(used.tolist(), np.split(by_recording, first[1:]), strict=True):
        rec = recordings[i]
        digest.update("\0".join((rec.provenance.sha256, *rec.provenance.steps)).encode())
        covered = _covered(start_s[mine], stop_s[mine])
        listed.append(
            {
                "sha256": rec.provenance.sha256,
                "subject": hash_subject(rec.dataset, rec.subject) if rec.subject else None,
                "run": hash_subject(rec.dataset, rec.subject, rec.session, rec.run),
                "windows": len(mine),
                "start_s": covered[0][0],
                "stop_s": covered[-1][1],
                "covered_s": covered,
            }
        )
    subjects = sorted({r["subject"] for r in listed if r["subject"] is not None})
    return {**out, "sha256": digest.hexdigest(), "subjects": subjects, "recordings": listed}


def _covered(start_s: FloatArray, stop_s: FloatArray) -> list[list[float]]:
    """Stretches of time that windows cover, joined where they touch."""
    order = np.argsort(start_s, kind="stable")
    start, end = start_s[order], np.maximum.accumulate(stop_s[order])
    # a microsecond is below any sampling interval; sums of fractions differ by less
    new = np.concatenate([[True], start[1:] > end[:-1] + 1e-6])
    last = np.concatenate([np.flatnonzero(new)[1:] - 1, [len(start) - 1]])
    pairs = zip(start[new].tolist(), end[last].tolist(), strict=True)
    return [[round(a, 6), round(b, 6)] for a, b in pairs]


def describe_model(model: Any) -> dict[str, Any]:
    """Name and configuration of a model, as plain JSON."""
    return {
        "name": str(getattr(model, "name", type(model).__qualname__)),
        "config": _plain_config(getattr(model, "config", None)),
    }


def describe_contract(model: Any) -> Any:
    """Contract of a model, as plain JSON; None if it declares none."""
    return _plain_config(getattr(model, "contract", None))


def _plain_config(config: Any) -> Any:
    if config is None or isinstance(config, Mapping):
        return None if config is None else dict(config)
    if callable(getattr(config, "to_json", None)):
        return config.to_json()
    if is_dataclass(config) and not isinstance(config, type):
        return asdict(config)
    raise ConfigError(
        f"A {type(config).__name__} cannot be written to config.json: give model.config as a "
        "dataclass, a mapping, or with a to_json() method."
    )


def describe_callback(callback: Any) -> str:
    """Name and settings of a callback."""
    name = type(callback).__qualname__
    if not is_dataclass(callback):
        return name
    shown = [f"{f.name}={getattr(callback, f.name)!r}" for f in fields(callback) if f.init]
    return f"{name}({', '.join(shown)})"


def versions(device: str) -> dict[str, str]:
    """Versions of what a run depends on; nothing that names the machine."""
    out = {"neuro": neuro.__version__, "python": platform.python_version()}
    for package in ("torch", "accelerate", "numpy", "safetensors"):
        try:
            out[package] = version(package)
        except PackageNotFoundError:  # pragma: no cover - all are required
            out[package] = "unknown"
    return {**out, "system": platform.system(), "processor": platform.machine(), "device": device}


def check_same(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    done: int,
    schedule: Schedule,
    hooked: bool,
) -> None:
    """Raise unless a run may go on under these settings.

    Parameters
    ----------
    before, now : mapping
        Content of config.json as it was and as it would be, with the
        description of the data under ``"data"``.
    done : int
        Steps already done.
    schedule : Schedule
        Of the run as it would be.
    hooked : bool
        True if the model has an ``on_step(step, total)`` hook.

    Raises
    ------
    ConfigError
        Names each field that differs, with both values.
    """
    old, new = _flat(before), _flat(now)
    old_steps = int(before["arguments"]["steps"])
    differ = [
        key
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and key.removeprefix("arguments.") not in (*FREE, "steps", "schedule.warmup")
    ]
    if differ:
        shown = "; ".join(f"{key} was {old.get(key)!r}, is now {new.get(key)!r}" for key in differ)
        raise ConfigError(
            f"The run folder holds a run with other settings: {shown}. Give the old values to "
            "resume it, or another `out` to start a new run."
        )
    earlier = Schedule(schedule.shape, old_steps, int(before["arguments"]["schedule"]["warmup"]))
    if schedule.total < done:
        raise ConfigError(
            f"steps={schedule.total}, but the run in this folder has done {done} of {old_steps}."
        )
    changed = schedule.total != old_steps
    if not schedule.same_until(done, earlier) or (changed and hooked):
        raise ConfigError(_not_extendable(schedule, earlier, done, hooked))


def _not_extendable(schedule: Schedule, earlier: Schedule, done: int, hooked: bool) -> str:
    if schedule.total == earlier.total:
        return (
            f"warmup was {earlier.warmup} steps, is now {schedule.warmup}: the {done} steps "
            "already done had another learning rate. Give the old value to resume."
        )
    why = (
        "the model's on_step(step, total) depends on it"
        if schedule.same_until(done, earlier) and hooked
        else f"the schedule {schedule.name!r} gives other learning rates for the {done} steps "
        "already done"
    )
    return (
        f"steps was {earlier.total}, is now {schedule.total}: {why}. A run can be extended when "
        f"its schedule does not look at the end: schedule='constant' with warmup={earlier.warmup} "
        "(in steps), or a callable that ignores `total`. Otherwise start a new run."
    )


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        parts = [_flat(v, f"{at}.{k}" if at else str(k)) for k, v in value.items()]
        return {key: leaf for part in parts for key, leaf in part.items()}
    return {at: value}
