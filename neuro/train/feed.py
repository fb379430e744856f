"""Batches of a run, in order, read here or in worker processes."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from neuro.errors import ConfigError
from neuro.train.order import Order
from neuro.typing import IntArray

__all__ = ["Feed", "Source"]


class Source(Protocol):
    """What `fit` needs of its data: Windows, or anything of this form."""

    def __len__(self) -> int:
        """Number of examples."""

    def batch(self, indices: IntArray, /) -> Any:
        """Examples at the given rows, as the model's loss takes them."""


class _Parts(Dataset[Any]):
    """Part k of the run: what one forward pass of this process sees."""

    def __init__(self, source: Source, order: Order) -> None:
        self.source = source
        self.order = order

    def __getitem__(self, k: int) -> Any:
        return self.source.batch(self.order.share(*divmod(k, self.order.accumulate)))


class Feed:
    """Iterator over the parts of all steps, on the device, one read ahead.

    Parameters
    ----------
    source : Source
        Training data; with workers it is pickled once to each.
    order : Order
        Which rows.
    steps : range
        Steps to come.
    device : torch.device
        Where the batches go.
    workers : int
        Reading processes; 0 reads in this one.
    """

    def __init__(
        self, source: Source, order: Order, steps: range, device: torch.device, workers: int
    ) -> None:
        parts = range(steps.start * order.accumulate, steps.stop * order.accumulate)
        data = _Parts(source, order)
        self._batches: Iterator[Any]
        if workers:
            with _explained():
                self._batches = iter(_loader(data, parts, workers))
        else:
            self._batches = (data[k] for k in parts)
        self._device = device
        self._ahead: list[Any] = []

    def read_ahead(self) -> None:
        """Read the next part now, while the device is still busy."""
        if not self._ahead:
            from accelerate.utils import send_to_device

            with _explained():
                for batch in self._batches:
                    self._ahead.append(send_to_device(batch, self._device))
                    break

    def __next__(self) -> Any:
        self.read_ahead()
        return self._ahead.pop()

    def close(self) -> None:
        """End the workers."""
        self._ahead.clear()
        self._batches = iter(())


def _loader(data: _Parts, parts: range, workers: int) -> DataLoader[Any]:
    # forkserver: a forked child inherits locked thread pools of numba, OpenMP
    # and HDF5, and stops or dies. Preloading imports torch once for all workers.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "neuro.train.feed"])
    return DataLoader(
        data,
        batch_size=None,
        sampler=parts,
        num_workers=workers,
        multiprocessing_context=context,
        worker_init_fn=_ignore_interrupts,
        generator=torch.Generator(),
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Say what usually ends a reading process before it has read anything."""
    try:
        yield
    except (BrokenPipeError, EOFError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "exited unexpectedly" not in str(error):
            raise
        raise ConfigError(
            "A reading process ended before it gave a batch. In a script, call fit under "
            "`if __name__ == '__main__':`; where the program is no file (standard input), or "
            "where memory is short, use num_workers=0."
        ) from error


def _ignore_interrupts(_: int) -> None:
    # Ctrl-C reaches every process of a terminal; the run ends its workers
    # itself, after the checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
