"""What is to be predicted: classes, labels, values, angles, counts, or an item of a gallery."""

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from neuro.data import PairedWindows, Windows
from neuro.errors import ConfigError, DataError, did_you_mean
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["Kind", "Predicted", "Task"]

Kind = Literal["classification", "multilabel", "regression", "circular", "retrieval", "counts"]
_PRIMARY: dict[str, str] = {
    "classification": "balanced_accuracy",
    "multilabel": "label_balanced_accuracy",
    "regression": "r",
    "circular": "median_angular_error",
    "retrieval": "top5",
    "counts": "bits_per_spike",
}


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a decoder says about the test windows.

    Parameters
    ----------
    label : ndarray
        Class number (n,), 0 or 1 for every label (n, n_classes), value (n,)
        or (n, n_outputs), angle (n,), or expected count (n,) or (n,
        n_outputs); for retrieval the rank of the right item (1 is best; ties
        share theirs) and the gallery's size, (n, 2).
    score : ndarray of float, shape (n, n_classes), optional
        The higher, the more likely the class or label. For counts the log
        likelihood (nats) of what was counted, (n, n_outputs) or (n, 1), of a
        decoder with a distribution of its own; without it Poisson.
    """

    label: AnyArray
    score: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Task:
    """What is predicted from a window.

    Parameters
    ----------
    kind : str
        ``"classification"``: one class a window. ``"multilabel"``: any number
        of labels a window. ``"regression"``: values. ``"circular"``: an
        angle. ``"retrieval"``: which item of a gallery; the target is the
        item's vector (an embedding of the stimulus), the gallery are the
        distinct items among the windows tested together. ``"counts"``: how
        many, e.g. spikes of each unit; the decoder says the expected count
        and is judged by the likelihood of the counts, in bits per spike.
    classes : tuple of str
        Names of the classes or labels.
    n_outputs : int
        Targets a window (regression, counts), or length of the item's vector
        (retrieval).
    period : float
        Length of the circle in the target's unit (2 pi radians, 360 degrees,
        24 hours); circular only.
    centred : bool
        Subtract the training part's mean item from predicted and gallery
        vectors before their cosines are compared; retrieval only. Without it
        a vector that all items share makes every cosine high.

    Raises
    ------
    ConfigError
        If the kind is unknown, or its facts are missing.

    Examples
    --------
    >>> Task("classification", classes=("left", "right")).n_classes
    2
    >>> Task("circular", period=360.0).wrapped(np.array([350.0, -190.0])).tolist()
    [-10.0, 170.0]
    """

    kind: Kind
    classes: tuple[str, ...] = ()
    n_outputs: int = 1
    period: float = 2 * np.pi
    centred: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"No task {self.kind!r}. {did_you_mean(self.kind, get_args(Kind))}")
        if self.kind == "multilabel" and not self.classes:
            raise ConfigError("Name the labels: Task('multilabel', classes=[...]).")
        if self.kind == "classification" and len(self.classes) < 2:
            raise ConfigError(
                f"Classification needs at least two classes, got {list(self.classes)}. "
                "Label the windows, or use task='regression' for a number."
            )
        if self.kind == "circular" and not (np.isfinite(self.period) and self.period > 0):
            raise ConfigError(f"period must be positive, got {self.period}.")

    @classmethod
    def of(cls, windows: Windows, kind: Kind | None = None) -> Self:
        """Task that the windows' target sets.

        Parameters
        ----------
        windows : Windows
            With a target.
        kind : str, optional
            By default classification if the target has class names, else
            regression. Angles, labels, counts and galleries must be declared:
            nothing in a number says that it is one.

        Returns
        -------
        Task

        Raises
        ------
        DataError
            If the windows carry no target, or it does not fit the kind.
        ConfigError
            If there is no such kind.
        """
        if kind is not None and kind not in get_args(Kind):
            raise ConfigError(f"No task {kind!r}. {did_you_mean(kind, get_args(Kind))}")
        if windows.target is None or not windows.labelled.any():
            raise DataError(
                "The windows carry no target to predict. Pass label= to windows(), e.g. "
                "label='type' or label='subject'."
            )
        kind = kind or ("classification" if windows.classes is not None else "regression")
        target = windows.target[windows.labelled]
        if kind == "classification":
            return cls(kind, classes=windows.classes or _numbered(target))
        if windows.classes is not None:
            raise DataError(
                f"The target is one of {len(windows.classes)} names, which {kind} cannot predict."
            )
        if kind == "circular":
            _check_angles(target, 2 * np.pi)
            return cls(kind)
        n = int(np.prod(target.shape[1:], dtype=int))
        if kind == "multilabel":
            names = targets_named(windows)
            return cls(kind, classes=names or tuple(f"label {i}" for i in range(n)))
        return cls(kind, n_outputs=n)

    @property
    def n_classes(self) -> int:
        """Number of classes or labels; 0 for other tasks."""
        return len(self.classes)

    @property
    def classified(self) -> bool:
        """Whether classes or labels are predicted, rather than numbers."""
        return self.kind in ("classification", "multilabel")

    @property
    def primary(self) -> str:
        """Name of the metric that rankings and comparisons use."""
        return _PRIMARY[self.kind]

    def __str__(self) -> str:
        if self.kind == "classification":
            return f"{self.n_classes}-class classification ({', '.join(self.classes[:8])})"
        if self.kind == "multilabel":
            return f"{self.n_classes} labels, any number at once ({', '.join(self.classes[:8])})"
        if self.kind == "retrieval":
            how = "centred on the training items" if self.centred else "not centred"
            return f"retrieval among vectors of length {self.n_outputs}, {how}"
        if self.kind == "circular":
            return f"regression of an angle (period {self.period:g})"
        if self.kind == "counts":
            of = f"{self.n_outputs} targets" if self.n_outputs > 1 else "one target"
            return f"likelihood of the counts of {of}"
        return "regression" + (f" of {self.n_outputs} targets" if self.n_outputs > 1 else "")

    def target(self, windows: Windows) -> AnyArray:
        """Target in the form decoders take.

        Parameters
        ----------
        windows : Windows
            Every one labelled.

        Returns
        -------
        ndarray
            int64 (n,) class numbers; int64 (n, n_classes) zeros and ones;
            float64 (n,) or (n, n_outputs) values; float64 (n,) angles in half
            a period either side of 0; float64 (n,) or (n, n_outputs) counts;
            float64 (n, n_outputs) items.

        Raises
        ------
        DataError
            If a label is missing, is no class or no count, or angles exceed
            the period.
        """
        if windows.target is None or not windows.labelled.all():
            missing = len(windows) if windows.target is None else int((~windows.labelled).sum())
            raise DataError(f"{missing} of {len(windows)} windows have no target.")
        y = np.asarray(windows.target, dtype=np.float64)
        if self.kind == "classification":
            return self._class_numbers(y)
        if self.kind == "circular":
            if y.ndim > 1 and y[0].size != 1:
                raise DataError(f"An angle is one number a window, the target is {y.shape[1:]}.")
            _check_angles(y, self.period)
            return self.wrapped(y.reshape(len(y)))
        flat = y.reshape(len(y), -1)
        wanted = self.n_classes if self.kind == "multilabel" else self.n_outputs
        if flat.shape[1] != wanted:
            raise DataError(f"The target has {flat.shape[1]} entries, the task {wanted}.")
        if self.kind == "multilabel":
            if not np.isin(flat, (0, 1)).all():
                raise DataError("Labels must be 0 or 1 for every name and window.")
            return flat.astype(np.int64)
        if self.kind == "counts" and ((flat < 0).any() or (flat != np.round(flat)).any()):
            raise DataError("Counts must be whole numbers of 0 or more. Use task='regression'.")
        return flat[:, 0] if self.n_outputs == 1 and self.kind != "retrieval" else flat

    def said_shape(self, y: AnyArray) -> tuple[int, ...]:
        """Shape of :attr:`Predicted.label` for targets of this task."""
        return (len(y), 2) if self.kind == "retrieval" else y.shape

    def _class_numbers(self, y: FloatArray) -> IntArray:
        number = np.asarray(np.round(y).astype(np.int64))
        if y.ndim != 1 or (number != y).any() or number.min() < 0 or number.max() >= self.n_classes:
            raise DataError(
                f"Classes must be numbered 0 to {self.n_classes - 1}, one a window; got values "
                f"from {y.min():g} to {y.max():g}. Cut the windows with classes=[...]."
            )
        return number

    def wrapped(self, angle: Any) -> FloatArray:
        """Angles brought to [-period / 2, period / 2)."""
        half = self.period / 2
        return np.asarray((np.asarray(angle) + half) % self.period - half)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "kind": self.kind,
            "classes": list(self.classes),
            "n_outputs": self.n_outputs,
            "period": self.period,
            "centred": self.centred,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The task that :meth:`to_json` wrote."""
        return cls(**{**values, "classes": tuple(values["classes"])})


def _numbered(target: FloatArray) -> tuple[str, ...]:
    top = int(np.nanmax(target))
    if (np.round(target) != target).any() or target.min() < 0 or top > 1000:
        raise DataError("The target is not a class number. Use task='regression'.")
    return tuple(str(i) for i in range(top + 1))


def _check_angles(y: FloatArray, period: float) -> None:
    span = float(y.max() - y.min())
    if span > period * (1 + 1e-6):
        raise DataError(
            f"Angles span {span:g}, more than a period of {period:g}. In degrees pass "
            "task=Task('circular', period=360)."
        )


def targets_named(windows: Windows) -> tuple[str, ...]:
    """Names of the targets where the windows know them, else ()."""
    return windows.target_axis.names if isinstance(windows, PairedWindows) else ()
