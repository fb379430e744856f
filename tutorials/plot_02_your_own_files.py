"""After this you can bring files of your own lab into the package, and trust what arrives.

We play a small lab: four people imagined moving the left or the right hand, and
the amplifier wrote one file each. One file has what real files have: its
numbers are microvolts, its header says volts.
"""

# %%
# The lab's files, in BIDS names. They are simulated, so the truth is known: the
# rhythm over one hand's area falls when the other hand is imagined.
import subprocess
import sys
import tempfile
from pathlib import Path

import neuro
from neuro.data import Events, InputContract, windows
from neuro.datasets import audit, synthetic
from neuro.errors import ContractError, UnitError
from neuro.evaluate import Split, evaluate

lab = Path(tempfile.mkdtemp(prefix="neuro-tutorial-"))
simulated = synthetic.eeg(seed=3, n_subjects=4, n_trials=30, sfreq=128, snr=2.0)
for recording in simulated.recordings:
    raw = recording.to_mne("eeg")
    if recording.subject == "03":
        raw.apply_function(lambda volts: volts * 1e6)  # the mistake
    raw.save(lab / f"sub-{recording.subject}_task-imagery_eeg.fif", verbose="ERROR")

# %%
# Read one. Names of people, birth dates and paths stay behind; subject and task
# come from the file's name.
good = neuro.read(lab / "sub-01_task-imagery_eeg.fif")
print(good)
print(good.provenance)

# %%
# Read the one with the wrong header. An EEG of ten volts is not believed: the
# error says what it looks like, and the remedy is to say what is true.
try:
    neuro.read(lab / "sub-03_task-imagery_eeg.fif")
except UnitError as error:
    print(f"refused: {error}")
mended = neuro.read(lab / "sub-03_task-imagery_eeg.fif", unit="uV")
print(mended.provenance.steps)

# %%
# Convert all of them to one fast, checked format. In a shell this is
#
#     neuro convert LAB --out STORE --read dataset=my_lab
#
# It goes on where a file is refused, says so, and ends with exit code 1. Run
# again, it converts only what has changed.
store = lab / "store"
convert = [sys.executable, "-m", "neuro.cli", "convert", "--out", str(store)]
convert += ["--read", "dataset=my_lab"]
first = subprocess.run([*convert, str(lab)], capture_output=True, text=True)
print(first.stdout)
odd = subprocess.run([*convert, str(lab / "sub-03_task-imagery_eeg.fif"), "--unit", "uV"])
print(f"exit codes: {first.returncode} for the folder, {odd.returncode} with the true unit")
recordings = [neuro.read(path) for path in sorted(store.glob("*.h5"))]

# %%
# Audit. Some defects show only beside other recordings, or only in the numbers:
# a shifted clock, two people exchanged, one file twice. Clean files raise nothing.
clean = audit(recordings)
print(clean)
late = recordings[0].events
late = Events.make(late.onset_s + 3600, late.type, duration_s=late.duration_s, block=late.block)
shifted = audit([recordings[0].replace(events=late), *recordings[1:]])
print(shifted)  # the clock of the stimulus computer was an hour ahead

# %%
# Conform. A contract says what a model accepts: rate, unit, channels in order,
# filter. It is saved in every checkpoint. `conform` does what has to be done and
# notes each step, or says why it cannot be done.
contract = InputContract(
    modality="eeg",
    sfreq=64,
    unit="uV",
    ch_names=("F3", "F4", "C3", "Cz", "C4", "T3", "T4", "P3", "P4"),  # T3 is T7 today
    highpass=1.0,
    reference="average",
)
ready = [contract.conform(recording) for recording in recordings]
print(ready[0])
print("\n".join(ready[0].provenance.steps))
try:
    InputContract(modality="eeg", sfreq=64, unit="uV", ch_names=("C3", "CP9")).conform(good)
except ContractError as error:
    print(f"refused: {error}")

# %%
# Evaluate: each person in turn is decoded from the other three.
index = windows(ready, stream="eeg", length_s=2.0, align=["left", "right"], label="type")
results = evaluate(None, index, split=Split("subject", n="leave-one-out"), seeds=2, simulated=True)
print(results)

# %%
# What to expect: the rhythm's strength tells the hands apart in people whose
# data the decoder never saw. Had the third file been taken at its word, its
# numbers would have been a million times the others'.
accuracy = results.row("band_power", "accuracy").value
print(f"left or right hand of an unseen person: {accuracy:.2f}")
assert (first.returncode, odd.returncode) == (1, 0)
assert clean.ok
assert "clock" in shifted.kinds()
assert accuracy > 0.8
