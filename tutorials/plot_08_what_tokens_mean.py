"""After this you can turn EEG into tokens and find out what they mean.

Real data: 950 two-second windows of four channels, in each of which one person
blinks, short or long. A small tokenizer learns from the first run without
labels; then we look at its codes, and ask which of them tell the blinks apart.
"""

# %%
# Windows, labelled by the kind of blink. The two runs are kept apart throughout.
import tempfile
from pathlib import Path

import numpy as np

import neuro
from neuro.data import windows
from neuro.evaluate.codebook import inspect_codebook, read_tokens
from neuro.train import fit

recordings = neuro.datasets.load("blink", download=True)
blinks = windows(recordings, stream="eeg", align="*", length_s=2.0, label="type")
train = blinks.select(blinks.column("run") == "train")
print(blinks)
out = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))


# %%
# A tokenizer: EEGFormer turns every 0.4 s of every channel into one of 32
# codes, and learns by giving back the spectrum from the code. No label is used.
def tokenizer(max_hz, folder):
    model = neuro.models.create(
        "eegformer", contract=train.contract(), d_model=32, depth=1, n_heads=4, decoder_depth=1,
        n_codes=32, frame_s=0.4, max_hz=max_hz, pool="mean",
    )  # fmt: skip
    fit(model, train, steps=60, batch_size=32, lr=2e-3, out=out / folder)
    return model


model = tokenizer(40.0, "blinks")
grid = read_tokens(model, blinks)
print(f"codes of the first window, channel by channel:\n{grid.ids[0]}")

# %%
# The microscope: how many codes are in use, whether they survive noise, what they
# look like, and which runs of them mark short blinks. Naive Bayes counts runs of
# one, two and three codes in one run of the recording and is judged on the other.
seen = inspect_codebook(model, blinks, positive="short", by="run")
print(seen)
noise = seen.stability[-1]
print(f"{noise.name}: {noise.kept:.0%} of the codes stay, {noise.chance:.0%} by chance")
found = seen.evidence
told, shuffled = float(np.mean(found.auroc)), float(np.mean(found.auroc_shuffled))
print(f"AUROC {told:.2f} on the other run, {shuffled:.2f} with exchanged labels")
for gram in found.top[:3]:
    print(f"{gram.codes}: {gram.in_positive} times in short, {gram.in_other} in long blinks")

# %%
# Where is the evidence? Every token carries its share; the page draws it over the
# signals, beside one stretch and the mean spectrum of each code.
first = found.map[found.is_positive].mean(axis=(0, 1))
print("mean evidence along a short blink's window:", first.round(2))
page = seen.to_html(out / "codes.html")
print(f"open {page.name}")


# %%
# Codes mean what the training made them keep. Let the tokenizer see up to 100 Hz,
# and its codes tell how loud the mains hum at 60 Hz instead of who blinked how:
# look at the spectra on the two pages before you believe a token.
def hum_apart(report):
    """How many-fold the codes' typical power within 2 Hz of the mains differs."""
    looks = report.prototypes
    hum = np.log(looks.spectrum[:, np.abs(looks.freqs - 60) < 2].sum(axis=1))
    typical = np.average(hum, weights=looks.counts)
    return np.exp(np.sqrt(np.average((hum - typical) ** 2, weights=looks.counts)))


wide = inspect_codebook(tokenizer(100.0, "wide"), blinks, positive="short", by="run")
for name, report in (("up to 40 Hz", seen), ("up to 100 Hz", wide)):
    score = float(np.mean(report.evidence.auroc))
    print(f"{name}: hum {hum_apart(report):.1f}-fold apart, AUROC {score:.2f}")

# %%
# What to expect: the codes tell the blinks of the other run apart, exchanged labels
# do not, and hardly a code lies idle.
assert seen.n_used > 20
assert abs(shuffled - 0.5) < 0.15
assert told > 0.8
