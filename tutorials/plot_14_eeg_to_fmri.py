"""After this you can predict BOLD from EEG, and tell a prediction from a shortcut.

All data here are simulated: no simultaneous EEG and fMRI can be had without asking
its owners. Three rhythmic sources drive twelve regions through a known response, so
the best possible score is known too. With your own scans replace the first cell by
``neuro.io.read_simultaneous("my_bids_folder")``.
"""

# %%
# Six people, one scan each. BOLD runs on a clock of its own; `pair` puts the 16 s of
# EEG that end at a volume before that volume, by the clocks and never by counting.
import tempfile
from pathlib import Path

import numpy as np

from neuro import plot
from neuro.connectivity import connectivity
from neuro.data import pair
from neuro.datasets import synthetic
from neuro.evaluate import Split
from neuro.evaluate.crossmodal import (
    baseline_learner,
    connectome_similarity,
    evaluate_pairs,
    occlude,
    predicted_recordings,
)

made = synthetic.eeg_fmri(0, n_scans=6, n_volumes=240, n_rois=12, sfreq=100)
pairs = pair(made.recordings, window_s=16)
print(pairs)

# %%
# Whole people are held out. Every correlation is within one scan, and stands beside
# what targets rotated in time give, and beside the ceiling: the course without noise.
results = evaluate_pairs(
    pairs,
    split=Split("subject", n=3),
    protocols=["strict"],
    noise_free=made.truth["signal"],
    n_null=200,
)
for model in results.models:
    print(f"{model:16} mean r {results.mean_r(model):.2f}")
alpha = results.row("lagged_ridge", "minus_alpha")
print(f"minus_alpha: r {alpha.r:.2f} [{alpha.lo:.2f}, {alpha.hi:.2f}], ceiling {alpha.ceiling:.2f}")
print(f"by chance [{alpha.null_lo:.2f}, {alpha.null_hi:.2f}], p = {alpha.p_shifted:.3f}")
assert results.mean_r("lagged_ridge") > results.mean_r("mean_ridge") > 0.5
assert results.mean_r("zero_lag_ridge") < 0.45
assert alpha.r < alpha.ceiling

# %%
# The delay is in the data: exchange one second of all windows for another window's,
# and see how much the prediction moves. The response was made to peak at 5 s.
train, test = pairs.select(pairs.recording < 4), pairs.select(pairs.recording == 5)
predict = baseline_learner("lagged_ridge")(train)
seconds = occlude(predict, test, "lag")
rhythms = occlude(predict, test, "band")
found_s = seconds.lag_s("minus_alpha")
print(f"what counts lies {found_s:.1f} s before the volume, in {rhythms.peak('minus_alpha')}")
assert abs(found_s - 5.0) < 1.5
assert rhythms.peak("beta") == "beta"

# %%
# A shortcut that looks like skill: BOLD of another person, one scan by itself. Nothing
# can be predicted, but windows of neighbouring volumes overlap by 87 % and BOLD is slow:
# a random split rewards memory, so it is refused unless you insist.
stolen = []
for i, rec in enumerate(made.recordings):
    other = made.recordings[(i + 1) % 6].regular("bold")
    stolen.append(pair(rec.with_stream("bold", other), window_s=16))
random, late = (
    np.mean([
        evaluate_pairs(
            one, split=split, baselines=["lagged_ridge"], protocols=["paper"], n_null=9,
            allow_leakage=split.by == "random",
        ).mean_r("lagged_ridge")
        for one in stolen[:3]
    ])
    for split in (Split("random", test=0.25), Split("time", test=0.25, gap_s=20))
)  # fmt: skip
print(f"other people's BOLD: random split r {random:+.2f}, late part with a gap {late:+.2f}")
assert random > 0.05

# %%
# Predictions are recordings of BOLD: whatever reads BOLD reads them. Is the predicted
# connectome the measured one? Common to all people or this person's own?
said = results.predictions["strict", "lagged_ridge"]
scans = predicted_recordings(pairs.select(said.rows), said.said, model="lagged_ridge")
alike = connectome_similarity(scans, made.recordings)
print(alike)
matrix = connectivity(scans[0], method="correlation")
print(matrix)

# %%
# The page holds the same: open it. A trained network goes in beside the baselines,
# models={"neurobolt": TrainedNetwork("neurobolt", "small")}, and is judged by them.
out = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))
page = results.to_html(out / "report.html", occlusions=[seconds, rhythms], connectome=alike)
plot.occlusion(seconds, ["minus_alpha", "beta"]).savefig(out / "seconds.png")
print(f"open {page.name}")
assert alike.own.mean() > 0.7
