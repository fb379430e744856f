"""What must hold of predicting BOLD from EEG where the truth is known (simulated data).

    python benchmarks/neurobolt_truths.py [PART ...] [--seeds 20 23] [--small]
                                          [--steps 400 --preset small]

Parts: ``ladder`` (baselines against the ceiling at two noise levels), ``leak`` (EEG of
one scan with the BOLD of another, and what a random split would have said), ``latency``
(response peaks of 4, 6 and 8 s found by occlusion), ``sign`` (a region that falls with
alpha), ``network`` (NeuroBOLT on the same scans as the ladder). Every figure is on
simulated data; ``--small`` makes it quick and the figures worse.
"""

import argparse
import time
from typing import Any

import numpy as np

from neuro.data import PairedWindows, pair
from neuro.datasets import synthetic
from neuro.evaluate import Split
from neuro.evaluate.crossmodal import TrainedNetwork, baseline_learner, evaluate_pairs, occlude
from neuro.signal import band_power
from neuro.stats import pearson

REGIONS = ("minus_alpha", "alpha_theta", "beta")
LADDER = ("lagged_ridge", "mean_ridge", "zero_lag_ridge")
PARTS = ("ladder", "leak", "latency", "sign", "network")


def study(seed: int, n_volumes: int, n_scans: int = 8, **options: Any) -> Any:
    made = synthetic.eeg_fmri(seed, n_scans=n_scans, n_volumes=n_volumes, **options)
    return made, pair(made.recordings, window_s=16)


def halves(pairs: PairedWindows) -> Any:
    """All scans but the last two to learn from, the last one to test."""
    last = len(pairs.recordings) - 1
    return np.flatnonzero(pairs.recording < last - 1), np.flatnonzero(pairs.recording == last)


def scored(made: Any, pairs: PairedWindows, **options: Any) -> Any:
    return evaluate_pairs(
        pairs,
        split=halves(pairs),
        protocols=["strict"],
        lowpass_hz=None,
        noise_free=made.truth["signal"],
        **options,
    )


def shown(found: Any, models: Any) -> str:
    parts = [f"{m} " + " ".join(f"{found.row(m, r).r:.2f}" for r in REGIONS) for m in models]
    top = " ".join(f"{found.row(models[0], r).ceiling:.2f}" for r in REGIONS)
    return f"{'   '.join(parts)}   ceiling {top}"


def ladder(seeds: Any, n_volumes: int) -> None:
    for snr in (1.0, 4.0):
        for seed in seeds:
            made, pairs = study(seed, n_volumes, snr=snr)
            found = scored(made, pairs, baselines=LADDER, n_null=99)
            above = max(
                found.row(m, r).r - found.row(m, r).ceiling for m in LADDER for r in REGIONS
            )
            print(
                f"snr {snr:g} seed {seed}: {shown(found, LADDER)}   above it at most {above:+.2f}"
            )


def leak(seeds: Any, n_volumes: int) -> None:
    for seed in seeds:
        made, _ = study(seed, n_volumes)
        recs = made.recordings
        # the BOLD of the next person, on the clock of this one's EEG
        swapped = [
            rec.with_stream("bold", recs[(i + 1) % len(recs)].regular("bold"))
            for i, rec in enumerate(recs)
        ]
        late, drawn = [], []
        for rec in swapped:
            pairs = pair(rec, window_s=16)
            options = {"baselines": ["lagged_ridge"], "protocols": ["paper"], "n_null": 99}
            split = Split("time", test=0.2, gap_s=20)
            late.append(evaluate_pairs(pairs, split=split, **options).mean_r("lagged_ridge"))
            found = evaluate_pairs(
                pairs, split=Split("random", test=0.2), allow_leakage=True, **options
            )
            drawn.append(found.mean_r("lagged_ridge"))
        print(
            f"seed {seed}: other people's BOLD, late part with a gap: mean r {np.mean(late):+.3f} "
            f"(sd of a scan {np.std(late):.2f}); random split (refused unless allowed): "
            f"{np.mean(drawn):+.3f}"
        )


def latency(seeds: Any, n_volumes: int) -> None:
    for peak_s in (4.0, 6.0, 8.0):
        for seed in seeds:
            _, pairs = study(seed, n_volumes, n_scans=5, hrf_peak_s=peak_s)
            train, test = halves(pairs)
            predict = baseline_learner("lagged_ridge")(pairs.select(train))
            found = occlude(predict, pairs.select(test[::3]), "lag")
            lags = " ".join(f"{found.lag_s(r):.1f}" for r in REGIONS)
            print(f"peak {peak_s:g} s seed {seed}: found {lags}", flush=True)


def sign(seeds: Any, n_volumes: int) -> None:
    for seed in seeds:
        _, pairs = study(seed, n_volumes, n_scans=5)
        train, test = halves(pairs)
        part = pairs.select(test)
        said = baseline_learner("lagged_ridge")(pairs.select(train))(part)[:, 0]
        rows = [pairs.ch_names.index(name) for name in ("O1", "O2", "Oz", "POz")]
        x = part.batch().x.numpy()[:, rows]
        n = x.shape[2]
        second = round(part.sfreq)
        at = slice(n - 6 * second - second // 2, n - 6 * second + second // 2)
        alpha = band_power(x[:, :, at], part.sfreq, {"alpha": (8.0, 13.0)}, length_s=1.0)
        print(f"seed {seed}: r {pearson(said, np.log(alpha).mean(axis=(1, 2))):+.2f}")


def network(seeds: Any, n_volumes: int, preset: str, steps: int, lr: float) -> None:
    for seed in seeds:
        made, pairs = study(seed, n_volumes)
        start = time.process_time()
        learner = TrainedNetwork("neurobolt", preset, steps=steps, lr=lr, seed=seed)
        found = scored(made, pairs, baselines=LADDER, models={"neurobolt": learner}, n_null=99)
        spent = time.process_time() - start
        print(f"seed {seed} {preset} {steps} steps, {spent:.0f} s CPU: "
              f"{shown(found, ('neurobolt', *LADDER))}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", default=["ladder", "leak", "latency", "sign"])
    parser.add_argument("--seeds", type=int, nargs=2, default=(20, 23))
    parser.add_argument("--preset", default="small")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    seeds = range(options.seeds[0], options.seeds[0] + 1 if options.small else options.seeds[1])
    n_volumes = 200 if options.small else 575
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}; there are {', '.join(PARTS)}")
        print(f"# {part} (simulated)", flush=True)
        if part == "network":
            network(seeds, n_volumes, options.preset, options.steps, options.lr)
        else:
            {"ladder": ladder, "leak": leak, "latency": latency, "sign": sign}[part](
                seeds, n_volumes
            )


if __name__ == "__main__":
    main()
