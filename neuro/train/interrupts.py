"""Ctrl-C and SIGTERM: finish the step, write a checkpoint, then go."""

import signal
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupts"]


class Interrupts:
    """Context in which a first signal is noted and a second acts as usual.

    Python delivers signals to the main thread alone; elsewhere this does
    nothing.

    Attributes
    ----------
    number : int
        The signal that came; 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None: installed by C code; it cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}


def leave(number: int, message: str) -> None:
    """End as the signal would have: KeyboardInterrupt, or exit code 128 + number.

    A SIGTERM handler of the program's own is called.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt(message)
    if callable(signal.getsignal(number)):
        signal.raise_signal(number)
    raise SystemExit(128 + number)
