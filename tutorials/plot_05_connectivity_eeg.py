"""After this you can measure who goes with whom in EEG, and tell coupling from leakage.

Real data: a headset of 14 electrodes, eyes open or shut, 56 seconds and 42 more.
Volume conduction makes neighbours look coherent whatever the brain does; what
remains at a lag is worth asking about.
"""

# %%
# The trials. A recording whose segments are trials says so: nothing crosses them.
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from neuro import datasets
from neuro.connectivity import connectivity, significance
from neuro.data import eeg_positions
from neuro.plot.connectivity import connectivity_sensors

train, test = datasets.load("eyes", download=True)
print(train.stream("eeg"))

# %%
# One door for every measure. What the expectation runs over is never guessed:
# here all trials together. The result carries its names, unit, estimator and the
# number of independent observations it rests on.
beta = {"beta": (13.0, 30.0)}
coherence = connectivity(train, method="coherence", average="trials", bands=beta)
print(coherence)

# %%
# Are the channels who they are said to be? Connectivity can tell: coherence falls
# with distance. Under the names that came with these files it does not; under the
# order in which this make of headset sends its electrodes it does.
HEADSET = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split()
pairs = np.triu_indices(14, 1)


def fall_with_distance(result, names):
    where = eeg_positions(names)
    distance = np.linalg.norm(where[:, None] - where[None], axis=-1)
    return float(np.corrcoef(distance[pairs], result.vector()[0])[0, 1])


as_named = fall_with_distance(coherence, coherence.names)
as_sent = fall_with_distance(coherence, HEADSET)
print(f"coherence against distance: r = {as_named:.2f} as named, {as_sent:.2f} as sent")


def renamed(recording):
    stream = recording.stream("eeg")
    axis = stream.axis.replace(names=HEADSET)
    return recording.with_stream("eeg", replace(stream, axis=axis), "channels in headset order")


train, test = renamed(train), renamed(test)

# %%
# What is left at a lag cannot be leakage. Is it more than chance? Trials are
# shuffled, each electrode on its own, and p-values corrected over all pairs.
options = {"method": "imaginary_coherence", "average": "trials", "bands": beta}
tested = significance(train, n=99, seed=0, **options)
lagged = tested.result
everything, at_a_lag = (np.abs(c.vector()).mean() for c in (coherence, lagged))
n_pairs = int(tested.significant.sum()) // 2
print(f"mean over pairs: coherence {everything:.2f}, at a lag {at_a_lag:.2f}")
print(f"{n_pairs} of 91 pairs beat the surrogates")

# %%
# The picture: those pairs on the head.
figure = connectivity_sensors(
    lagged.select(band="beta"), eeg_positions(HEADSET), keep=tested.significant[0]
)
picture = Path(tempfile.mkdtemp(prefix="neuro-tutorial-")) / "beta_imaginary_coherence.png"
figure.savefig(picture, dpi=120)
print(picture.name)

# %%
# Does it come back in trials nobody has looked at?
again = connectivity(test, **options)
repeated = float(np.corrcoef(np.abs(lagged.vector()[0]), np.abs(again.vector()[0]))[0, 1])

# %%
# What to expect: a seventh of coherence is at a lag, some pairs are beyond chance,
# and their pattern is the same in the held-out trials.
print(f"pattern at a lag, first against held-out trials: r = {repeated:.2f}")
assert as_sent < -0.7
assert n_pairs > 5
assert repeated > 0.8
