"""A state-switching GLM from counts to states: time, memory, and how right it is.

    python benchmarks/switching_glm.py [--units 100] [--bins 100000] [--states 3] [--small]
    python benchmarks/switching_glm.py --units 500 --priors onehot

Simulated couplings that share a skeleton ("skeleton" recipe), a twentieth held out.
Prints CPU and wall seconds of the whole fit by part, peak memory, state accuracy beside
that of the true parameters, the held-out gain over one state, and the time of one bin in
the online filter.
"""

import argparse
import resource
import time

import numpy as np
from scipy.optimize import linear_sum_assignment

from neuro.datasets import synthetic
from neuro.models._glm.sessions import session_table
from neuro.models.onehot_hmm_glm import OneHotHMMGLM
from neuro.models.onehot_hmm_glm.em import Chain, held_out, smoothed

PRIORS = ("none", "gaussian", "onehot")


def agreement(path: np.ndarray, truth: np.ndarray, n_states: int) -> float:
    table = np.zeros((n_states, n_states))
    np.add.at(table, (truth, path), 1)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / len(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--bins", type=int, default=100_000)
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--priors", nargs="+", default=list(PRIORS), choices=PRIORS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="20 units, 10,000 bins")
    args = parser.parse_args()
    n_units, n_bins = (20, 10_000) if args.small else (args.units, args.bins)
    # twenty sessions to learn from, one to be judged by; small networks need the demo's weights
    made = synthetic.switching_glm(
        args.seed, n_units=n_units, n_states=args.states, n_sessions=21, n_bins=n_bins // 20,
        recipe="demo" if args.small else "skeleton",
    )  # fmt: skip
    counts = [rec.stream("spikes").data for rec in made.recordings]
    truth = made.truth["states"][:20].ravel()
    link = str(made.truth["link"])
    bias = np.broadcast_to(made.truth["bias"][:, None], (args.states, n_units, 1))
    oracle = Chain(np.concatenate([made.truth["weights"], bias], axis=2), made.truth["transition"])
    one = OneHotHMMGLM(states=1, prior="none", link=link).fit(counts[:20])
    table = session_table(one.config, counts[:20])
    best = smoothed(table, oracle, one.config.observed()).gamma.argmax(axis=1)
    rest = session_table(one.config, counts[20:])
    top = held_out(rest, oracle, one.config.observed())[0]
    floor = one.score(counts[20:])
    print(
        f"{n_units} units, {n_bins} bins, {args.states} states, {link}; true parameters: accuracy "
        f"{agreement(best, truth, args.states):.4f}, {top - floor:+.4f} nats a bin over one state"
    )
    print(f"{'prior':10s} wall s   CPU s  rounds  accuracy  held-out gain  proposal  peak MB")
    for prior in args.priors:
        wall, cpu = time.perf_counter(), time.process_time()
        model = OneHotHMMGLM(states=args.states, prior=prior, link=link).fit(counts[:20])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        path = np.concatenate([p.argmax(axis=0) for p in model.predict_proba(counts[:20])])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{prior:10s} {wall:6.1f} {cpu:7.1f} {len(model.trace_):7d} "
              f"{agreement(path, truth, args.states):9.4f} "
              f"{model.score(counts[20:]) - floor:+14.4f} {model.proposal_:9d} {peak:8.0f}",
              flush=True)  # fmt: skip
    online, times = model.online(), []
    for column in counts[20].T[:500]:
        begin = time.perf_counter()
        online.push(column)
        times.append(time.perf_counter() - begin)
    print(
        f"online filter: median {1e3 * np.median(times[20:]):.3f} ms a bin, "
        f"99 % below {1e3 * np.quantile(times[20:], 0.99):.3f} ms"
    )


if __name__ == "__main__":
    main()
