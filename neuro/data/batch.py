"""What a model is handed: one common tensor and everything needed to read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Batch", "EventBatch", "StaticBatch"]


class _OnDevice:
    """Moving a dataclass of tensors from device to device."""

    def to(self, device: "torch.device | str", non_blocking: bool = False) -> Self:
        """Copy with every tensor on the device."""
        import torch

        changes: dict[str, Any] = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, torch.Tensor):
                changes[f.name] = value.to(device, non_blocking=non_blocking)
            elif f.name == "covariates":
                changes[f.name] = {
                    k: v.to(device, non_blocking=non_blocking) for k, v in value.items()
                }
        return replace(self, **changes)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch(_OnDevice):
    """Windows of a sampled stream.

    Where a channel or time mask is False, `x` is 0 and must not be used;
    `x` itself is always finite.

    Parameters
    ----------
    x : Tensor, shape (batch, channel, time), float32
        Values in `unit`.
    sfreq : float
        Hz.
    ch_names : tuple of str
        One a channel.
    channel_mask : Tensor, shape (batch, channel), bool
        False where a channel is absent or bad.
    time_mask : Tensor, shape (batch, time), bool
        False where a sample is missing in any channel that is present.
    positions : Tensor, shape (batch, channel, 3), float32
        Metres in `frame`; NaN where unknown.
    start_s : Tensor, shape (batch,), float64
        Session time of each window's first sample.
    index : Tensor, shape (batch,), int64
        Stable number of each example.
    unit, modality : str
        What the values are.
    frame : str, optional
        Coordinate frame of `positions`.
    target : Tensor, shape (batch, ...), float32, optional
        Labels (class numbers) or values; NaN where missing.
    target_mask : Tensor, same shape, bool, optional
        False where the target is missing.
    covariates : mapping of str to Tensor, shape (batch,)
        Age, sex, …; NaN where unknown.
    subject, session, run : tuple of str
        One a window.
    """

    x: "Tensor"
    sfreq: float
    ch_names: tuple[str, ...]
    channel_mask: "Tensor"
    time_mask: "Tensor"
    positions: "Tensor"
    start_s: "Tensor"
    index: "Tensor"
    unit: str
    modality: str
    frame: str | None = None
    target: "Tensor | None" = None
    target_mask: "Tensor | None" = None
    covariates: Mapping[str, "Tensor"] = field(default_factory=dict)
    subject: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    run: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def __repr__(self) -> str:
        b, c, t = self.x.shape
        target = "" if self.target is None else f", target {tuple(self.target.shape[1:])}"
        return f"Batch({b} x {c} x {t}, {self.modality}, {self.sfreq:g} Hz, {self.unit}{target})"

    def subset(self, index: Any) -> "Batch":
        """Batch of the chosen examples (array or tensor of int, or a mask of bool)."""
        import torch

        i = torch.as_tensor(index)
        i = i.nonzero().flatten() if i.dtype == torch.bool else i.long().reshape(-1)
        rows = i.tolist()

        def names(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[k] for k in rows) if values else ()

        return replace(
            self,
            x=self.x[i],
            channel_mask=self.channel_mask[i],
            time_mask=self.time_mask[i],
            positions=self.positions[i],
            start_s=self.start_s[i],
            index=self.index[i],
            target=None if self.target is None else self.target[i],
            target_mask=None if self.target_mask is None else self.target_mask[i],
            covariates={k: v[i] for k, v in self.covariates.items()},
            subject=names(self.subject),
            session=names(self.session),
            run=names(self.run),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class EventBatch(_OnDevice):
    """Windows of a point-like stream, packed.

    Parameters
    ----------
    times_s : Tensor, shape (n_events,), float64
        Seconds since each window's start.
    unit_index : Tensor, shape (n_events,), int64
        Which unit fired.
    offsets : Tensor, shape (batch + 1,), int64
        Window i holds events ``offsets[i]:offsets[i + 1]``.
    length_s : float
        Length of the windows in seconds.
    unit_names : tuple of str
        The units.
    start_s, index, target, target_mask, covariates, subject, session, run
        As in :class:`Batch`.
    """

    times_s: "Tensor"
    unit_index: "Tensor"
    offsets: "Tensor"
    length_s: float
    unit_names: tuple[str, ...]
    start_s: "Tensor"
    index: "Tensor"
    modality: str = "spikes"
    target: "Tensor | None" = None
    target_mask: "Tensor | None" = None
    covariates: Mapping[str, "Tensor"] = field(default_factory=dict)
    subject: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    run: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.offsets.shape[0]) - 1


@dataclass(frozen=True, eq=False, kw_only=True)
class StaticBatch(_OnDevice):
    """Arrays without time, one a recording.

    Parameters
    ----------
    array : Tensor, shape (batch, ...), float32
        Values in `unit`.
    dims : tuple of str
        Names of the dimensions after the batch.
    affine : Tensor, shape (batch, 4, 4), optional
        For volumes.
    unit : str
        Unit of the values.
    index, target, target_mask, covariates, subject, session, run
        As in :class:`Batch`.
    """

    array: "Tensor"
    dims: tuple[str, ...]
    unit: str
    index: "Tensor"
    affine: "Tensor | None" = None
    target: "Tensor | None" = None
    target_mask: "Tensor | None" = None
    covariates: Mapping[str, "Tensor"] = field(default_factory=dict)
    subject: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    run: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.array.shape[0])
