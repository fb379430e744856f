"""After this you can take a recording from its file to an honest report.

The recording ships with the package: 15 units of a mouse, asleep for ten
minutes, then awake in an open field while cameras follow its head. We decode
where the head points from half a second of spikes, with plain decoders and
with a network that first learned from the spikes alone.
"""

# %%
# Read. A recording is a set of named streams on one clock, with events, units
# and where it came from. Printing it shows all of that.
import tempfile
from pathlib import Path

import numpy as np

import neuro
from neuro.data import windows
from neuro.evaluate import Split, evaluate, figures
from neuro.plot import raster
from neuro.train import fit

recording = neuro.datasets.load("head_direction")[0]
print(recording)
print(neuro.datasets.audit(recording))

out = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))
raster(recording, "spikes", start_s=700, length_s=10).savefig(out / "raster.png")

# %%
# Cut. Spikes are counted in bins of 50 ms while the cameras see the head, and
# windows of half a second are labelled. A label may be an event, a fact of the
# recording, or, as here, any function of (recording, start, stop).
angle = recording.regular("head_angle")
counts = recording.stream("spikes").slice(angle.t0_s, angle.stop_s).bin(0.05)
recording = recording.with_stream("counts", counts, "bin 0.05 s while tracked")


def mean_direction(recording, start_s, stop_s):
    a, b = angle.index(start_s), angle.index(stop_s)
    if a < 0 or b > angle.n_times:
        return np.nan  # this window has no answer and will be left out
    return np.angle(np.exp(1j * angle.read(a, b)[0]).mean())


index = windows(recording, stream="counts", length_s=0.5, label=mean_direction)
index = index.select(index.labelled)
print(index)

# %%
# Split. Neighbouring windows resemble each other, so drawing test windows at
# random would flatter every decoder, and is refused. The last half of the time
# is held out, with a gap.
split = Split("time", test=0.5, gap_s=1.0)
print(split)


# %%
# A network. It fills gaps in the counts of the training half: labels are not
# needed for that, and the function below never sees the half it is judged on.
def pretrained(train):
    small = {"patch_times": 2, "d_model": 32, "depth": 2}
    model = neuro.models.create("patch_mae", contract=train.contract(), **small)
    fit(model, train, steps=60, batch_size=64, lr=3e-3, out=out / "run")
    return model


# %%
# Evaluate. Beside the network stand the plain decoders it has to beat (the
# floors), the same network with random weights, and the network with shuffled
# labels. Intervals come from resampling stretches of time, not single windows.
results = evaluate(
    {"patch_mae": pretrained}, index, split=split, task="circular", seeds=2, out=out / "results"
)
table = results.to_dataframe()
print(table[table.metric == "median_angular_error"][["model", "control", "value", "lo", "hi"]])
print(results)

# %%
# Report. One self-contained page, with pictures; it can be mailed as it is.
model = neuro.models.load(neuro.train.Run(out / "run").best() / "model")
drawn = figures(index, model)
page = results.to_html(out / "report.html", figures={results.rows[0].dataset: drawn})
print(f"open {page}")

# %%
# What to expect: counts and Bayes' rule know the direction to about ten degrees,
# chance is 90, and shuffled labels must not do better than that.
floor = results.best_floor().value
shuffled = results.row("patch_mae", control="shuffled_labels").value
print(f"best floor {floor:.1f} degrees, shuffled labels {shuffled:.1f}")
assert floor < 15
assert shuffled > 60
