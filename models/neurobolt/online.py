"""BOLD volume by volume while EEG is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neuro.data import Batch, sample_index
from neuro.errors import ConfigError, DataError
from neuro.models._base import NetworkModel, evaluating
from neuro.typing import AnyArray, BoolArray, FloatArray

__all__ = ["OnlineBOLD", "PredictedVolume"]

# By this share the distance of two volumes may differ from whole TRs: triggers jitter by less.
_JITTER = 0.02


@dataclass(frozen=True, eq=False)
class PredictedVolume:
    """Prediction for one volume.

    Parameters
    ----------
    time_s : float
        Time of the volume in the stream.
    sample : int
        First EEG sample that did not count: the window ends before it.
    values : float32 array, shape (n_outputs,)
        NaN if no channel was measured in the window.
    """

    time_s: float
    sample: int
    values: FloatArray


class OnlineBOLD:
    """Predictions of a trained model, one for every volume, from a running EEG.

    The numbers are those of the same windows cut from the finished recording
    (``neuro.data.pair(…, window_s=16)``) and read one at a time, whatever the
    chunks. Samples that are NaN count as missing, rows of NaN as absent
    electrodes.

    Parameters
    ----------
    model : NetworkModel
        With a head; reads windows of one length. It is used in eval mode.
    tr : float, optional
        Seconds from volume to volume. With it, triggers that are no whole
        number of TRs apart are refused, such as those of slices.
    late_s : float
        How much later than its time a volume may be told.

    Raises
    ------
    ConfigError
        If the model has no head, or a setting is out of range.

    Examples
    --------
    >>> import neuro
    >>> model = neuro.models.create("neurobolt", preset="tiny", n_outputs=2)
    >>> online = OnlineBOLD(model, tr=2.0)
    >>> eeg = 20 * np.random.default_rng(0).standard_normal((4, 400)).astype(np.float32)
    >>> first = online.push(eeg[:, :170], volumes_s=[2.0, 4.0])
    >>> second = online.push(eeg[:, 170:], volumes_s=[6.0])
    >>> [volume.time_s for volume in first + second], first[0].values.shape
    ([4.0, 6.0], (2,))
    """

    def __init__(
        self, model: NetworkModel, *, tr: float | None = None, late_s: float = 1.0
    ) -> None:
        if model.head is None:
            raise ConfigError(
                f"This {model.name} has no head; create it with n_outputs=..., one a region."
            )
        for name, value, least in (("tr", tr, 1e-3), ("late_s", late_s, 0.0)):
            if value is not None and not least <= value < float("inf"):
                raise ConfigError(f"{name}={value!r} is not possible; give seconds.")
        config = model.config
        self.model, self.tr = model, tr
        self.sfreq, self.n_chans, self.n_times = config.sfreq, config.n_chans, config.n_times
        self._late = round(late_s * config.sfreq)
        self.reset()

    def reset(self) -> None:
        """Forget everything; time is counted from 0 again."""
        self._buffer = np.zeros((self.n_chans, 0), dtype=np.float32)
        self._seen = 0
        self._last_s = -np.inf
        # volumes whose window is not complete yet, in order of time
        self._pending: list[float] = []

    def push(
        self, chunk: AnyArray, volumes_s: Sequence[float] = (), *, start: int | None = None
    ) -> list[PredictedVolume]:
        """Add the next samples, and the volumes that were triggered meanwhile.

        Parameters
        ----------
        chunk : array, shape (n_chans, n), n >= 0
            Samples in the model's order, rate and unit that follow those
            pushed before.
        volumes_s : sequence of float
            Times of volumes in seconds since the stream's sample 0, in order;
            in this chunk, ahead of it, or up to `late_s` behind.
        start : int, optional
            Number of the chunk's first sample, where it is known: samples that
            are missing before it are a gap, and no window spans it.

        Returns
        -------
        list of PredictedVolume
            One for every volume that lies at or before the last sample's end;
            none for volumes with less than a window since the start or a gap.

        Raises
        ------
        DataError
            If the chunk has another shape, lies in the past, or the volumes
            are out of order, too late, or not whole TRs apart.
        UnitError
            If the values cannot be microvolts.
        """
        x = np.asarray(chunk)
        if x.ndim != 2 or len(x) != self.n_chans or x.dtype.kind not in "fiu":
            raise DataError(
                f"Expected a real chunk of shape ({self.n_chans}, n), got {x.dtype} {x.shape}."
            )
        if start is not None and start < self._seen:
            raise DataError(f"start={start}, but {self._seen} samples have been seen.")
        times = self._checked(volumes_s)
        if start is not None and start > self._seen:
            self._buffer, self._seen = self._buffer[:, :0], start
        self._pending += times
        self._last_s = times[-1] if times else self._last_s
        self._buffer = np.concatenate([self._buffer, x.astype(np.float32)], axis=1)
        self._seen += x.shape[1]
        out = []
        while self._pending and self._sample(self._pending[0]) <= self._seen:
            time_s = self._pending.pop(0)
            window = self._window(self._sample(time_s))
            if window is not None:
                out.append(PredictedVolume(time_s, self._sample(time_s), self._predict(window)))
        self._buffer = self._buffer[:, -(self.n_times + self._late) :].copy()
        return out

    def _sample(self, time_s: float) -> int:
        return sample_index(time_s, 0.0, self.model.contract.sfreq)

    def _checked(self, volumes_s: Sequence[float]) -> list[float]:
        """Times in order, none too late, whole TRs apart."""
        times = [float(t) for t in volumes_s]
        before = self._last_s
        for t in times:
            if not np.isfinite(t) or t <= before:
                raise DataError(
                    f"A volume at {t:g} s after one at {before:g} s: give them in order."
                )
            if self._sample(t) < self._seen - self._late:
                raise DataError(
                    f"The volume at {t:g} s is told {self._seen / self.sfreq - t:.3g} s late; its "
                    "window is gone. Push triggers with their samples, or raise late_s."
                )
            if self.tr is not None and np.isfinite(before):
                n_trs = max(1, round((t - before) / self.tr))
                if abs((t - before) / (n_trs * self.tr) - 1) > _JITTER:
                    raise DataError(
                        f"Volumes at {before:g} and {t:g} s are {t - before:.4g} s apart, no "
                        f"whole number of TRs of {self.tr:g} s. Are these triggers of slices, or "
                        "is the TR another?"
                    )
            before = t
        return times

    def _window(self, stop: int) -> FloatArray | None:
        """Samples before `stop`, or None if they were not all measured in one go."""
        end = stop - self._seen + self._buffer.shape[1]
        if end < self.n_times:
            return None
        return self._buffer[:, end - self.n_times : end]

    def _predict(self, window: FloatArray) -> FloatArray:
        missing: BoolArray = np.isnan(window)
        channels: BoolArray = np.logical_not(missing.all(axis=1))
        times = ~(missing & channels[:, None]).any(axis=0)
        if not channels.any() or not times.any():
            return np.full(self.model.config.n_outputs, np.nan, dtype=np.float32)
        usable = channels[:, None] & times
        contract = self.model.contract
        device = next(self.model.parameters()).device
        batch = Batch(
            x=torch.from_numpy(np.where(usable, window, np.float32(0.0)))[None],
            sfreq=self.sfreq,
            ch_names=contract.ch_names or tuple(f"ch{i}" for i in range(self.n_chans)),
            channel_mask=torch.from_numpy(channels)[None],
            time_mask=torch.from_numpy(times)[None],
            positions=torch.full((1, self.n_chans, 3), float("nan")),
            start_s=torch.zeros(1, dtype=torch.float64),
            index=torch.zeros(1, dtype=torch.int64),
            unit=contract.scaled_unit,
            modality=contract.modality,
        ).to(device)
        with evaluating(self.model):
            prediction = self.model(batch).prediction
        values: FloatArray = prediction[0].float().cpu().numpy()
        return values

    def state_dict(self) -> dict[str, AnyArray]:
        """State as arrays (copies), enough to continue in another process.

        Returns
        -------
        dict of str to array
            ``buffer``, ``seen``, ``last_s`` and ``pending``.
        """
        return {
            "buffer": self._buffer.copy(),
            "seen": np.array(self._seen),
            "last_s": np.array(self._last_s),
            "pending": np.array(self._pending, dtype=np.float64),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned.

        Parameters
        ----------
        state : mapping
            Of an object with a model of the same channels.

        Raises
        ------
        DataError
            Missing entries, or another number of channels.
        """
        names = ("buffer", "seen", "last_s", "pending")
        if set(state) != set(names):
            raise DataError(f"Expected the entries {sorted(names)}, got {sorted(state)}.")
        buffer = np.array(state["buffer"], dtype=np.float32)
        if buffer.ndim != 2 or len(buffer) != self.n_chans:
            raise DataError(
                f"The state's buffer has shape {buffer.shape}, ({self.n_chans}, n) is needed: it "
                "belongs to another model."
            )
        self._buffer = buffer
        self._seen, self._last_s = int(state["seen"]), float(state["last_s"])
        self._pending = [float(t) for t in np.atleast_1d(state["pending"])]
