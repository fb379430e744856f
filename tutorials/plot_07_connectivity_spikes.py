"""After this you can relate spikes to each other and to a signal, each with its null.

Real data: an auditory receptor of a locust that hears a modulated sound, and
fifteen cells of a mouse, seven of which point like a compass.
"""

# %%
# Which rhythms of the sound do the spikes follow? Coherence at each frequency,
# beside what unrelated signals would give.
import tempfile
from pathlib import Path

import numpy as np

from neuro import datasets
from neuro.connectivity import connectivity, cross_correlograms, spike_field_coherence
from neuro.plot.connectivity import connectivity_matrix

locust = datasets.load("locust", download=True)[0]
heard = spike_field_coherence(
    locust.stream("spikes"), locust.stream("stimulus"), length_s=0.512, fmax=600, squared=True
)
value = heard.values[0, 0]
peak, at = float(value.max()), float(heard.freqs[value.argmax()])
slow, fast = value[heard.freqs < 100].mean(), value[heard.freqs > 300].mean()
print(f"peak {peak:.2f} at {at:.0f} Hz; below 100 Hz {slow:.2f}, above 300 Hz {fast:.2f}, "
      f"by chance {heard.chance:.2f}")  # fmt: skip

# %%
# Cells with each other: counts in tenths of a second go through the same door as
# EEG and fMRI.
mouse = datasets.load("head_direction", download=True)[0]
spikes = mouse.stream("spikes")
together = connectivity(mouse, method="correlation", stream="spikes", bin_s=0.1)
compass = np.array([name.startswith("adn") for name in together.names])
figure = connectivity_matrix(together, networks=np.where(compass, "thalamus", "hippocampus"))
picture = Path(tempfile.mkdtemp(prefix="neuro-tutorial-")) / "cells.png"
figure.savefig(picture, dpi=120)
print(picture.name)

# %%
# Finer than a tenth of a second: cross-correlograms. Moving every spike within
# 50 ms keeps what is slower, such as a shared direction, and destroys what is faster.
r = np.where(compass[:, None] & compass, together.values, np.nan)
np.fill_diagonal(r, np.nan)
a, b = np.unravel_index(np.nanargmax(r), r.shape)
some = spikes.take([a, b]).slice(600, 900)
pairs = cross_correlograms(some, bin_s=0.005, max_lag_s=0.05, jitter_s=0.05, n=39, seed=0)
print(f"{together.names[a]} and {together.names[b]}: r = {r[a, b]:.2f}; spikes together beyond "
      f"shared slow rates: p = {pairs.p_pair[0, 1]:.3f}")  # fmt: skip

# %%
# What to expect: the receptor follows the sound to about 100 Hz.
print(f"coherence of the spikes with the sound: {peak:.2f}")
assert slow > 5 * fast
assert abs(peak - 0.55) < 0.03
