"""What pretraining brings on small real EEG: probes and fine-tuning beside floors and controls.

    OMP_NUM_THREADS=1 python benchmarks/pretraining.py --out FOLDER --data FOLDER [--only blink]

Each decoder starts from three kinds of weights: as they are drawn ("random",
scales and code books taken from training windows all the same), pretrained
without labels on the training part of the set itself ("inside"), and on single
channels of several recordings together ("union": the training runs of scp1 and
blink and a rodent's striatal LFP; for half-second windows those of finger too),
for the systems whose weights belong to no channel. Beside them networks of
braindecode, which learn from labels alone. All series are brought to 100 Hz and
z-scored by channel and recording, which lets microvolts and arbitrary units
meet. Nothing is chosen on test parts; every seed has weights of its own. Two of
braindecode's networks want more channels or longer windows than a set has; the
table says so.

One cell (set, decoder, weights, seed) after the other, each in a process that
may take `--minutes`; what a cell gave is written to `--out` at once, and a later
call goes on from there. `--data` holds mi_2class.gdf and rodent_striatum.npy;
without it the union has no LFP and gdf_mi is left out.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

import neuro
from neuro.data import Axis, InputContract, Recording, Regular, Windows, by_channel, windows
from neuro.evaluate import FineTune, Split, TrainedInside, evaluate
from neuro.train import fit

CONTRACT = InputContract(modality="eeg", sfreq=100, unit="z", scaling="zscore")
# set -> how its windows are cut, and what is held out
SETS: dict[str, tuple[dict[str, Any], Split]] = {
    "scp1": ({"align": "*", "offset_s": 1.0, "length_s": 2.0}, Split("run", test=("test",))),
    "finger": ({"align": "*", "length_s": 0.5}, Split("run", test=("test",))),
    "blink": ({"align": "*", "length_s": 2.0}, Split("run", test=("test",))),
    "gdf_mi": ({"align": ("left", "right"), "offset_s": 0.5, "length_s": 2.0}, Split("block", n=4)),
}
# length of the windows -> whose training runs, channel by channel; finger has no 2 s in a piece
UNION = {2.0: ("scp1", "blink"), 0.5: ("scp1", "blink", "finger")}
SYSTEMS: dict[str, dict[str, Any]] = {
    "patch_mae": {"channel_embedding": "none", "depth": 2, "patch_times": 10},
    "eegformer": {"frame_s": 0.25, "max_hz": 40.0, "d_model": 64, "depth": 2, "n_codes": 128},
    "femba": {"norm": "channel_iqr", "d_patch": 8, "n_blocks": 1, "patch_times": 10},
    "tfm_tokenizer": {"frame_times": 50, "n_codes": 128, "encoder_depth": 2},
}
WIDE = ("patch_mae", "eegformer", "tfm_tokenizer")  # no weight belongs to a channel
FOREIGN: dict[str, dict[str, Any]] = {"EEGNet": {}, "ShallowFBCSPNet": {}, "BDTCN": {}}
# half a second is shorter than ShallowFBCSPNet's own pool
SHORT = {"ShallowFBCSPNet": {"pool_time_length": 15, "pool_time_stride": 5}}


class Cell(NamedTuple):
    """One row of the table for one seed, or (set "union") one pretraining."""

    set: str
    decoder: str
    weights: str  # "", "random", "inside", "union"; of a pretraining: length of its windows
    seed: int

    @property
    def file(self) -> str:
        return "-".join(str(part) for part in self if part != "") + ".json"


class Run(NamedTuple):
    """Where and how long."""

    out: Path
    data: Path | None
    steps: int
    tuning: int


# -- data -----------------------------------------------------------------------


def recordings(name: str, run: Run) -> list[Recording]:
    if name == "gdf_mi":
        made = neuro.datasets.load(name, root=run.data)
    else:
        options = {} if name == "blink" else {"recover": True}
        made = neuro.datasets.load(name, **options)
    return [CONTRACT.conform(rec, "eeg") for rec in made]


def lfp(run: Run) -> list[Recording]:
    """The LFP as a single channel among those of the EEG, which is all it is used for."""
    if run.data is None:
        return []
    (rec,) = neuro.datasets.load("striatum_lfp", root=run.data)
    found = rec.stream("lfp")
    eeg = Regular(found.read(0, found.n_times), found.sfreq, "au", Axis(["striatum"], "eeg"), "eeg")
    made = Recording({"eeg": eeg}, dataset=rec.dataset, subject="rodent", run="train")
    return [CONTRACT.conform(made, "eeg")]


def union(length_s: float, run: Run) -> Windows:
    pool = [r for name in UNION[length_s] for r in recordings(name, run) if r.run == "train"]
    alone = by_channel([*pool, *lfp(run)], stream="eeg")
    return windows(alone, stream="eeg", length_s=length_s, step_s=0.5)


# -- weights --------------------------------------------------------------------


def pretrain(model: Any, index: Windows, seed: int, steps: int) -> None:
    """Without labels, in as many stages as the system has before there are labels."""
    stages = ("tokenizer", "pretrain") if model.name == "tfm_tokenizer" else (None,)
    for stage in stages:
        with tempfile.TemporaryDirectory() as folder:
            fit(model, index, steps=steps, batch_size=32, lr=1e-3, stage=stage, seed=seed,
                out=folder, progress=False)  # fmt: skip


def union_folder(system: str, length_s: float, seed: int, run: Run) -> Path:
    return run.out / "union" / f"{system}-{length_s:g}-{seed}"


def weights_of(cell: Cell, run: Run) -> Callable[[Windows], Any]:
    """From the training part of a fold to a network; each fold is trained for once."""
    made: dict[bytes, Any] = {}

    def network(train: Windows) -> Any:
        key = train.id.tobytes()
        if key not in made:
            made[key] = fresh(train)
        return made[key]

    def fresh(train: Windows) -> Any:
        if cell.decoder in FOREIGN:
            config = FOREIGN[cell.decoder] | (
                SHORT.get(cell.decoder, {}) if train.length_s < 1 else {}
            )
            name = f"braindecode/{cell.decoder}"
            return TrainedInside(name, steps=0, seed=cell.seed, config=config)(train)
        contract, config = train.contract(), SYSTEMS[cell.decoder]
        if cell.weights == "union":
            length_s = 2.0 if train.length_s >= 2 else 0.5
            folder = union_folder(cell.decoder, length_s, cell.seed, run)
            parts = ("head.", "encoder.channels", "encoder.cls")
            return neuro.models.adapt(neuro.models.load(folder), contract, fresh=parts)
        model = neuro.models.create(cell.decoder, contract=contract, seed=cell.seed, **config)
        if cell.weights == "random":
            model.prepare(train, cell.seed)
            return model.eval()
        pretrain(model, train, cell.seed, run.steps)
        return model

    return network


# -- cells ----------------------------------------------------------------------


def cells(sets: list[str], seeds: int, foreign: bool) -> Iterator[Cell]:
    lengths = {0.5 if name == "finger" else 2.0 for name in sets}
    for name in sets:
        yield Cell(name, "floors", "", 0)
    for seed in range(seeds):
        for name in sets:
            for decoder in FOREIGN if foreign else ():
                yield Cell(name, decoder, "", seed)
        for system in SYSTEMS:
            for length_s in sorted(lengths, reverse=True) if system in WIDE else ():
                yield Cell("union", system, f"{length_s:g}", seed)
            for name in sets:
                for kind in ("random", "inside", "union")[: 3 if system in WIDE else 2]:
                    yield Cell(name, system, kind, seed)


def computed(cell: Cell, run: Run) -> list[dict[str, Any]]:
    if cell.set == "union":
        length_s = float(cell.weights)
        index = union(length_s, run)
        model = neuro.models.create(cell.decoder, contract=index.contract(), seed=cell.seed,
                                    **SYSTEMS[cell.decoder])  # fmt: skip
        pretrain(model, index, cell.seed, run.steps)
        model.save(union_folder(cell.decoder, length_s, cell.seed, run))
        return [{"how": "pretraining", "n_windows": len(index), "n": model.n_parameters()}]
    cut, split = SETS[cell.set]
    index = windows(recordings(cell.set, run), stream="eeg", label="type", **cut)
    if cell.decoder == "floors":
        found = evaluate(None, index, split=split, seeds=1, controls=())
        return rows(found, "probe")
    model = {cell.decoder: weights_of(cell, run)}
    out: list[dict[str, Any]] = []
    if cell.decoder not in FOREIGN:
        # what a probe makes of labels that mean nothing
        controls = ["shuffled_labels"] if cell.weights == "inside" else []
        out += rows(evaluate(model, index, split=split, seeds=1, floors=["constant"], shuffles=3,
                             controls=controls), "probe")  # fmt: skip
    how = FineTune("full", steps=run.tuning, lr=1e-3)
    out += rows(evaluate(model, index, split=split, seeds=1, floors=["constant"], controls=(),
                         probe=how), "fine-tuned")  # fmt: skip
    return [row for row in out if row["model"] != "constant"]


def rows(results: Any, how: str) -> list[dict[str, Any]]:
    names = ("model", "kind", "control", "value", "lo", "hi")
    return [
        {"how": how, **{name: getattr(r, name) for name in names}}
        for r in results.rows
        if r.metric == "balanced_accuracy"
    ]


def in_a_process(cell: Cell, run: Run) -> None:
    """Compute a cell and write it; an error is written too."""
    began, cpu = time.perf_counter(), time.process_time()
    facts: dict[str, Any] = {"cell": cell._asdict()}
    try:
        facts["rows"] = computed(cell, run)
    except Exception as error:
        facts["error"] = f"{type(error).__name__}: {error}"
        facts["where"] = traceback.format_exc()
    facts |= {"s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    store(facts, run.out / "cells" / cell.file)


def store(facts: dict[str, Any], path: Path) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(facts, indent=1))
    os.replace(part, path)


def work(todo: list[Cell], run: Run, minutes: float) -> None:
    # forked, so that what is imported (and stubbed) here is there without delay
    context = multiprocessing.get_context("fork")
    for k, cell in enumerate(todo):
        path = run.out / "cells" / cell.file
        if path.is_file():
            continue
        process = context.Process(target=in_a_process, args=(cell, run))
        process.start()
        process.join(60 * minutes)
        if process.is_alive():
            process.terminate()
            process.join()
            store({"cell": cell._asdict(), "error": f"longer than {minutes:g} min"}, path)
        elif not path.is_file():  # killed from outside: a later call tries again
            print(f"{k + 1}/{len(todo)} {cell.file}: exit {process.exitcode}", flush=True)
            continue
        facts = json.loads(path.read_text())
        said = facts.get("error") or " ".join(f"{r['value']:.3f}" for r in facts["rows"]
                                              if "value" in r)  # fmt: skip
        print(f"{k + 1}/{len(todo)} {cell.file} {facts.get('s', 0):.0f} s: {said}", flush=True)


# -- table ----------------------------------------------------------------------


def table(todo: list[Cell], run: Run) -> None:
    """Value of each seed, and the widest of their intervals."""
    lines: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    failed = []
    for cell in todo:
        path = run.out / "cells" / cell.file
        facts = json.loads(path.read_text()) if path.is_file() else {"error": "not computed"}
        if "error" in facts:
            failed.append(f"{cell.file}: {facts['error']}")
        for row in facts.get("rows", ()) if cell.set != "union" else ():
            name = row["model"] if not row["control"] else f"{row['model']}, {row['control']}"
            lines.setdefault((cell.set, row["how"], name, cell.weights), []).append(row)
    print("\n| set | how | decoder | weights | balanced accuracy, each seed | 95 % interval |")
    print("|---|---|---|---|---:|---:|")
    for where in SETS:
        for (name, how, decoder, weights), found in lines.items():
            if name == where:
                values = ", ".join(f"{r['value']:.3f}" for r in found)
                lo, hi = min(r["lo"] for r in found), max(r["hi"] for r in found)
                print(f"| {name} | {how} | {decoder} | {weights} | {values} "
                      f"| {lo:.3f} to {hi:.3f} |")  # fmt: skip
    print("\n".join(["", *failed]))


def has_braindecode() -> bool:
    try:
        neuro.models.info("braindecode/EEGNet")
        return True
    except neuro.errors.MissingDependencyError as error:
        print(f"without braindecode: {error}")
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where cells are kept")
    parser.add_argument("--data", type=Path, help="folder of the sets that go by path")
    parser.add_argument("--only", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--steps", type=int, default=120, help="of pretraining, a stage")
    parser.add_argument("--tuning", type=int, default=100, help="steps of fine-tuning")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=10, help="that a cell may take")
    parser.add_argument("--small", action="store_true", help="4 steps, 1 seed: does it run?")
    parser.add_argument("--table", action="store_true", help="show what is there, compute nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    steps, tuning, seeds = (4, 4, 1) if args.small else (args.steps, args.tuning, args.seeds)
    run = Run(args.out, args.data, steps, tuning)
    (run.out / "cells").mkdir(parents=True, exist_ok=True)
    sets = [name for name in args.only if name != "gdf_mi" or args.data]
    todo = list(cells(sets, seeds, has_braindecode()))
    if not args.table:
        work(todo, run, args.minutes)
    table(todo, run)


if __name__ == "__main__":
    main()
