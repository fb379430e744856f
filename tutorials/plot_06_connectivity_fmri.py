"""After this you can tell people apart by their connectivity, and follow it in time.

Real data: seven people at rest, 94 regions, 1,200 volumes every 0.72 s.
"""

# %%
# One matrix a person and half. Fisher z is what may be averaged.
import tempfile
from pathlib import Path

import numpy as np

from neuro import datasets
from neuro.connectivity import (
    cluster_states,
    connectivity,
    correlation_test_matrix,
    matrix_of,
    state_summary,
    windowed_correlation,
)
from neuro.plot.connectivity import state_timeline

people = datasets.load("hcp94", download=True)
first, second = (
    connectivity([p.slice(*half) for p in people], method="correlation", stream="bold")
    for half in ((0, 432), (432, 864))
)
print(first)

# %%
# Whose second half is it? The nearest first half should be the same person's.
n = len(people)
between = np.corrcoef(first.vector(), second.vector())[:n, n:]
found = int((between.argmax(axis=0) == np.arange(n)).sum())
own, other = np.diag(between).mean(), between[~np.eye(n, dtype=bool)].mean()
print(f"{found} of {n} found; r with oneself {own:.2f}, with others {other:.2f}")

# %%
# How sure is a single correlation? Slow signals hold far fewer independent samples
# than volumes; a p-value that ignores it calls too much significant.
bold = people[0].stream("bold")
honest = correlation_test_matrix(bold.values())
naive = correlation_test_matrix(bold.values(), max_lag=0)
upper = np.triu_indices(94, 1)
worth = float(np.median(honest.n_eff[upper]))
print(f"{bold.n_times} volumes are worth {worth:.0f} independent ones")
print(f"pairs called significant: {naive.significant[upper].mean():.0%} without, "
      f"{honest.significant[upper].mean():.0%} with that in mind")  # fmt: skip

# %%
# In time: Hann windows of 43 s, correlations weighted by the window, four states.
# Their number is a choice, not a finding.
windows = windowed_correlation(bold.values(), bold.sfreq, window_s=43, step_s=2)
states = cluster_states(windows.values, 4, seed=0)
summary = state_summary(states.labels, 2.0, run=windows.run)
print("share", summary.occupancy.round(2), "dwell (s)", summary.dwell_s.round(0))
figure = state_timeline(states.labels, windows.centres_s, matrix_of(states.centroids, 1.0))
picture = Path(tempfile.mkdtemp(prefix="neuro-tutorial-")) / "states.png"
figure.savefig(picture, dpi=120)
print(picture.name)

# %%
# What to expect: all seven are found, and a run of 14 minutes is worth a fraction
# of its volumes.
assert worth < 600
assert found == 7
