"""After this you can tell an honest score from a leaky one, and see what stops the leaky ones.

Most inflated scores in decoding come from two mistakes: test windows that are
neighbours of training windows, and recordings that carry the wrong name. We make
both on purpose, on simulated brain regions whose truth is known: here there is
nothing to decode at all. If the real sets are on your machine, the last part
repeats both mistakes there.
"""

# %%
# Nothing to find. Twelve simulated people lie in a scanner and do nothing; "heat" and
# "rest" alternate in an experimenter's notes only. Slow fluctuations make
# neighbouring volumes alike, as in every recording of blood oxygenation.
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import neuro
from neuro.data import Events, windows
from neuro.datasets import synthetic
from neuro.errors import LeakageError
from neuro.evaluate import Split, evaluate

out = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))
simulated = synthetic.fmri_roi(seed=3, n_subjects=12, n_volumes=240, task_effect=0.0)
rng = np.random.default_rng(0)
recordings = []
for recording in simulated.recordings:
    bold = recording.regular("bold")
    n = int(bold.n_times * bold.rate.denominator / bold.rate.numerator // 40)
    names = rng.permutation(np.resize(["heat", "rest"], n))
    notes = Events.make(np.arange(n) * 40.0, names, duration_s=40.0, block=np.arange(n))
    recordings.append(recording.replace(events=notes))
index = windows(recordings, stream="bold", length_s=2.0, label="type")
index = index.select(index.labelled)
print(index)

# %%
# The honest question: whole people are held out. The answer is chance, as it must be.
honest = evaluate(
    None, index, split=Split("subject", n=4), floors=["nearest"], controls=(), seeds=1
).row("nearest")
print(f"whole people held out: {honest.value:.2f} [{honest.lo:.2f}, {honest.hi:.2f}]")

# %%
# The usual mistake: windows drawn at random. Each test window has neighbours of the
# same block among the training windows, so a decoder only needs to recognise the
# moment. This is refused, with the reason.
leaky_split = Split("random", n=4)
try:
    evaluate(None, index, split=leaky_split)
except LeakageError as error:
    print(f"refused: {error}")
    refused = True

# %%
# You may insist, for instance to show the size of the effect. Then every table, and
# the report, carry the stamp.
forced = evaluate(
    None, index, split=leaky_split, floors=["nearest"], controls=(), seeds=1, allow_leakage=True
)
leaky = forced.row("nearest")
page = forced.to_html(out / "report.html").read_text()
print(f"windows drawn at random: {leaky.value:.2f}, leaky: {leaky.leaky}")
assert 'class="stamp leak"' in page

# %%
# Wrong names. Everybody was recorded twice; here the files of the second run carry the
# number of the person before, as in a published set. Connectivity is a fingerprint,
# so the audit finds out before a model is trained.
names = [r.subject for r in recordings if r.run == "2"]
wrong = dict(zip(names, [*names[1:], names[0]], strict=True))
mixed = [r.replace(subject=wrong[r.subject]) if r.run == "2" else r for r in recordings]
found = neuro.datasets.audit(mixed)
print(found)
assert neuro.datasets.audit(recordings).ok
assert not found.ok

# %%
# Both on real data, if it is here. The published names: `neuro datasets get pain122`
# brings 33 people; the loader mends their names unless told not to.
if neuro.datasets.available("pain122"):
    shipped = neuro.datasets.load("pain122", correct_identities=False)
    as_named = neuro.datasets.audit(shipped)
    print(as_named)
    assert not as_named.ok
    assert neuro.datasets.audit(neuro.datasets.load("pain122")).ok

# %%
# Windows at random: one slice of a study of object viewing, which is not fetched (see
# `neuro datasets info haxby_slice`). Pass the folder that holds it as an argument, or
# in NEURO_TUTORIAL_ROOT.
root = (sys.argv[1:] or [os.environ.get("NEURO_TUTORIAL_ROOT", "")])[0]
if root and Path(root, "haxby_slice").is_dir():
    from neuro.evaluate.suite.offline import offline_task

    task = offline_task("haxby_slice")
    viewed = task.cut(neuro.datasets.load("haxby_slice", root=root))
    common = {"floors": ["mean"], "controls": (), "metrics": ["accuracy"], "seeds": 1}
    runs = evaluate(None, viewed, split=task.split, **common).row("mean", "accuracy")
    drawn = evaluate(None, viewed, split=Split("random", n=10), allow_leakage=True, **common)
    inflated = drawn.row("mean", "accuracy")
    print(f"8 categories, whole runs held out: {runs.value:.2f}; at random: {inflated.value:.2f}")
    assert inflated.value > runs.value + 0.08

# %%
# What to expect: a coin for people nobody has seen, near certainty for neighbours in
# time, from data in which there is nothing.
print(f"the leak is worth {leaky.value - honest.value:.2f}")
assert refused
assert leaky.value - honest.value > 0.2
