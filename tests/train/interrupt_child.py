"""Sends Ctrl-C to its own process group in the middle of a run with workers.

Usage: interrupt_child.py OUT. Prints "interrupted" and the steps done.
"""

import os
import signal
import sys

from train_toys import Autoencoder, Rows

from neuro.train import Callback, Run, fit


class Terminal(Callback):
    def on_step(self, state):
        if state.step == 5:
            os.killpg(os.getpgid(0), signal.SIGINT)


def main():
    options = {"steps": 40, "batch_size": 8, "device": "cpu", "num_workers": 2}
    try:
        fit(Autoencoder(), Rows(), out=sys.argv[1], callbacks=[Terminal()], **options)
    except KeyboardInterrupt:
        print("interrupted", Run(sys.argv[1]).step)


if __name__ == "__main__":
    main()
