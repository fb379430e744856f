"""Damaged files against every reader, in child processes.

``python tests/fuzz/harness.py edf nwb --cases 2000 --seed 0`` writes the
examples of `fuzz_seeds.py`, damages them in seeded ways and has a child process
open them as a user would. The child may answer "ok" or with one error of this
package. Anything else is a finding: another exception, death, more than 5 s,
more than 1 GiB, a file written anywhere, a process or a network connection
started, pickled code loaded, an error text with control characters or with
the folder's name in it.

Prints one JSON summary a format. ``--keep DIR`` keeps the damaged files of
findings there; ``--first I --cases 1`` runs a single case again.
"""

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from fuzz_mutations import damage

HERE = Path(__file__).absolute().parent
LIMIT_BYTES = 1 << 30
_START_S = 120.0  # imports of torch and mne on a busy machine
_TRUNCATED = 0.1  # of the cases only cut the file short
_FOLDERS = ("seeds", "cwd", "home", "tmp", "cases")


class Example:
    """A seed as the parent knows it: what to open and the bytes of its files."""

    def __init__(self, root: Path, told: dict[str, Any]) -> None:
        self.entry: str = told["entry"]
        self.mutate: list[str] = told["mutate"]
        self.options: dict[str, Any] = told["options"]
        self.header: int = told["header"]
        folder = root / told["folder"]
        self.files = {
            p.relative_to(folder).as_posix(): p.read_bytes()
            for p in folder.rglob("*")
            if p.is_file() and (told["folder"] != "." or self._needs(p.name))
        }

    def _needs(self, name: str) -> bool:
        """Whether a file of the folder that examples share belongs to this one."""
        given = {str(v).lstrip("@") for v in self.options.values()}
        return (
            name.split(".")[0] == self.entry.split(".")[0] or name in self.mutate or name in given
        )

    def write(self, folder: Path, name: str, data: bytes) -> None:
        """All files into a folder, `name` with other content."""
        for each, content in self.files.items():
            path = folder / each
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if each == name else content)


def case(examples: list[Example], i: int, seed: int, text: bool) -> tuple[Example, str, bytes]:
    """Example, file and its damaged bytes of case `i`: a function of (i, seed) alone."""
    rng = Random(f"{seed}:{i}")
    turn, which = divmod(i, len(examples))
    example = examples[which]
    name = example.mutate[turn % len(example.mutate)]
    data = example.files[name]
    if rng.random() < _TRUNCATED:
        return example, name, data[: rng.randrange(len(data))]
    return example, name, damage(name, data, rng, header=example.header, text=text)


# -------------------------------------------------------------------- parent


class Died(Exception):
    """The child is gone; the text says how."""


class Child:
    """The process that opens files, in a process group of its own, and the pipes to it."""

    def __init__(self, outer: Path, seeds: str) -> None:
        home = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"), "home")
        ones = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(HERE / "harness.py"), "--child", "--seeds", seeds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=outer / "cwd",
            env={
                **os.environ,
                **{k: str(outer / v) for k, v in {**home, "TMPDIR": "tmp"}.items()},
                **dict.fromkeys((*ones, "PYTHONDONTWRITEBYTECODE"), "1"),
            },
            bufsize=0,
            start_new_session=True,
        )

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Answer of the child; Died or TimeoutError if there is none."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(OSError):
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
        deadline = time.monotonic() + timeout_s
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                raise Died(self._fate())
            line += data
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _fate(self) -> str:
        code = self.process.wait(5.0)
        return signal.Signals(-code).name if code < 0 else f"status {code}"

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # with the process that walks for it
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()


class Runner:
    """A temporary folder, and the child that opens what is written there."""

    def __init__(self, seeds: str, limit_s: float, keep: Path | None) -> None:
        self.seeds, self.limit_s, self.keep = seeds, limit_s, keep
        self.temporary = tempfile.TemporaryDirectory(prefix="fuzz-")
        self.outer = Path(self.temporary.name)
        for name in _FOLDERS:
            (self.outer / name).mkdir()
        self.child: Child | None = None

    def close(self) -> None:
        self.stop()
        self.temporary.cleanup()

    def stop(self) -> None:
        if self.child is not None:
            self.child.close()
            self.child = None

    def ready(self, fmt: str) -> tuple[Child, dict[str, Any]]:
        """A child that has opened the format's examples, and what it told of them."""
        if self.child is None:
            self.child = Child(self.outer, self.seeds)
        told = self.child.ask({"make": str(self.outer / "seeds" / fmt), "format": fmt}, _START_S)
        if "failed" in told:
            raise SystemExit(f"{fmt}: an undamaged example cannot be read: {told['failed']}")
        return self.child, told

    def tree(self) -> set[str]:
        """Everything in the temporary folder except the examples."""
        names = (p.relative_to(self.outer).as_posix() for p in self.outer.rglob("*"))
        return {n for n in names if not n.startswith("seeds/")}

    def run(self, fmt: str, cases: range, seed: int) -> dict[str, Any]:
        """Run cases of one format; a summary."""
        _, told = self.ready(fmt)
        tally = Tally(fmt)
        examples = [Example(self.outer / "seeds" / fmt, e) for e in told["examples"]]
        before = self.tree()  # libraries make caches when they are first used
        start = time.monotonic()
        for i in cases:
            example, name, data = case(examples, i, seed, told["text"])
            self._one(tally, i, example, name, data)
        seconds = time.monotonic() - start
        tally.findings += [f"left behind: {name}" for name in sorted(self.tree() - before)]
        return tally.summary(len(cases), seconds, examples)

    def _one(self, tally: "Tally", i: int, example: Example, name: str, data: bytes) -> None:
        # A folder of its own: the verdict on a file is remembered by path, size and times.
        folder = self.outer / "cases" / f"{tally.fmt}-{i:06d}"
        folder.mkdir()
        example.write(folder, name, data)
        before = _contents(folder)
        problem = self._judged(tally, i, folder, example)
        if not problem and _contents(folder) != before:
            problem = "files beside the damaged one changed"
        if problem:
            tally.findings.append(f"case {i} ({name}): {problem}")
            if self.keep is not None:
                shutil.copytree(folder, self.keep / folder.name, dirs_exist_ok=True)
        shutil.rmtree(folder)

    def _judged(self, tally: "Tally", i: int, folder: Path, example: Example) -> str:
        """What was wrong with how the file was opened or refused; "" if nothing was."""
        request = {
            "format": tally.fmt,
            "folder": str(folder),
            "entry": example.entry,
            "options": example.options,
        }
        for last in (False, True):
            child = self.child or self.ready(tally.fmt)[0]
            try:
                told = child.ask(request, self.limit_s)
                break
            except Died as error:
                self._lost(tally, "death")
                return f"brought the process down: {error}"
            except TimeoutError:
                # On a busy machine anything can take long once: a fresh process decides.
                self.stop()
                if last:
                    self._lost(tally, "timeout")
                    return f"took more than {self.limit_s:g} s"
        tally.add(i, told)
        if told["bytes"] > LIMIT_BYTES:
            self.stop()  # the next case begins with a small process again
            return f"needed {told['bytes'] >> 20} MiB: {told['text']}"
        return str(told["problem"])

    def _lost(self, tally: "Tally", why: str) -> None:
        tally.outcomes[why] += 1
        self.stop()


def _contents(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.stat().st_size) for p in folder.rglob("*"))


class Tally:
    """Counts of one format."""

    def __init__(self, fmt: str) -> None:
        self.fmt = fmt
        self.outcomes: Counter[str] = Counter()
        self.guarded: dict[str, list[int]] = {}
        self.findings: list[str] = []
        self.slowest: tuple[float, int] = (0.0, -1)  # and of which case
        self.peak: tuple[int, int] = (0, -1)

    def add(self, i: int, told: dict[str, Any]) -> None:
        self.outcomes[told["outcome"]] += 1
        if told["guarded"]:
            self.guarded.setdefault(told["guarded"], []).append(i)
        self.slowest = max(self.slowest, (told["seconds"], i))
        self.peak = max(self.peak, (told["bytes"], i), key=lambda p: p[0])

    def summary(self, cases: int, seconds: float, examples: list[Example]) -> dict[str, Any]:
        return {
            "format": self.fmt,
            "cases": cases,
            "ok": self.outcomes.pop("ok", 0),
            "errors": dict(self.outcomes),
            "guarded": self.guarded,
            "findings": self.findings,
            "seconds": round(seconds, 2),
            "slowest_s": round(self.slowest[0], 2),
            "slowest_case": self.slowest[1],
            "peak_mib": self.peak[0] >> 20,
            "peak_case": self.peak[1],
            "seed_bytes": max(len(e.files[m]) for e in examples for m in e.mutate),
        }


# --------------------------------------------------------------------- child

_MOST_BYTES = 6 << 30  # of addresses, so that a runaway reader does not take the machine along
_PROBE_S = 3.0  # of the 5 s of a case, so that the guard itself is what ends a hang
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_FORBIDDEN = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "os.utime", "os.system", "os.exec", "os.posix_spawn", "os.fork",
    "pickle.find_class", "socket.connect", "socket.getaddrinfo", "shutil.rmtree",
    "shutil.copyfile", "tempfile.mkstemp", "tempfile.mkdtemp", "webbrowser.open",
}  # fmt: skip


class Watch:
    """What the interpreter does that no reader may do."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = args
            named = not isinstance(path, int) and os.fspath(path) != os.devnull  # else a pipe
            if named and isinstance(flags, int) and flags & _WRITES:
                self.seen.append(f"opened {path} for writing")
        elif event == "subprocess.Popen":
            if "neuro.io._probe" not in args[1]:
                self.seen.append(f"started {args[0]}")
        elif event in _FORBIDDEN:
            self.seen.append(f"{event}{args!r:.200}")


def _peak_bytes() -> int:
    """Most memory that this process, or the one that walks files for it, has held."""
    from neuro.io import _probe

    walker = _probe._child
    peak = 0
    for pid in ("self", *([] if walker is None else [str(walker.process.pid)])):
        with suppress(OSError, IndexError):
            text = Path(f"/proc/{pid}/status").read_text()
            peak = max(peak, int(text.split("VmHWM:")[1].split()[0]) << 10)
    if not peak:  # no /proc: macOS counts bytes, the BSDs kibibytes
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return peak


def _problem(error: BaseException, folder: str, tidy: bool) -> str:
    """What is wrong with how a bad file was refused; "" if nothing is."""
    import traceback

    from neuro.errors import NeuroError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):  # however it was told afterwards
            return f"asked for more than {_MOST_BYTES >> 30} GiB: {error!s:.200}"
        cause = cause.__cause__ or cause.__context__
    if not isinstance(error, NeuroError):
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "site-packages" not in f.filename][-1]
        return f"{type(error).__name__} at {Path(ours.filename).name}:{ours.lineno}: {error!s:.200}"
    text = str(error)
    if not tidy:
        return ""
    if not text or any(not (c.isprintable() or c == "\n") for c in text):
        return f"the error text holds control characters: {text!r:.300}"
    if folder in text:
        return f"the error text tells the folder: {text:.300}"
    return ""


def _guarded(text: str) -> str:
    """How the walk in another process ended, if that is why the file was refused."""
    for words, how in (
        ("brought down the process", "crash"),
        ("could not be read within", "hang"),
        ("of memory to read", "memory"),
    ):
        if words in text:
            return how
    return ""


def _paths(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {
        k: str(folder / v[1:]) if isinstance(v, str) and v.startswith("@") else v
        for k, v in options.items()
    }


def _answer(known: Any, request: dict[str, Any], watch: Watch) -> dict[str, Any]:
    folder = Path(request["folder"])
    outcome, text, problem = "ok", "", ""
    start = time.monotonic()
    watch.seen.clear()
    watch.on = True
    try:
        known.open(folder / request["entry"], **_paths(request["options"], folder))
    except BaseException as error:  # SystemExit too
        watch.on = False
        outcome, text = type(error).__name__, str(error)[:500]
        problem = _problem(error, str(folder), known.tidy)
    watch.on = False
    if watch.seen:
        problem = f"{watch.seen[0]} ({len(watch.seen)} such acts)"
    return {
        "outcome": outcome,
        "text": text,
        "problem": problem,
        "guarded": _guarded(text),
        "seconds": time.monotonic() - start,
        "bytes": _peak_bytes(),
    }


def _make(known: Any, folder: Path) -> dict[str, Any]:
    """Write the examples and open each; a later process opens those of the first."""
    import dataclasses

    told = folder / "examples.json"
    try:
        if not told.is_file():
            folder.mkdir()
            told.write_text(json.dumps([dataclasses.asdict(s) for s in known.make(folder)]))
        examples = json.loads(told.read_text())
        for one in examples:
            here = folder / one["folder"]
            known.open(here / one["entry"], **_paths(one["options"], here))
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"examples": examples, "text": known.text}


def child(seeds: str) -> None:
    """Answer requests on standard input, one JSON line each."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb", 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # some readers print

    import importlib
    import resource

    from neuro.io import safe

    formats = importlib.import_module(seeds).FORMATS
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    watch = Watch()
    limits = safe.probe.__kwdefaults__
    usual = limits["timeout_s"]
    for line in requests:
        request = json.loads(line)
        known = formats[request["format"]]
        if "make" in request:
            limits["timeout_s"] = usual  # the first walk imports what it needs
            answer = _make(known, Path(request["make"]))
            limits["timeout_s"] = _PROBE_S
        else:
            answer = _answer(known, request, watch)
        replies.write(json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", help="name, or name:cases")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--limit-s", type=float, default=5.0)
    parser.add_argument("--seeds", default="fuzz_seeds", help="module with FORMATS")
    parser.add_argument("--child", action="store_true")
    args = parser.parse_args()
    if args.child:
        child(args.seeds)
        return
    if args.keep is not None:
        args.keep.mkdir(parents=True, exist_ok=True)
    runner = Runner(args.seeds, args.limit_s, args.keep)
    try:
        for text in args.formats:
            fmt, _, count = text.partition(":")
            cases = range(args.first, args.first + int(count or args.cases))
            print(json.dumps(runner.run(fmt, cases, args.seed)), flush=True)
    finally:
        runner.close()


if __name__ == "__main__":
    main()
