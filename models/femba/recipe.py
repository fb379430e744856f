"""Learning rates of FEMBA's fine-tuning."""

import math
from dataclasses import dataclass

__all__ = ["FinetuneRate"]


@dataclass(frozen=True)
class FinetuneRate:
    """Linear warm-up, then a cosine that the warm-up does not shift.

    As in the authors' code: the cosine runs over the whole training, so that
    the rate drops from its peak to three quarters of it in the step after a
    warm-up of a third. Give it to ``fit(…, lr=5e-4, schedule=FinetuneRate())``.

    There all groups of a layer-wise decay share one factor. In the original
    each group's warm-up begins at the same `start` instead of its share of it,
    which :meth:`rate` gives with the group's own `base`.

    Parameters
    ----------
    base : float
        Peak rate.
    start : float
        First rate of the warm-up.
    lowest : float
        Last rate of the cosine.
    warmup : float
        Share of the steps.

    Examples
    --------
    >>> factor = FinetuneRate()
    >>> [round(factor(step, 120), 3) for step in (0, 39, 40, 119)]
    [0.001, 0.975, 0.751, 0.005]
    """

    base: float = 5e-4
    start: float = 2.5e-7
    lowest: float = 2.5e-6
    warmup: float = 1 / 3

    def rate(self, step: int, total: int, base: float) -> float:
        """Learning rate at a step, counted from 0, of a group whose peak is `base`."""
        steps = round(self.warmup * total)
        if step < steps:
            return self.start + step * (base - self.start) / steps
        falling = 0.5 * (1 + math.cos(math.pi * step / total))
        return self.lowest + (base - self.lowest) * falling

    def __call__(self, step: int, total: int) -> float:
        """Factor on the learning rate, as :func:`neuro.train.fit` asks for it."""
        return self.rate(step, total, self.base) / self.base
