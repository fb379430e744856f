"""What pretraining brings on small real EEG: probes and fine-tuning beside floors and controls.

    OMP_NUM_THREADS=2 python benchmarks/pretraining.py [--small] [--sets scp1 blink …]

Two kinds of pretraining without labels: on the training part of each set alone
("inside"), and channel by channel on the training runs of scp1, scp2 and blink
together ("union"), for the systems whose weights belong to no channel. All
series are brought to 100 Hz and z-scored by channel and recording, which lets
sets in microvolts and in arbitrary units meet. Nothing is chosen on test parts.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import neuro
from neuro.data import InputContract, by_channel, windows
from neuro.errors import MissingDependencyError
from neuro.evaluate import FineTune, Split, TrainedInside, evaluate
from neuro.train import fit

CONTRACT = InputContract(modality="eeg", sfreq=100, unit="z", scaling="zscore")
# set -> how its windows are cut, and what is held out
SETS = {
    "scp1": ({"align": "*", "offset_s": 1.0, "length_s": 2.0}, Split("run", test=("test",))),
    "blink": ({"align": "*", "length_s": 2.0}, Split("run", test=("test",))),
    "gdf_mi": ({"align": ("left", "right"), "offset_s": 0.5, "length_s": 2.0}, Split("block", n=4)),
    "finger": ({"align": "*", "length_s": 0.5}, Split("run", test=("test",))),
}
UNION = ("scp1", "scp2", "blink")
SYSTEMS = {
    "patch_mae": {"channel_embedding": "none", "depth": 2, "patch_times": 10},
    "eegformer": {"frame_s": 0.25, "max_hz": 40.0, "d_model": 64, "depth": 2, "n_codes": 128},
    "tfm_tokenizer": {"frame_times": 50, "n_codes": 128, "encoder_depth": 2},
    "femba": {"norm": "channel_iqr", "d_patch": 8, "n_blocks": 1, "patch_times": 10},
}
WIDE = ("patch_mae", "eegformer", "tfm_tokenizer")  # no weight belongs to a channel
FOREIGN = ("EEGNet", "ShallowFBCSPNet")


def recordings(name):
    options = {"recover": True} if name in ("scp1", "scp2", "finger") else {}
    root = Path(__file__).parents[2] / "shared" / "data" if name == "gdf_mi" else None
    made = neuro.datasets.load(name, root=root, **options)
    return [CONTRACT.conform(rec, "eeg") for rec in made]


def pretrained_on_the_union(steps, folder):
    """Networks of one channel, trained on what three sets give for training."""
    pool = [r for name in UNION for r in recordings(name) if r.run == "train"]
    index = windows(by_channel(pool, stream="eeg"), stream="eeg", length_s=2.0, step_s=0.5)
    print(f"union: {index!r}")
    found = {}
    for name in WIDE:
        model = neuro.models.create(name, contract=index.contract(), **SYSTEMS[name])
        stages = ("tokenizer", "pretrain") if name == "tfm_tokenizer" else (None,)
        began = time.perf_counter()
        for stage in stages:
            fit(model, index, steps=steps, stage=stage, out=folder / f"{name}-{stage}",
                progress=False)  # fmt: skip
        print(f"  {name}: {model.n_parameters():,} parameters, {time.perf_counter() - began:.0f} s")
        found[name] = model
    return found


def contenders(name, union, index, steps):
    made = {k: TrainedInside(k, steps=steps, config=c) for k, c in SYSTEMS.items()}
    if name != "finger":  # its trials are shorter than the windows of the union
        for system, model in union.items():
            fresh = ("head.", "encoder.channels", "encoder.cls")
            adapted = neuro.models.adapt(model, index.contract(), fresh=fresh)
            made[f"{system} (union)"] = adapted
    return made


def foreign():
    """Two networks of braindecode, which learn from labels alone."""
    try:
        for name in FOREIGN:
            neuro.models.info(f"braindecode/{name}")
    except MissingDependencyError as error:
        print(f"without braindecode: {error}", file=sys.stderr)
        return {}
    return {name: TrainedInside(f"braindecode/{name}", steps=0) for name in FOREIGN}


def shown(results, name, how):
    frame = results.to_dataframe()
    frame = frame[frame.metric == "balanced_accuracy"]
    for _, row in frame.iterrows():
        label = f"{row.model} / {row.control}" if row.control else row.model
        print(f"| {name} | {how} | {row.kind} | {label} | {row.value:.3f} "
              f"[{row.lo:.3f}, {row.hi:.3f}] |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--steps", type=int, default=200, help="of pretraining")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    args = parser.parse_args()
    steps, tune, seeds = (4, 4, 1) if args.small else (args.steps, 100, 2)
    with tempfile.TemporaryDirectory() as folder:
        union = pretrained_on_the_union(steps, Path(folder))
        print("| set | how | kind | decoder | balanced accuracy [95 % interval] |")
        print("|---|---|---|---|---:|")
        for name in args.sets:
            cut, split = SETS[name]
            index = windows(recordings(name), stream="eeg", label="type", **cut)
            made = contenders(name, union, index, steps)
            shown(evaluate(made, index, split=split, seeds=seeds), name, "probe")
            tuned = evaluate({**made, **foreign()}, index, split=split, seeds=seeds,
                             probe=FineTune("full", steps=tune), floors=["constant"],
                             controls=["random_weights"])  # fmt: skip
            shown(tuned, name, "fine-tuned")


if __name__ == "__main__":
    main()
