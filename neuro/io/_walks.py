"""Which walks through a foreign file the child process knows."""

__all__ = ["READERS"]

# What the child process may run. Closed: a file or a user never names a function.
READERS: dict[str, str] = {
    "cifti": "neuro.io.surface:walk_cifti",
    "hdf5": "neuro.io.safe:walk_hdf5",
    "mat": "neuro.io.eeg:walk_mat",
    "mne": "neuro.io.eeg:walk",
    "nwb": "neuro.io.nwb:walk",
}
