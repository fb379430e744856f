"""Which examples a step sees, and with which random numbers.

Both are pure functions of (seed, step, process), so that a run that was
interrupted needs no state to go on exactly where it stopped.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuro.errors import ConfigError
from neuro.typing import IntArray

if TYPE_CHECKING:
    import torch

__all__ = ["Order", "epoch_order", "make_generator", "step_seed"]

# One stream of random numbers a purpose; a number never changes its meaning.
_PURPOSES = {"order": 0, "loss": 1, "global": 2, "valid": 3, "gradient": 4}
Purpose = Literal["order", "loss", "global", "valid", "gradient"]


def step_seed(seed: int, purpose: Purpose, step: int, rank: int = 0) -> int:
    """Seed of one purpose at one step on one process.

    Parameters
    ----------
    seed : int
        Of the run.
    purpose : {"order", "loss", "global", "valid", "gradient"}
        Streams of different purposes are independent.
    step, rank : int
        Global step and process number.

    Returns
    -------
    int
        63 bits.

    Examples
    --------
    >>> step_seed(0, "loss", 5) == step_seed(0, "loss", 5)
    True
    >>> step_seed(0, "loss", 5) == step_seed(0, "loss", 6)
    False
    """
    root = np.random.SeedSequence(seed, spawn_key=(_PURPOSES[purpose], step, rank))
    return int(root.generate_state(1, np.uint64)[0] >> np.uint64(1))


def make_generator(seed: int, purpose: Purpose, step: int, rank: int = 0) -> "torch.Generator":
    """Generator of one step: on the CPU, so masks are the same on every device."""
    import torch

    return torch.Generator().manual_seed(step_seed(seed, purpose, step, rank))


def epoch_order(seed: int, epoch: int, n: int) -> IntArray:
    """Permutation of the examples in one epoch.

    Parameters
    ----------
    seed : int
        Of the run.
    epoch : int
        Counted from 0.
    n : int
        Number of examples.

    Returns
    -------
    ndarray of int64, shape (n,)
        Every example once.

    Examples
    --------
    >>> epoch_order(0, 0, 5).tolist() == epoch_order(0, 1, 5).tolist()
    False
    """
    bits = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(_PURPOSES["order"], epoch)))
    return np.random.Generator(bits).permutation(n)


@dataclass
class Order:
    """Rows of the data that each process reads at each step.

    Epochs follow each other without a seam: step s takes positions
    ``s * batch_size`` to ``(s + 1) * batch_size`` of all epochs' permutations
    laid end to end, so every example is seen equally often.

    Parameters
    ----------
    n : int
        Number of examples.
    batch_size : int
        Examples an optimiser step, over all processes.
    seed : int
        Of the run.
    rank, world : int
        This process and how many there are.
    accumulate : int
        Parts in which a process reads its share.

    Raises
    ------
    ConfigError
        If the batch cannot be shared out evenly or there are no examples.

    Examples
    --------
    >>> order = Order(n=6, batch_size=4, seed=0)
    >>> sorted(order.rows(0).tolist() + order.rows(1)[:2].tolist())
    [0, 1, 2, 3, 4, 5]
    >>> half = Order(n=6, batch_size=4, seed=0, rank=1, world=2)
    >>> half.share(0, 0).tolist() == order.rows(0)[2:].tolist()
    True
    """

    n: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    accumulate: int = 1
    _epoch: tuple[int, IntArray] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError("There are no training examples: len(train) is 0.")
        parts = self.world * self.accumulate
        if self.batch_size < 1 or self.batch_size % parts:
            nearest = max(1, round(self.batch_size / parts)) * parts
            raise ConfigError(
                f"batch_size={self.batch_size} cannot be shared out evenly to {self.world} "
                f"processes x accumulate={self.accumulate}; use batch_size={nearest}."
            )

    @property
    def micro_size(self) -> int:
        """Examples in one forward pass."""
        return self.batch_size // (self.world * self.accumulate)

    def rows(self, step: int) -> IntArray:
        """Rows of the global batch, shape (batch_size,)."""
        at, left = divmod(step * self.batch_size, self.n)
        parts: list[IntArray] = []
        missing = self.batch_size
        while missing:
            part = self._permutation(at)[left : left + missing]
            parts.append(part)
            missing -= len(part)
            at, left = at + 1, 0
        return np.concatenate(parts)

    def share(self, step: int, part: int) -> IntArray:
        """Rows that this process reads in one part of a step, shape (micro_size,)."""
        first = (self.rank * self.accumulate + part) * self.micro_size
        return self.rows(step)[first : first + self.micro_size]

    def _permutation(self, epoch: int) -> IntArray:
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, epoch_order(self.seed, epoch, self.n))
        return self._epoch[1]

    def __getstate__(self) -> dict[str, Any]:
        # A worker draws its own permutation; sending a long one is slower.
        return {**self.__dict__, "_epoch": None}
