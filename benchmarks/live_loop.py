"""How fast the live loop decides, how long extraction takes, and whether samples get lost.

64 channels at 256 Hz in chunks of 8 samples, as an amplifier would deliver them:
time from the last sample of a window to the decision, for spectral power, node
strength and the embedding of a small network; extraction of 40 trials; and, over
LSL on the loopback, five minutes of 64 channels at 1 kHz with a count of what
arrived and the share of a core it took.

    python benchmarks/live_loop.py [--small]
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

import neuro
from neuro.stream import (
    Array,
    Chain,
    Decoder,
    Extractor,
    Filter,
    LinearRule,
    Live,
    Plan,
    Power,
    Reference,
    Selection,
    StreamInfo,
    Strength,
)  # fmt: skip
from neuro.stream.networks import Embedding

N_CHANS, SFREQ = 64, 256
NAMES = tuple(f"E{i + 1}" for i in range(N_CHANS))

AMPLIFIER = """
import sys, time
import numpy as np, pylsl
from neuro.stream.lsl import private_session
private_session(sys.argv[1])
seconds, rate, n = float(sys.argv[2]), 1000, 64
info = pylsl.StreamInfo("bench", "EEG", n, rate, "float32", "bench")
info.set_channel_labels([f"E{i + 1}" for i in range(n)])
info.set_channel_units(["uV"] * n)
outlet = pylsl.StreamOutlet(info)
outlet.wait_for_consumers(60)
block = np.random.default_rng(0).standard_normal((20, n)).astype(np.float32)
zero, began = pylsl.local_clock(), time.perf_counter()
for k in range(int(seconds * rate / 20)):
    wait = began + (k + 1) * 0.02 - time.perf_counter()
    if wait > 0:
        time.sleep(wait)
    outlet.push_chunk(block, zero + ((k + 1) * 20 - 1) / rate)
time.sleep(3)
"""


def families():
    net = neuro.models.create(
        "patch_mae", preset="tiny", n_chans=N_CHANS, n_times=SFREQ, sfreq=SFREQ, ch_names=NAMES,
        seed=0,
    )  # fmt: skip
    return {
        "power (Burg)": (Power(), Plan(running_s=3.0)),
        "power (Welch)": (Power(method="welch"), Plan(running_s=3.0)),
        "node strength (|Im C|)": (Strength(), Plan(running_s=3.0)),
        "patch_mae embedding": (Embedding(net), Plan(1, 4, 1.0, 0.25, running_s=3.0)),
    }


def extractor(family, plan):
    chain = Chain(NAMES, SFREQ, [Reference(), Filter(1, 40)])
    return Extractor(chain, plan, family)


def decisions(family, plan, seconds):
    """Milliseconds from the arrival of a window's last chunk to the decision, chunk by chunk."""
    own = extractor(family, plan)
    n = len(own.table.rows) * len(own.table.columns)
    decoder = Decoder(own, Selection(), LinearRule(("a", "b"), np.zeros((1, n)), np.zeros(1)))
    x = 20 * np.random.default_rng(0).standard_normal((N_CHANS, int(seconds * SFREQ)))
    live = Live(Array(x, StreamInfo(NAMES, SFREQ, "uV"), chunk=8), decoder)
    took = []
    while True:
        begin = time.perf_counter()
        found = live.step()
        if found is None:
            return 1000 * np.array(took)
        if found:
            took.append(time.perf_counter() - begin)


def extraction(family, plan, n_trials):
    own = extractor(family, plan)
    x = 20 * np.random.default_rng(0).standard_normal((N_CHANS, (n_trials * 6 + 6) * SFREQ))
    for i in range(n_trials):
        own.mark(i * 6 * SFREQ, "a")
    begin = time.perf_counter()
    found = own.push(x)
    assert sum(one.label != "" for one in found) == n_trials
    return time.perf_counter() - begin


def over_lsl(seconds):
    from neuro.stream.lsl import LSLSource, private_session

    name = f"bench-{os.getpid()}"
    private_session(name)
    child = subprocess.Popen([sys.executable, "-c", AMPLIFIER, name, str(seconds)])
    try:
        source = LSLSource(name="bench", markers=None, timeout_s=60)
        chain = Chain(NAMES, 1000, [Reference(), Filter(1, 40)])
        own = Extractor(chain, Plan(running_s=3.0), Power())
        n = len(own.table.rows) * len(own.table.columns)
        decoder = Decoder(own, Selection(), LinearRule(("a", "b"), np.zeros((1, n)), np.zeros(1)))
        live = Live(source, decoder)
        cpu, wall = time.process_time(), time.perf_counter()
        while child.poll() is None:
            live.step()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        source.close()
    finally:
        child.kill()
    sent = int(seconds * 50) * 20
    gaps = sum(m.kind == "gap" for m in live.messages)
    total = live.latency.summary()["total"]
    print(
        f"\nLSL, {N_CHANS} channels, 1 kHz, {seconds:g} s: sent {sent}, received "
        f"{live.n_samples}, lost {sent - live.n_samples}, gaps {gaps}, CPU "
        f"{100 * cpu / wall:.0f} % of a core, sample to decision p50 {total['p50_ms']:.1f} ms, "
        f"p95 {total['p95_ms']:.1f} ms"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--lsl-seconds", type=float, default=300)
    args = parser.parse_args()
    seconds, n_trials, lsl = (8, 4, 10) if args.small else (60, 40, args.lsl_seconds)
    print(f"{N_CHANS} channels, {SFREQ} Hz, chunks of 8 samples, {seconds} s")
    print(
        f"{'features':26} {'p50 ms':>8} {'p95 ms':>8} {'max ms':>8} {f'{n_trials} trials, s':>14}"
    )
    for name, (family, plan) in families().items():
        took = decisions(family, plan, seconds)
        whole = extraction(
            family, Plan(plan.start_s, plan.stop_s, plan.length_s, plan.step_s), n_trials
        )
        print(f"{name:26} {np.median(took):8.2f} {np.percentile(took, 95):8.2f} {took.max():8.2f} "
              f"{whole:14.2f}")  # fmt: skip
    over_lsl(lsl)


if __name__ == "__main__":
    main()
