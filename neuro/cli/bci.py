"""``neuro bci``: a brain-computer interface session, step by step or in the browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli._guard import remember_json

if TYPE_CHECKING:
    from neuro.bci import Settings, Workspace

__all__ = ["bci_app"]

bci_app = typer.Typer(
    no_args_is_help=True,
    help="Calibrate, look where classes differ, choose, train, go online.",
    epilog="One session is one folder; every command takes it first.",
)

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON instead of tables.", callback=remember_json, is_eager=True
    ),
]
Folder = Annotated[Path, typer.Argument(help="Folder of the session.", file_okay=False)]
AttemptNumber = Annotated[int | None, typer.Option(help="Number of the attempt; the last if none.")]
LslSession = Annotated[
    str | None,
    typer.Option(help="See only LSL streams of this machine started under the same name."),
]


@bci_app.command()
def new(
    workspace: Folder,
    classes: Annotated[
        str,
        typer.Option(help="Events that are cues, e.g. left,right; all of the first run if none."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Start a session in a new folder."""
    from neuro.bci import Workspace

    made = Workspace.create(workspace, classes=_list(classes))
    _say(as_json, {"workspace": made.folder.name, "classes": list(made.classes)})


@bci_app.command()
def add(
    workspace: Folder,
    files: Annotated[list[Path], typer.Argument(help="EDF, GDF, XDF, BrainVision, FIF, ….")],
    unit: Annotated[str | None, typer.Option(help="True unit of the numbers, e.g. uV.")] = None,
    as_json: Json = False,
) -> None:
    """Bring runs into the session; copies are kept."""
    from neuro.bci import Workspace

    session = Workspace.open(workspace)
    for path in files:
        session.add_run(path, unit=unit)
    _runs(session, as_json)


@bci_app.command()
def runs(
    workspace: Folder,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave a bad run out.")] = None,
    include: Annotated[list[str] | None, typer.Option(help="Take it back.")] = None,
    as_json: Json = False,
) -> None:
    """List runs, leave bad ones out, take them back."""
    from neuro.bci import Workspace

    session = Workspace.open(workspace)
    for run in exclude or ():
        session.exclude(run)
    for run in include or ():
        session.exclude(run, excluded=False)
    _runs(session, as_json)


@bci_app.command()
def extract(
    workspace: Folder,
    family: Annotated[str | None, typer.Option(help="power, strength or covariance.")] = None,
    method: Annotated[
        str | None, typer.Option(help="power: burg, welch; strength: imcoh, coherence, wpli.")
    ] = None,
    fmin: Annotated[float | None, typer.Option(help="Hz.")] = None,
    fmax: Annotated[float | None, typer.Option(help="Hz.")] = None,
    start: Annotated[float | None, typer.Option(help="Seconds after the cue.")] = None,
    stop: Annotated[float | None, typer.Option(help="Seconds after the cue.")] = None,
    length: Annotated[float | None, typer.Option(help="Window in seconds.")] = None,
    step: Annotated[float | None, typer.Option(help="Seconds between windows.")] = None,
    l_freq: Annotated[float | None, typer.Option(help="Causal high-pass, Hz.")] = None,
    h_freq: Annotated[float | None, typer.Option(help="Causal low-pass, Hz.")] = None,
    notch: Annotated[float | None, typer.Option(help="Line frequency, Hz.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="average, none, or channels as M1,M2.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="Channels as C3,Cz,C4.")] = None,
    network: Annotated[
        Path | None, typer.Option(help="Folder of a trained network: its embedding as features.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute features of all usable runs; options that are not given stay as they were."""
    from neuro.bci import Workspace
    from neuro.cli._show import console

    session = Workspace.open(workspace)
    plan = {"start_s": start, "stop_s": stop, "length_s": length, "step_s": step}
    signal = {"l_freq": l_freq, "h_freq": h_freq, "notch": notch}
    kind = {"family": family, "method": method, "fmin": fmin, "fmax": fmax}
    own = session.folder / "networks"
    changed = _changed(session.settings, own, plan, signal, kind, reference, channels)
    session.settings = changed if network is None else _with_network(changed, network)

    def told(run: str, done: int, total: int) -> None:
        if run and not as_json:
            console.print(f"{run} ({done + 1} of {total})")

    trials = session.extract(progress=told)
    _say(as_json, {
        "settings": session.settings.identity, "trials": len(trials.labels),
        "channels": len(trials.table.rows), "columns": len(trials.table.columns),
        "windows dropped": int(trials.n_dropped.sum()),
    })  # fmt: skip


@bci_app.command(name="map")
def class_map(
    workspace: Folder,
    n: Annotated[int, typer.Option(min=1, help="Features listed.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Folder for pictures.", file_okay=False)] = None,
    as_json: Json = False,
) -> None:
    """Where the classes differ: R2 of every channel and frequency."""
    from neuro.bci import Workspace, auto_select
    from neuro.bci.report import map_figures
    from neuro.cli._show import console, show_json, table
    from neuro.stream import Selection

    session = Workspace.open(workspace)
    found, names = session.map()
    best = auto_select(found.r2, names, n)
    places = Selection(best).places(names)
    rows = [
        (name, f"{found.r2[r, c][0]:.3f}", found.classes[int(found.sign[r, c][0] > 0)],
         f"{found.p[r, c][0]:.2g}")
        for name, (r, c) in zip(best, places, strict=True)
    ]  # fmt: skip
    if out is not None:
        for file in map_figures(found, names, out):
            if not as_json:
                console.print(file.name)
    if as_json:
        columns = ("feature", "r2", "larger", "p")
        show_json(
            {"classes": found.classes, "best": [dict(zip(columns, r, strict=True)) for r in rows]}
        )
    else:
        title = f"{found.n[0]} {found.classes[0]} against {found.n[1]} {found.classes[1]}"
        table(title, ["feature", "R²", "larger in", "p (rank sum)"], rows)


@bci_app.command()
def train(
    workspace: Folder,
    features: Annotated[
        list[str] | None, typer.Option("--feature", help="e.g. C3;12 or C3;10:14; again for more.")
    ] = None,
    auto: Annotated[
        int, typer.Option(min=1, help="Without --feature: how many the map picks.")
    ] = 3,
    fmin: Annotated[float | None, typer.Option(help="Band the map picks from, Hz.")] = None,
    fmax: Annotated[float | None, typer.Option(help="Hz.")] = None,
    kind: Annotated[
        str, typer.Option(help="lda, shrinkage_lda, logistic or tangent (all features).")
    ] = "lda",
    as_json: Json = False,
) -> None:
    """Train on all usable runs; prints the honest score and the quick one."""
    from neuro.bci import Auto, Workspace
    from neuro.cli._show import console

    chosen: Any = (
        tuple(features) if features else () if kind == "tangent" else Auto(auto, fmin, fmax)
    )
    attempt = Workspace.open(workspace).train(chosen, kind=kind)
    scores = attempt.scores
    if not as_json:
        console.print(
            f"Attempt {attempt.number}: {', '.join(attempt.features) or 'all features'}, {kind}\n"
            f"  expected on the next run  {scores['nested']:.2f}  (chance {scores['chance']:.2f}, "
            f"{scores['n_trials']} trials, {scores['n_folds']} folds, chosen inside each)\n"
            f"  quick score               {scores['quick']:.2f}  (features chosen on all trials)"
        )
    else:
        _say(True, {"attempt": attempt.number, "features": list(attempt.features), **scores})


@bci_app.command()
def replay(
    workspace: Folder,
    run: Annotated[str, typer.Argument(help="r1, r2, ….")],
    attempt: AttemptNumber = None,
    as_json: Json = False,
) -> None:
    """What a decoder says about a run, trial by trial."""
    from neuro.bci import Workspace
    from neuro.cli._show import show_json, table

    session = Workspace.open(workspace)
    decisions, scores = session.replay(run, attempt)
    rate = None if scores is None else scores.nested
    seen = run in session.attempt(attempt).runs
    if as_json:
        show_json({
            "balanced_accuracy": rate, "trained_on_it": seen,
            "decisions": [{"cue": d.cue, "label": d.label} for d in decisions],
        })  # fmt: skip
        return
    told = "no usable trial" if rate is None else f"balanced accuracy {rate:.2f}"
    note = ", trained on this run: too good" if seen else ""
    rows = [
        (i + 1, d.cue, d.label or "–", "" if not d.label else f"{d.probabilities[d.label]:.2f}")
        for i, d in enumerate(decisions)
    ]
    table(f"{run}: {told}{note}", ["trial", "cue", "decision", "probability"], rows)


@bci_app.command()
def online(
    workspace: Folder,
    attempt: AttemptNumber = None,
    file: Annotated[Path | None, typer.Option(help="Play this recording instead of LSL.")] = None,
    speed: Annotated[float, typer.Option(min=0.01, help="Of the played recording.")] = 1.0,
    source_id: Annotated[str | None, typer.Option(help="Of the LSL stream.")] = None,
    running: Annotated[
        float | None, typer.Option(help="Decide also without cues, over that many seconds.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Record a run instead of deciding.")
    ] = False,
    control: Annotated[
        int | None, typer.Option(help="Open a control port (0: any) and wait for commands.")
    ] = None,
    lsl_session: LslSession = None,
    as_json: Json = False,
) -> None:
    """Decide live: samples and cues in over LSL, decisions out over LSL and on the screen."""
    from neuro.cli.live import run_live

    run_live(
        workspace, attempt=attempt, file=file, speed=speed, source_id=source_id, running=running,
        seconds=seconds, calibrate=calibrate, control=control, lsl_session=lsl_session,
        as_json=as_json,
    )  # fmt: skip


@bci_app.command()
def serve(
    workspace: Folder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8765,
    browser: Annotated[bool, typer.Option(help="Open the page in this machine's browser.")] = True,
    file: Annotated[Path | None, typer.Option(help="Play this recording instead of LSL.")] = None,
    speed: Annotated[float, typer.Option(min=0.01, help="Of the played recording.")] = 1.0,
    source_id: Annotated[str | None, typer.Option(help="Of the LSL stream.")] = None,
    host: Annotated[str, typer.Option(help="Address that is listened on.")] = "127.0.0.1",
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="Allow a --host that other machines can reach.")
    ] = False,
    lsl_session: LslSession = None,
) -> None:
    """Open the workbench: the whole session in the browser. Needs the extra 'bci'."""
    from neuro.bci import Workspace
    from neuro.bci.workbench import Bench, Feed
    from neuro.bci.workbench import serve as run_workbench
    from neuro.cli._show import console

    if lsl_session is not None:
        from neuro.stream.lsl import private_session

        private_session(lsl_session)
    feed = Feed("" if file is None else str(file), speed, source_id or "")
    run_workbench(
        Bench(Workspace.open(workspace), feed), host=host, port=port, anywhere=anywhere,
        browser=browser, ready=lambda url: console.print(f"Workbench: {url}", soft_wrap=True),
    )  # fmt: skip


@bci_app.command()
def simulate(
    file: Annotated[
        Path | None, typer.Argument(help="Recording to play; a simulated one if none.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the LSL streams.")] = "simulated",
    speed: Annotated[float, typer.Option(min=0.01, help="1 is real time.")] = 1.0,
    unit: Annotated[str | None, typer.Option(help="True unit of the file's numbers.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a listener.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated recording.")] = 0,
    lsl_session: LslSession = None,
) -> None:
    """Be an amplifier: play a recording over LSL, its events as markers."""
    from neuro.cli.live import play

    play(file, name=name, speed=speed, unit=unit, wait=wait, seed=seed, lsl_session=lsl_session)


@bci_app.command()
def export(
    workspace: Folder,
    out: Annotated[Path, typer.Option(help="New folder.", file_okay=False)],
    to: Annotated[str, typer.Option(help="bundle, openvibe or timeflux.")] = "bundle",
    attempt: AttemptNumber = None,
) -> None:
    """Write a decoder for another program."""
    from neuro.bci import Workspace
    from neuro.bci.adapters import export as write
    from neuro.cli._show import console

    folder = write(Workspace.open(workspace), out, to=to, attempt=attempt)
    for path in sorted(folder.iterdir()):
        console.print(f"{folder.name}/{path.name}")


@bci_app.command()
def report(
    workspace: Folder,
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("session.html"),
) -> None:
    """Write a page about the session: runs, maps, attempts, online runs, latencies."""
    from neuro.bci import Workspace
    from neuro.bci.report import session_report
    from neuro.cli._show import console

    session_report(Workspace.open(workspace), out)
    console.print(f"Written: {out.name}")


# ---- what several commands need ---------------------------------------------------


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _with_network(settings: "Settings", folder: Path) -> "Settings":
    """Settings whose features are a network's, with what its contract asks for."""
    import dataclasses

    import neuro
    from neuro.errors import ConfigError
    from neuro.models._base import NetworkModel
    from neuro.stream.networks import Embedding

    model = neuro.models.load(folder)
    if not isinstance(model, NetworkModel):
        raise ConfigError(f"{folder.name!r} holds a {model.name}, which is no network.")
    contract = model.contract
    plan = settings.plan
    if contract.n_times is not None:
        length_s = contract.n_times / float(contract.sfreq)
        plan = dataclasses.replace(plan, length_s=length_s)
    return dataclasses.replace(
        settings, family=Embedding(model), plan=plan,
        sfreq=float(contract.sfreq), ch_names=contract.ch_names or settings.ch_names,
    )  # fmt: skip


def _changed(
    settings: "Settings",
    networks: Path,
    plan: dict[str, Any],
    signal: dict[str, Any],
    kind: dict[str, Any],
    reference: str | None,
    channels: str | None,
) -> "Settings":
    """Settings with what was given; another family starts from its own defaults."""
    from neuro.bci import Settings

    def given(values: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in values.items() if v is not None}

    plain = settings.to_json() | given(signal)
    plain["plan"] = plain["plan"] | given(plan)
    asked = given(kind)
    same = asked.get("family", plain["family"]["family"]) == plain["family"]["family"]
    plain["family"] = (plain["family"] if same else {}) | asked
    if reference is not None:
        names = _list(reference)
        plain["reference"] = {"none": None, "average": "average"}.get(reference, names)
    if channels is not None:
        plain["ch_names"] = _list(channels) or None
    return Settings.from_json(plain, networks)


def _runs(session: "Workspace", as_json: bool) -> None:
    from neuro.cli._show import show_json, table

    found = session.runs
    if as_json:
        show_json([
            {"run": r.id, "name": r.name, "cues": r.cues, "excluded": r.excluded} for r in found
        ])  # fmt: skip
        return
    rows = [
        (r.id, r.name, ", ".join(f"{n} {c}" for c, n in r.cues.items()),
         "left out" if r.excluded else "")
        for r in found
    ]  # fmt: skip
    table(f"{len(found)} runs", ["run", "file", "cues", ""], rows)


def _say(as_json: bool, facts: dict[str, Any]) -> None:
    from neuro.cli._show import clean, console, show_json

    if as_json:
        show_json(facts)
        return
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        console.print(f"{name:16} {clean(shown)}")
