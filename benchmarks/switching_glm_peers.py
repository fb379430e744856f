"""State-switching GLMs beside nemos and ssm, forward and backward beside dynamax and ssm.

    python benchmarks/switching_glm_peers.py --peer-python PATH [--units 20] [--bins 24000]
        [--states 3] [--rounds 25] [--seconds 120] [--small]

PATH is an interpreter that has nemos, dynamax or ssm; what it lacks is left out. One
simulated network (the "demo" recipe, sigmoid rates, a sixth more held out). All get the
same counts and the same columns, fit one Poisson GLM a state with a Markov chain by EM,
and hand over their parameters after every round with the CPU seconds so far, compilation
included; held-out nats a bin (each bin given its past) are then found by one function.
Peers start from their own small noise, and again from where neuro starts. ssm has no
Poisson regression: it gets one as its documentation asks, a class with a likelihood whose
M-step ssm does by itself. dynamax has none either and takes part in the recursions only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PEERS = ("nemos", "ssm")
SECONDS = (2, 5, 10, 20, 40, 80, 160)


class Clock:
    """Parameters after each round with CPU seconds; stops at a limit."""

    def __init__(self, limit_s: float) -> None:
        self.begin, self.limit_s, self.rounds = time.process_time(), limit_s, []

    def keep(self, weights: np.ndarray, moves: np.ndarray) -> bool:
        """``weights`` (state, unit, column), the last column the constant; go on?"""
        cpu = time.process_time() - self.begin
        self.rounds.append({"cpu": cpu, "weights": weights.tolist(), "moves": moves.tolist()})
        return cpu < self.limit_s


# ---- what runs in the peers' interpreter ------------------------------------------


def fit_nemos(given: dict, clock: Clock) -> None:
    import jax
    import jax.numpy as jnp
    import nemos
    from nemos.glm.params import GLMParams
    from nemos.glm_hmm import algorithm_configs, expectation_maximization, params
    from nemos.solvers._optax_optimistix_solvers import OptimistixOptaxLBFGS

    jax.config.update("jax_enable_x64", True)
    x, y = jnp.array(given["design"]), jnp.array(given["counts"])
    n_states, link = given["n_states"], jax.nn.sigmoid
    fresh = np.zeros(len(x), dtype=bool)
    fresh[np.cumsum([0, *given["lengths"][:-1]])] = True
    observation = nemos.observation_models.PoissonObservations()
    if given["start"] is None:
        rng = np.random.default_rng(given["seed"])
        rate = np.mean(given["counts"], axis=0)
        coef = 1e-3 * rng.standard_normal((x.shape[1], y.shape[1], n_states))
        constant = np.repeat(np.log(rate / (1 - rate))[:, None], n_states, axis=1)
    else:
        start = np.array(given["start"]).transpose(2, 1, 0)
        coef, constant = start[:-1], start[-1]
    moves = np.full((n_states, n_states), 0.02 / (n_states - 1))
    np.fill_diagonal(moves, 0.98)
    here = params.GLMHMMParams(
        glm_params=GLMParams(jnp.array(coef), jnp.array(constant)),
        glm_scale=params.GLMScale(jnp.zeros((y.shape[1], n_states))),
        hmm_params=params.HMMParams(
            jnp.log(jnp.full(n_states, 1 / n_states)), jnp.log(jnp.array(moves))
        ),
    )
    loss = algorithm_configs.prepare_mstep_nll_objective_param(True, observation, link)
    solver = OptimistixOptaxLBFGS(
        loss, nemos.regularizer.Ridge(), 1.0 / len(x), False,
        init_params=here.glm_params, maxiter=given["m_steps"], throw=False,
    )  # fmt: skip
    step = jax.jit(
        lambda p, s: expectation_maximization.em_step(
            p, s, X=x, y=y, inverse_link_function=link,
            log_likelihood_func=algorithm_configs.prepare_estep_log_likelihood(True, observation),
            m_step_fn_glm_params=solver.run, m_step_fn_glm_scale=None,
            is_new_session=jnp.array(fresh),
        )
    )  # fmt: skip
    state = expectation_maximization.GLMHMMState(
        data_log_likelihood=-jnp.inf, previous_data_log_likelihood=-jnp.inf,
        log_likelihood_history=jnp.full(given["rounds"], jnp.nan), iterations=0,
    )  # fmt: skip
    for _ in range(given["rounds"]):
        here, state = step(here, state)
        glm = here.glm_params
        found = np.concatenate([np.array(glm.coef), np.array(glm.intercept)[None]])
        if not clock.keep(found.transpose(2, 1, 0), np.exp(here.hmm_params.log_transition_prob)):
            return


def fit_ssm(given: dict, clock: Clock) -> None:
    import autograd.numpy as anp
    import ssm
    from ssm.observations import Observations

    rng = np.random.default_rng(given["seed"])

    class PoissonRegression(Observations):
        """What a user of ssm writes for counts with inputs."""

        def __init__(self, n_states: int, n_units: int, n_columns: int) -> None:
            super().__init__(n_states, n_units, M=n_columns)
            self.w = 1e-3 * rng.standard_normal((n_states, n_units, n_columns))

        @property
        def params(self):
            return self.w

        @params.setter
        def params(self, value) -> None:
            self.w = value

        def initialize(self, *args, **kwargs) -> None:
            pass

        def log_prior(self):
            return -0.5 * anp.sum(self.w[:, :, :-1] ** 2)

        def log_likelihoods(self, data, input, mask, tag):
            eta = anp.einsum("tc,snc->tsn", input, self.w)
            rate = 1 / (1 + anp.exp(-eta))
            return anp.sum(data[:, None] * anp.log(rate) - rate, axis=2)

    np.random.seed(given["seed"])  # noqa: NPY002, ssm draws from it
    edges = np.cumsum(given["lengths"])[:-1]
    x = np.array(given["design"])
    datas = np.split(np.array(given["counts"]), edges)
    inputs = np.split(np.column_stack([x, np.ones(len(x))]), edges)
    n_states, n_units, n_columns = given["n_states"], datas[0].shape[1], x.shape[1] + 1
    emission = PoissonRegression(n_states, n_units, n_columns)
    if given["start"] is not None:
        emission.params = np.array(given["start"])
    else:
        rate = np.mean(given["counts"], axis=0)
        emission.w[:, :, -1] = np.log(rate / (1 - rate))
    model = ssm.HMM(n_states, n_units, M=n_columns, observations=emission, transitions="sticky",
                    transition_kwargs={"alpha": 1, "kappa": 100})  # fmt: skip
    moves = np.full((n_states, n_states), 0.02 / (n_states - 1))
    np.fill_diagonal(moves, 0.98)
    model.transitions.log_Ps = np.log(moves)
    steps = {"optimizer": "lbfgs", "num_iters": given["m_steps"]}
    for _ in range(given["rounds"]):
        model.fit(datas, inputs=inputs, method="em", num_iters=1, initialize=False, verbose=0,
                  observations_mstep_kwargs=steps)  # fmt: skip
        if not clock.keep(emission.params.copy(), model.transitions.transition_matrix):
            return


def log_likelihoods(n_bins: int, n_states: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    log_lik = 2 * rng.standard_normal((n_bins, n_states)) - 33
    return log_lik, rng.dirichlet(np.ones(n_states), n_states)


def smoothers(names: tuple[str, ...], n_bins: int, n_states: int) -> dict[str, Callable]:
    """Posterior of the states by everything that can be imported."""
    log_lik, moves = log_likelihoods(n_bins, n_states)
    start = np.full(n_states, 1 / n_states)
    out: dict[str, Callable] = {}
    if "neuro" in names:
        from neuro.stats.hmm import forward_backward

        out["neuro"] = lambda: forward_backward(log_lik, moves).gamma
    if "dynamax" in names:
        import jax

        jax.config.update("jax_enable_x64", True)
        from dynamax.hidden_markov_model import hmm_two_filter_smoother

        run = jax.jit(hmm_two_filter_smoother)
        out["dynamax"] = lambda: np.asarray(run(start, moves, log_lik).smoothed_probs)
    if "ssm" in names:
        from ssm.messages import hmm_expected_states

        out["ssm"] = lambda: hmm_expected_states(start, moves[None], log_lik)[0]
    return out


def timed(names: tuple[str, ...], n_bins: int, n_states: int, repeats: int) -> dict[str, dict]:
    found = {}
    for name, run in smoothers(names, n_bins, n_states).items():
        run()  # compiles
        times = []
        for _ in range(repeats):
            begin = time.process_time()
            gamma = run()
            times.append(time.process_time() - begin)
        found[name] = {"cpu": float(np.median(times)), "gamma": gamma[::997].tolist()}
    return found


def as_peer(name: str, given_file: Path, out_file: Path) -> None:
    given = json.loads(given_file.read_text())
    if given["task"] == "smooth":
        found = timed((name,), given["bins"], given["states"], given["repeats"])
        out_file.write_text(json.dumps(found))
        return
    clock = Clock(given["seconds"])
    {"nemos": fit_nemos, "ssm": fit_ssm}[name](given, clock)
    out_file.write_text(json.dumps(clock.rounds))


# ---- what runs here ----------------------------------------------------------------


def ask(python: str, name: str, given: dict) -> object | None:
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "asked.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(given))
        done = subprocess.run(
            [python, __file__, "--as-peer", name, str(asked), str(answer)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"{name}: left out ({last[:120]})")
            return None
        return json.loads(answer.read_text())


def fit_neuro(counts: list, settings: dict, seconds: float) -> tuple[list[dict], np.ndarray]:
    from neuro.models.onehot_hmm_glm import OneHotHMMGLM

    class Enough(Exception):
        pass

    model, clock, start = OneHotHMMGLM(**settings), Clock(seconds), []

    def after(_: object) -> None:
        if not start:
            start.append(model.weights_.copy())
        if not clock.keep(model.weights_, model.transition_):
            raise Enough

    try:
        model.fit(counts, progress=after)
        clock.keep(model.weights_, model.transition_)
    except Enough:
        pass
    return clock.rounds, start[0]


def compare_fits(args: argparse.Namespace) -> None:
    from neuro.datasets import synthetic
    from neuro.models._glm.sessions import session_table
    from neuro.models.onehot_hmm_glm import OneHotHMMGLM
    from neuro.models.onehot_hmm_glm.em import Chain, held_out

    made = synthetic.switching_glm(
        args.seed, n_units=args.units, n_states=args.states, n_sessions=14, n_bins=args.bins // 12
    )
    counts = [rec.stream("spikes").data for rec in made.recordings]
    train, test = counts[:12], counts[12:]
    one = OneHotHMMGLM(states=1, prior="none", link="sigmoid").fit(train)
    observation, rest = one.config.observed(), session_table(one.config, test)
    table = session_table(one.config, train, dtype=np.float64)
    floor = one.score(test)

    def gain(weights: list, moves: list) -> float:
        return float(held_out(rest, Chain(np.array(weights), np.array(moves)), observation).mean())

    bias = np.broadcast_to(made.truth["bias"][:, None], (args.states, args.units, 1))
    truth = gain(np.concatenate([made.truth["weights"], bias], axis=2), made.truth["transition"])
    rows: dict[str, list[dict]] = {}
    settings = {"states": args.states, "link": "sigmoid", "rounds": args.rounds}
    for prior in ("none", "onehot"):
        rows[f"neuro, {prior}"], start = fit_neuro(
            train, {**settings, "prior": prior}, args.seconds
        )
    given = {
        "task": "fit", "design": table.design[:, :-1].tolist(), "counts": table.counts.tolist(),
        "lengths": table.lengths.tolist(), "n_states": args.states, "seed": args.seed,
        "rounds": args.rounds, "m_steps": args.m_steps, "seconds": args.seconds,
    }  # fmt: skip
    for name in PEERS:
        for where, weights in (("own start", None), ("neuro's first round", start.tolist())):
            found = ask(args.peer_python, name, {**given, "start": weights})
            if found:
                rows[f"{name}, {where}"] = found
    print(f"{args.units} units, {args.bins} bins, {args.states} states; held-out nats a bin over "
          f"one state, true parameters {truth - floor:+.4f}")  # fmt: skip
    print(f"{'':28s}" + "".join(f"{f'{s} CPU-s':>10s}" for s in SECONDS) + "   at the end")
    for label, rounds in rows.items():
        gains = [gain(r["weights"], r["moves"]) - floor for r in rounds]
        cells = []
        for limit in SECONDS:
            so_far = [g for g, r in zip(gains, rounds, strict=True) if r["cpu"] <= limit]
            cells.append(f"{so_far[-1]:+10.4f}" if so_far else f"{'-':>10s}")
        last = f"{gains[-1]:+.4f} after {rounds[-1]['cpu']:.1f} CPU-s, {len(rounds)} rounds"
        print(f"{label:28s}{''.join(cells)}   {last}")


def compare_recursions(args: argparse.Namespace) -> None:
    n_bins = 10_000 if args.small else 100_000
    found = timed(("neuro",), n_bins, 3, args.repeats)
    for name in ("dynamax", "ssm"):
        given = {"task": "smooth", "bins": n_bins, "states": 3, "repeats": args.repeats}
        found |= ask(args.peer_python, name, given) or {}
    print(f"\nforward and backward, {n_bins} bins, 3 states, float64")
    print(f"{'':10s} CPU seconds   neuro is x times as fast   largest difference")
    for name, one in found.items():
        off = np.abs(np.array(one["gamma"]) - np.array(found["neuro"]["gamma"])).max()
        print(
            f"{name:10s} {one['cpu']:11.4f} {one['cpu'] / found['neuro']['cpu']:26.1f} {off:20.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--bins", type=int, default=24_000)
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--m-steps", type=int, default=10, help="L-BFGS steps of the peers a round")
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU of each fit")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="10 units, 6,000 bins, 8 rounds")
    parser.add_argument("--as-peer", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.as_peer:
        name, given, out = args.as_peer
        as_peer(name, Path(given), Path(out))
        return
    if args.small:
        args.units, args.bins, args.rounds = 10, 6_000, 8
    compare_fits(args)
    compare_recursions(args)


if __name__ == "__main__":
    main()
