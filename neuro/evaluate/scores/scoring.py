"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass

from neuro.evaluate.task import Kind, Predicted, Task
from neuro.typing import AnyArray, FloatArray, IntArray

__all__ = ["Metric", "Prepare", "Resampled", "Value"]

# (n_draws, n_units) times each unit was drawn -> (n_draws,) values
Resampled = Callable[[FloatArray], FloatArray]
Value = Callable[[AnyArray, Predicted, Task], float]
Prepare = Callable[[AnyArray, Predicted, Task, IntArray, int], Resampled]


@dataclass(frozen=True, eq=False)
class Metric:
    """One way to score predictions.

    Parameters
    ----------
    name : str
        As in the results table.
    kind : str
        The kind of task it serves.
    higher_is_better : bool
        Direction.
    pooled : bool
        Whether predictions of several folds may be put together first.
        Correlations and rank metrics must not be: they would also measure
        how the folds' predictions are scaled against each other.
    chance : callable(y, task) -> float or None
        What a decoder without information scores; None if no such number. For
        retrieval `y` holds rank and gallery size, as predictions do.
    value : callable(y, predicted, task) -> float
        The score.
    prepare : callable(y, predicted, task, unit, n_units) -> callable
        The score as a function of how often each unit was drawn.
    bounds : (float, float)
        Least and greatest possible value.
    label : str
        For axes and tables; holds the unit where there is one.
    """

    name: str
    kind: Kind
    higher_is_better: bool
    pooled: bool
    chance: Callable[[AnyArray, Task], float | None]
    value: Value
    prepare: Prepare
    bounds: tuple[float, float]
    label: str

    def better(self, a: float, b: float) -> float:
        """By how much `a` is better than `b`; negative if worse."""
        return a - b if self.higher_is_better else b - a
