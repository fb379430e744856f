"""The child process in which foreign files are walked first, and its keeper.

Run as ``python -m neuro.io._probe`` this file is the child: it limits itself,
then answers one JSON line for each JSON line on its standard input and ends
with it. Imported, it is the parent's side: one warm child per process, a lock,
and the verdicts so far. A subprocess and not a fork: a forked child would
share the parent's libraries, locks and memory.

The child guards against accidents of C parsers (crash, hang, exhaustion), not
against an attacker who gains control of it: it runs as the same user.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from neuro.errors import ConfigError, FileError, MissingDependencyError, NeuroError
from neuro.typing import PathLike

__all__ = ["check"]

START_BYTES = 2 << 30
_LEAST_BYTES = 512 << 20  # mne, pynwb and h5py together map 250 MiB on one thread
_START_S = 60.0  # a cold disk and a busy machine; a warm start takes 0.3 s
_GRACE_S = 5
# A packed .set unpacks to five times its size, of which MNE holds eight copies: 37 measured.
_MEMORY_PER_BYTE = 40
_BYTES_PER_S = 4 << 20  # under half of the slowest walk measured, of a packed .set
_LONGEST_REPLY = 1 << 20
_WALKS_PER_CHILD = 1000  # foreign readers leak
_MOST_VERDICTS = 4096

# -------------------------------------------------------------------- parent


class _ChildFailed(Exception):
    """The child died, or stopped making sense; the text says how."""


class _TookTooLong(Exception):
    """No answer within the time allowed."""


class _Child:
    """One warm child and the two pipes to it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.walks = 0
        self.process = subprocess.Popen(
            # -P: a file called numpy.py in the working folder must not be imported.
            [sys.executable, "-P", "-W", "ignore", "-m", "neuro.io._probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=os.sep,
            env=_environment(),
            bufsize=0,
        )
        assert self.process.stdin is not None  # for the type checker: both are piped
        assert self.process.stdout is not None
        self.requests, self.replies = self.process.stdin, self.process.stdout
        try:
            self._receive(_START_S)
        except BaseException as error:
            self.close()
            if isinstance(error, _ChildFailed | _TookTooLong):
                raise NeuroError(
                    f"The process that checks foreign files did not start ({error}). Run "
                    f"`{os.path.basename(sys.executable)} -P -m neuro.io._probe` to see why; it "
                    "waits for input if all is well."
                ) from error
            raise

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Answer to one request; the child is only usable afterwards if this returns."""
        self.walks += 1
        try:
            self.requests.write(json.dumps(request).encode() + b"\n")
        except OSError:
            raise _ChildFailed(self._fate()) from None
        return self._receive(timeout_s)

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self.replies, select.POLLIN)
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(1000 * left):
                if time.monotonic() >= deadline:
                    raise _TookTooLong(f"no answer within {timeout_s:g} s")
                continue
            data = os.read(self.replies.fileno(), 1 << 16)
            line += data
            if not data or len(line) > _LONGEST_REPLY:
                raise _ChildFailed(self._fate())
        try:
            reply: dict[str, Any] = json.loads(line)
        except ValueError:
            raise _ChildFailed("it answered nonsense") from None
        return reply

    def _fate(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        code = self.process.returncode
        if code is None:
            return "it stopped answering"
        if code < 0:
            with suppress(ValueError):
                return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with status {code}"

    def close(self) -> None:
        """End the child, or forget it if it belongs to the process this one was forked from."""
        for pipe in (self.requests, self.replies):
            with suppress(OSError):
                pipe.close()
        if self.owner != os.getpid():
            self.process.returncode = 0  # not ours to wait for
            return
        self.process.kill()
        self.process.wait()


_Key = tuple[str, int, int, int, int, str, float, int]

_lock = threading.Lock()
_child: _Child | None = None
_verdicts: dict[_Key, str | None] = {}


def _forget() -> None:
    """In a forked process: the child, its pipes and a lock that may be held are the parent's."""
    global _lock, _child
    _lock = threading.Lock()
    if _child is not None:
        _child.close()
        _child = None


def _stop() -> None:
    global _child
    if _child is not None:
        _child.close()
        _child = None


os.register_at_fork(after_in_child=_forget)
atexit.register(_stop)


def check(path: PathLike, reader: str, *, timeout_s: float, memory_bytes: int) -> None:
    """Walk a file in the child, or recall how that went; see ``neuro.io.safe.probe``."""
    from neuro.io._files import human, printable, regular_file

    if not timeout_s > 0:
        raise ConfigError(f"probe: timeout_s={timeout_s!r}. Give a positive number of seconds.")
    if memory_bytes < _LEAST_BYTES:
        raise ConfigError(
            f"probe: memory_bytes={memory_bytes} ({human(memory_bytes)}) is less than the readers "
            f"themselves need. Give at least {_LEAST_BYTES}."
        )
    where = os.path.abspath(path)  # not the real path: side files lie beside the link
    status = os.stat(where) if os.path.isdir(where) else regular_file(path)[1]
    memory = memory_bytes + _MEMORY_PER_BYTE * status.st_size
    patience = timeout_s + status.st_size / _BYTES_PER_S
    key = (
        os.path.realpath(where),
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,  # unlike mtime, nobody can set it back
        reader,
        timeout_s,
        memory_bytes,
    )
    try:
        verdict = _verdicts[key]
    except KeyError:
        request = {"path": where, "reader": reader, "memory": memory, "timeout": patience}
        verdict = _walk(printable(os.path.basename(where), 120), request)
        if not os.path.isdir(where):  # a folder's times do not tell when a file in it changes
            _remember(key, verdict)
    if verdict is not None:
        raise FileError(verdict)


def _remember(key: _Key, verdict: str | None) -> None:
    with _lock:
        if len(_verdicts) >= _MOST_VERDICTS:
            del _verdicts[next(iter(_verdicts))]
        _verdicts[key] = verdict


def _walk(name: str, request: dict[str, Any]) -> str | None:
    """None if the walk went well, else what to tell the user."""
    from neuro.io._files import DAMAGED, human

    global _child
    with _lock:
        for last in (False, True):
            child = _ready_child()
            fresh = child.walks == 0
            try:
                reply = child.ask(request, request["timeout"])
                break
            except _TookTooLong:
                _stop()
                return (
                    f"'{name}' could not be read within {request['timeout']:.3g} s. The file is "
                    "damaged or hostile; if it is merely large, pass a longer timeout_s."
                )
            except _ChildFailed as error:
                _stop()
                # An earlier file may have damaged the child's memory: the verdict on this
                # one is passed by a child that has read nothing else.
                if fresh or last:
                    return f"'{name}' brought down the process that walks it ({error}). {DAMAGED}"
            except BaseException:  # Ctrl-C in the middle: question and answer are out of step
                _stop()
                raise
        if child.walks >= _WALKS_PER_CHILD or reply["worn"] or reply.get("kind") == "MemoryError":
            _stop()
    if reply["ok"]:
        return None
    kind, text = str(reply["kind"]), str(reply["text"])
    if kind == "MemoryError":
        return (
            f"'{name}' needs more than {human(request['memory'])} of memory to read ({text}). The "
            "file is damaged or hostile; if it is merely large, pass a larger memory_bytes."
        )
    if kind == "MissingDependencyError":
        raise MissingDependencyError(text)
    if reply["ours"]:
        return text
    return f"'{name}' cannot be read ({kind}: {text}). {DAMAGED}"


def _ready_child() -> _Child:
    global _child
    if _child is not None and _child.owner != os.getpid():
        _forget()
    if _child is None:
        _child = _Child()
    return _child


def _environment() -> dict[str, str]:
    """The parent's, with its import path and one thread: thread pools map memory per core."""
    import neuro

    root = os.path.dirname(os.path.dirname(os.path.abspath(neuro.__file__)))
    folders = [os.path.abspath(p) for p in sys.path if p]  # "" is the working folder: left out
    if root not in folders:
        folders.append(root)
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    )
    return {
        **os.environ,
        **threads,
        "MALLOC_ARENA_MAX": "2",
        "PYTHONPATH": os.pathsep.join(folders),
    }


# --------------------------------------------------------------------- child


def _set_memory(count: int | None) -> None:
    """Limit this process's address space, or lift the limit (where the system has one)."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        soft = most if count is None else count
        if most != resource.RLIM_INFINITY:
            soft = min(soft, most)
        resource.setrlimit(resource.RLIMIT_AS, (soft, most))


def _forbid_writing() -> None:
    """No core file and no growth of any file: a walk only reads."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _answer(request: dict[str, Any], readers: dict[str, str]) -> dict[str, Any]:
    from importlib import import_module

    from neuro.io._files import reason

    # Ends this process even inside C code, should the parent die meanwhile.
    signal.alarm(int(request["timeout"]) + _GRACE_S)
    _set_memory(request["memory"])
    try:
        module, function = readers[request["reader"]].split(":")
        getattr(import_module(module), function)(request["path"])
        reply: dict[str, Any] = {"ok": True}
    except BaseException as error:  # SystemExit too: some reader may call exit
        _set_memory(None)  # room to say so
        if lack := _lack_of_memory(error):
            error = lack
        reply = {
            "ok": False,
            "ours": isinstance(error, NeuroError),
            "kind": "MemoryError" if isinstance(error, MemoryError) else type(error).__name__,
            "text": str(error) if isinstance(error, NeuroError) else reason(error, request["path"]),
        }
    finally:
        signal.alarm(0)
    # libraries of C may keep what a bad file made them take, which the next file would lack
    reply["worn"] = _address_space() > request["memory"] // 2
    return reply


def _address_space() -> int:
    """Bytes of addresses that this process uses now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as stream:
            return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _lack_of_memory(error: BaseException | None) -> MemoryError | None:
    """The MemoryError that led to an error, if one did: the file need not be damaged then."""
    while error is not None:
        if isinstance(error, MemoryError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _main() -> None:
    _set_memory(START_BYTES)
    _forbid_writing()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes us
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb", 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)  # readers that print or ask must not disturb the conversation
    os.dup2(nothing, 1)

    from neuro.io._walks import READERS

    replies.write(b'{"ok": true}\n')
    for line in requests:
        reply = _answer(json.loads(line), READERS)
        replies.write(json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        _main()
