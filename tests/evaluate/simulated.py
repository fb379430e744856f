"""Small simulated recordings with a known effect; run as a script, a run to be killed."""

import sys

import numpy as np

from neuro.data import Axis, Events, Recording, Regular, windows


def trials(effect=1.0, n=40, subjects=1, n_chans=3, seed=0, sfreq=50, modality="eeg"):
    """One-second trials; in class "b" the first channel's second half is shifted by `effect`."""
    rng = np.random.default_rng(seed)
    recordings = []
    for s in range(subjects):
        x = rng.normal(size=(n_chans, n * sfreq))
        kind = np.array(["a", "b"])[rng.permutation(np.arange(n) % 2)]
        shape = np.concatenate([np.zeros(sfreq // 2), np.ones(sfreq - sfreq // 2)])
        x[0] += effect * np.kron(kind == "b", shape)
        axis = Axis([f"c{i}" for i in range(n_chans)], modality)
        starts = np.arange(n) * sfreq
        stream = Regular(
            x, sfreq, "uV", axis, modality, segments=np.stack([starts, starts + sfreq], axis=1)
        )
        events = Events.make(np.arange(n) * 1.0, kind, duration_s=1.0, block=np.arange(n))
        recordings.append(
            Recording({"x": stream}, events, dataset="sim", subject=f"{s:02d}", run="1")
        )
    return windows(recordings, stream="x", align="*", label="type")


if __name__ == "__main__":
    from neuro.evaluate import Split, evaluate

    evaluate(
        None,
        trials(),
        split=Split("block", n="leave-one-out"),
        controls=("shuffled_labels",),
        shuffles=2,
        out=sys.argv[1],
    )
