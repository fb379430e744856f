"""After this you can go from spike times to a path of states and a map of couplings.

Real data: fifteen cells of a mouse that sleeps for ten minutes and then explores. Does a
network that switches between states predict its spikes better than one that does not,
and are the states what a person would call sleep and waking? Both are asked of data the
model has not seen, or of labels it was not given.
"""

# %%
# Counts in tenths of a second. Any NWB file works the same way:
# `neuro.read("file.nwb")` in place of `datasets.load`.
import tempfile
from pathlib import Path

import numpy as np

from neuro import datasets, models
from neuro.models.onehot_hmm_glm import choose_states
from neuro.plot.states import connection_types, coupling_matrices, state_choice, state_path

recording = datasets.load("head_direction", download=True)[0]
bin_s = 0.1
binned = recording.stream("spikes").bin(bin_s)
counts = np.asarray(binned.data)
names = list(binned.axis.names)
print(f"{len(names)} cells, {counts.shape[1]} bins, {counts.mean() / bin_s:.1f} spikes/s each")

# %%
# How many states? The judge is the probability of held-out bins given their own past, so
# more states win only if they predict. From the shell, the same is
# `neuro train onehot_hmm_glm --data FILE.nwb --bin-s 0.1 --states 1:2 --out states`.
settings = {"rounds": 8, "tol": 1e-3, "n_lags": 3}
candidates = models.create("onehot_hmm_glm", states="1:2", prior="gaussian", folds=3, **settings)
choice = choose_states(counts, config=candidates.config)
gain = choice.scores[1] - choice.scores[0]
print(f"two states over one: {gain.mean():+.3f} nats a bin (folds {gain.min():+.3f} to "
      f"{gain.max():+.3f}); chosen: {choice.best}")  # fmt: skip

# %%
# The model of choice on all data, with a type for every connection.
model = models.create("onehot_hmm_glm", states=choice.best, **settings).fit(counts)
probability = model.predict_proba(counts)[0]
epochs = recording.events
wake = np.zeros(counts.shape[1], dtype=bool)
for onset, duration, kind in zip(epochs.onset_s, epochs.duration_s, epochs.type, strict=True):
    first = round(float(onset) / bin_s)
    wake[first : first + round(float(duration) / bin_s)] = kind == "wake"
path = model.predict(counts)[0]
for k in range(model.n_states):
    here = path == k
    print(f"state {k + 1}: {here.mean():.0%} of the time, {wake[here].mean():.0%} of it awake, "
          f"{counts[:, here].mean() / bin_s:.1f} spikes/s")  # fmt: skip

# %%
# Pictures: the path beside the epochs, one matrix a state (what the column does to the
# row), the map they share, and the choice.
folder = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))
known = [
    (float(a), float(a + d), str(kind))
    for a, d, kind in zip(epochs.onset_s, epochs.duration_s, epochs.type, strict=True)
]
figures = {
    "path": state_path(probability, bin_s=bin_s, epochs=known),
    "couplings": coupling_matrices(model.coupling, names=names),
    "map": connection_types(model.shared_types_, names=names),
    "choice": state_choice(choice.states, choice.scores, choice.best),
}
for name, figure in figures.items():
    figure.savefig(folder / f"{name}.png", dpi=120)
print(*sorted(p.name for p in folder.iterdir()))

# %%
# In a closed loop the same model takes one bin after the other.
loop = model.online()
now = [loop.push(column) for column in counts[:, :100].T]
print(f"after ten seconds: {np.round(now[-1], 2)}")

# %%
# What to expect: switching predicts better in every fold, but what switches is not sleep
# and waking. The second state occurs almost only asleep, comes and goes within a second,
# and in it the cells of the compass (adn) no longer hold each other down. A state of a
# model is what predicts spikes, no more.
print(f"gain of the second state: {gain.mean():.2f} nats a bin")
assert gain.min() > 0.3
