"""One line of a table, and one comparison between two lines."""

from dataclasses import dataclass

__all__ = ["Comparison", "Row"]


@dataclass(frozen=True)
class Row:
    """One score.

    Parameters
    ----------
    dataset : str
        Data set.
    model : str
        Floor or model.
    kind : {"floor", "model", "control"}
        What it is for.
    control : str
        Which control of the model, e.g. ``"random_weights"``; ``""`` for a
        model or floor itself.
    metric : str
        Name of the metric.
    value, lo, hi : float
        Score (mean over seeds) and 95 % interval; NaN where not defined.
    chance : float or None
        What a decoder without information scores.
    higher_is_better : bool
        Direction.
    unit : str
        What the interval resamples.
    n_units, n_test, n_folds, n_seeds : int
        Units and windows tested, folds, seeds.
    seed_sd : float
        Standard deviation of the score over seeds.
    n_constant : int
        Fits (of folds times seeds) that predicted the same for every window.
    split : str
        How windows were divided.
    leaky, simulated : bool
        Whether parts were not independent; whether the data are simulated.
    points : tuple of float
        Score of every unit (or fold), where that is defined.
    points_of : str
        What the points are: the unit, ``"fold"``, or ``""``.
    """

    dataset: str
    model: str
    kind: str
    control: str
    metric: str
    value: float
    lo: float
    hi: float
    chance: float | None
    higher_is_better: bool
    unit: str
    n_units: int
    n_test: int
    n_folds: int
    n_seeds: int
    seed_sd: float
    n_constant: int
    split: str
    leaky: bool
    simulated: bool
    points: tuple[float, ...] = ()
    points_of: str = ""

    @property
    def label(self) -> str:
        """Model and control in words."""
        return self.model + (f", {self.control.replace('_', ' ')}" if self.control else "")


@dataclass(frozen=True)
class Comparison:
    """How much better a model is than something else, on the same resamples.

    Parameters
    ----------
    dataset, model, metric : str
        What is compared.
    against : str
        Name of the floor, or of the control.
    role : str
        What it is compared with: ``"best floor"``, ``"chance"``, or a control
        (``"random weights"`` …, ``"no signal"`` for confounds alone).
    gain, lo, hi : float
        Difference, positive if the model is better, with its 95 % interval.
    """

    dataset: str
    model: str
    metric: str
    against: str
    role: str
    gain: float
    lo: float
    hi: float

    @property
    def verdict(self) -> str:
        """``"above"``, ``"below"`` or ``"not told apart"``."""
        if self.lo > 0:
            return "above"
        return "below" if self.hi < 0 else "not told apart"
