"""Learning-rate schedules: pure functions of the global step."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from neuro.errors import ConfigError, did_you_mean

__all__ = ["Schedule", "Shape", "WarmupCosine", "make_schedule"]

Shape: TypeAlias = str | Callable[[int, int], float]

_SHAPES = ("constant", "cosine")


@dataclass(frozen=True)
class Schedule:
    """Factor on the learning rate at every step.

    Parameters
    ----------
    shape : {"cosine", "constant"} or callable
        A callable gets (step, total), both counted from 0, and returns the
        whole factor: `warmup` is not applied to it.
    total : int
        Steps of the run.
    warmup : int
        Steps of linear rise from ``1 / warmup`` to 1; the falling half cosine
        fills what is left.

    Examples
    --------
    >>> rate = Schedule("cosine", total=10, warmup=2)
    >>> [round(rate(step), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """

    shape: Shape
    total: int
    warmup: int = 0

    def __call__(self, step: int) -> float:
        """Factor at a step, counted from 0."""
        if callable(self.shape):
            return self._checked(self.shape(step, self.total), step)
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.shape == "constant":
            return 1.0
        done = (step - self.warmup) / max(1, self.total - self.warmup)
        return 0.5 * (1.0 + math.cos(math.pi * done))

    def _checked(self, value: float, step: int) -> float:
        factor = float(value)
        if not (math.isfinite(factor) and factor >= 0):
            raise ConfigError(
                f"The schedule {self.name} returned {value!r} at step {step}; it must return a "
                "finite factor on the learning rate, 0 or more."
            )
        return factor

    @property
    def name(self) -> str:
        """What a run folder calls the schedule."""
        if isinstance(self.shape, str):
            return self.shape
        kind = self.shape if hasattr(self.shape, "__qualname__") else type(self.shape)
        return f"{kind.__module__}.{kind.__qualname__}"

    def same_until(self, step: int, other: "Schedule") -> bool:
        """True if both give the same factors at all steps before `step`."""
        return all(self(s) == other(s) for s in range(step))


@dataclass(frozen=True)
class WarmupCosine:
    """Warm-up from `start` to the peak, both included, then a cosine towards `lowest`.

    As fine-tuning scripts of masked autoencoders have it: the step after the
    warm-up has the peak once more, and `lowest` is never quite reached. Give it
    to ``fit(…, lr=3e-4, schedule=WarmupCosine(base=3e-4))``.

    Parameters
    ----------
    base : float
        Peak rate, the `lr` of the run; `start` and `lowest` are measured by it.
    lowest : float
        Rate that the cosine would reach in the step after the last.
    start : float
        Rate of the first step.
    warmup : float
        Share of the steps.

    Raises
    ------
    ConfigError
        If a value is out of range.

    Examples
    --------
    >>> rate = WarmupCosine()
    >>> [round(rate(step, 20), 4) for step in (0, 4, 5, 19)]
    [0.0, 1.0, 1.0, 0.0142]
    """

    base: float = 3e-4
    lowest: float = 1e-6
    start: float = 0.0
    warmup: float = 0.25

    def __post_init__(self) -> None:
        if not (0 < self.base < math.inf and 0 <= self.warmup <= 1):
            raise ConfigError(
                f"base={self.base!r} must be positive and warmup={self.warmup!r} a share, 0 to 1."
            )
        if not (0 <= self.lowest <= self.base and 0 <= self.start <= self.base):
            raise ConfigError(
                f"lowest={self.lowest!r} and start={self.start!r} must lie between 0 and the "
                f"peak rate, base={self.base!r}."
            )

    def __call__(self, step: int, total: int) -> float:
        """Factor on the learning rate, as :func:`neuro.train.fit` asks for it."""
        rising = round(self.warmup * total)
        if step < rising:
            share = step / (rising - 1) if rising > 1 else 0.0
            return (self.start + share * (self.base - self.start)) / self.base
        done = (step - rising) / (total - rising)
        falling = 0.5 * (1.0 + math.cos(math.pi * done))
        return (self.lowest + (self.base - self.lowest) * falling) / self.base


def make_schedule(shape: Shape, total: int, warmup: float) -> Schedule:
    """Schedule of a run, with the warm-up in steps.

    Parameters
    ----------
    shape : {"cosine", "constant"} or callable
        See :class:`Schedule`.
    total : int
        Steps of the run.
    warmup : float or int
        A float below 1 is a share of `total`, an int a number of steps.

    Returns
    -------
    Schedule

    Raises
    ------
    ConfigError
        If the name is unknown or the warm-up not possible.

    Examples
    --------
    >>> make_schedule("cosine", total=200, warmup=0.05).warmup
    10
    """
    if not callable(shape) and shape not in _SHAPES:
        raise ConfigError(f"Unknown schedule {shape!r}. {did_you_mean(str(shape), _SHAPES)}")
    if isinstance(warmup, int) and not isinstance(warmup, bool):
        steps = warmup
    elif 0 <= warmup < 1:
        steps = round(warmup * total)
    else:
        raise ConfigError(
            f"warmup={warmup!r} is not possible: give a share of the steps below 1.0, "
            "or a whole number of steps as an int."
        )
    if not 0 <= steps <= total:
        raise ConfigError(f"warmup={warmup!r} is {steps} steps; the run has {total}.")
    return Schedule(shape, total, 0 if callable(shape) else steps)
