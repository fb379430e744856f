"""The child process that walks foreign files first: what it survives, what it says."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from neuro.errors import ConfigError, DataUnavailableError, FileError, MissingDependencyError
from neuro.io import _probe, safe

# Walks that misbehave as foreign C code does. The child finds them through a
# start-up file on the import path; the table it reads stays closed otherwise.
WALKS = """
import os, signal, sys, time
from neuro.errors import FileError, MissingDependencyError

def crash(path):
    os.kill(os.getpid(), signal.SIGSEGV)

def crash_unless_first(path):
    # Stands for memory that an earlier file has damaged: 'seen' is the child's own state.
    if "seen" in globals():
        os.kill(os.getpid(), signal.SIGABRT)

def damage(path):
    globals()["seen"] = True

def hang(path):
    time.sleep(600)

def hog(path):
    bytearray(8 << 30)

def leave(path):
    sys.exit(3)

def vanish(path):
    os._exit(7)

def chatter(path):
    print('{"ok": false}')
    os.write(1, b"nonsense")
    assert sys.stdin.read() == ""

def stumble(path):
    raise KeyError(f"field \\x1b[31m of {path}")

def ours(path):
    raise FileError("'x.set': field 'nbchan' is -1. Export it again.")

def lacking(path):
    raise MissingDependencyError("Install pynwb.")

def writes(path):
    with open(path, "ab") as stream:
        stream.write(b"x")

def settings(path):
    import resource
    raise ValueError(f"{resource.getrlimit(resource.RLIMIT_AS)[0]} {os.environ['OMP_NUM_THREADS']}")
"""


@pytest.fixture
def walks(tmp_path, monkeypatch):
    """A fresh child that knows the walks above; undone afterwards."""
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "naughty.py").write_text(WALKS)
    names = [line[4:].split("(")[0] for line in WALKS.splitlines() if line.startswith("def ")]
    table = {name: f"naughty:{name}" for name in names} | {"absent": "neuro.io.absent:walk"}
    (folder / "sitecustomize.py").write_text(
        f"from neuro.io import safe\nsafe.READERS.update({table!r})\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    for name, target in table.items():
        monkeypatch.setitem(safe.READERS, name, target)
    _probe._stop()
    yield
    _probe._stop()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sub-01.set"
    path.write_bytes(b"12345")
    return path


def small_hdf5(path):
    with h5py.File(path, "w") as file:
        file["eeg/data"] = np.arange(40, dtype="f4").reshape(4, 10)
        file.create_dataset("z", data=np.arange(300), chunks=(50,), compression="gzip")
        file["names"] = ["C3", "C4"]
        file["soft"] = h5py.SoftLink("/eeg/data")
        file["ragged"] = np.array([np.arange(3), np.arange(2)], dtype=object).astype(
            h5py.vlen_dtype("i4")
        )
        file.attrs["unit"] = "uV"
        file["eeg"].attrs["pos"] = np.eye(3)
    return path


def message(path, reader, **limits):
    with pytest.raises(FileError) as caught:
        safe.probe(path, reader, **limits)
    text = str(caught.value)
    assert f"'{os.path.basename(path)}'" in text
    assert os.path.dirname(path) not in text
    return text


def test_a_good_file_passes_and_the_child_stays(tmp_path):
    safe.probe(small_hdf5(tmp_path / "a.h5"), "hdf5")
    first = _probe._child.process.pid
    safe.probe(small_hdf5(tmp_path / "b.h5"), "hdf5")
    assert _probe._child.process.pid == first
    assert first != os.getpid()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc for the child's time")
def test_a_warm_walk_is_cheap(tmp_path):
    safe.probe(small_hdf5(tmp_path / "first.h5"), "hdf5")
    paths = [small_hdf5(tmp_path / f"{i}.h5") for i in range(100)]
    before = time.process_time() + child_seconds()
    for path in paths:
        safe.probe(path, "hdf5")
    spent = time.process_time() + child_seconds() - before
    # Processor time of both processes, not the clock: other work on the machine does not count.
    assert spent / len(paths) < 0.005


def child_seconds():
    fields = Path(f"/proc/{_probe._child.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_hostile_content_found_by_the_walk_is_told_as_the_opener_tells_it(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["e"] = h5py.ExternalLink("/etc/passwd", "/")
    assert "link '/e' leads into another file ('passwd')" in message(path, "hdf5")


def test_a_damaged_chunk_is_found_before_the_reader_meets_it(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", data=np.arange(1000), chunks=(1000,), compression="gzip")
        offset = data.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 50 : offset + 60] = bytes(10)
    path.write_bytes(content)
    safe.open_hdf5(path).close()  # the structure is sound
    assert "is damaged inside" in message(path, "hdf5")


def test_mutated_hdf5_files_pass_or_are_one_error(tmp_path):
    seed = small_hdf5(tmp_path / "seed.h5").read_bytes()
    assert len(seed) < 20_000
    rng = np.random.default_rng(11)
    path = tmp_path / "m.h5"
    outcomes = Counter()
    for _ in range(300):
        data = bytearray(seed)
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data)
        start = time.monotonic()
        try:
            safe.probe(path, "hdf5", timeout_s=5, memory_bytes=1 << 30)
            outcomes["ok"] += 1
        except FileError as error:
            outcomes["dead" if "brought down" in str(error) else "refused"] += 1
        assert time.monotonic() - start < 10
    assert outcomes["ok"] > 30
    assert outcomes["refused"] > 30
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.h5", "seed.h5"]


def test_a_crash_is_an_error_and_the_next_file_is_read(walks, file, tmp_path):
    text = message(file, "crash")
    assert "brought down the process that walks it (it was ended by SIGSEGV)" in text
    assert "get it again" in text
    safe.probe(small_hdf5(tmp_path / "a.h5"), "hdf5")


def test_a_crash_owed_to_an_earlier_file_is_not_held_against_this_one(walks, file):
    safe.probe(file, "damage")
    safe.probe(file, "crash_unless_first")


def test_an_exit_is_an_error(walks, file):
    assert "ended with status 7" in message(file, "vanish")
    assert "SystemExit: 3" in message(file, "leave")


def test_a_hang_is_ended_in_time(walks, file):
    safe.probe(file, "damage")  # the start of the child is not part of the time
    child = _probe._child.process
    start = time.monotonic()
    text = message(file, "hang", timeout_s=0.5)
    assert time.monotonic() - start < 5  # generous: the machine may be busy
    assert "could not be read within 0.5 s" in text
    assert "longer timeout_s" in text
    assert child.returncode == -signal.SIGKILL


def test_memory_is_limited_by_argument_and_size(walks, file):
    text = message(file, "hog", memory_bytes=1 << 30)
    assert "needs more than 1 GiB of memory" in text
    assert "larger memory_bytes" in text
    file.write_bytes(bytes(1000))
    assert f"ValueError: {(1 << 30) + 40_000} 1)" in message(file, "settings", memory_bytes=1 << 30)


def test_a_walk_cannot_write(walks, file):
    assert "OSError: File too large" in message(file, "writes")
    assert file.read_bytes() == b"12345"


def test_a_reader_that_prints_does_not_disturb(walks, file):
    safe.probe(file, "chatter")


def test_what_a_reader_says_is_one_clean_line(walks, file):
    text = message(file, "stumble")
    assert "KeyError: 'field \\x1b[31m of sub-01.set'" in text
    assert text.isprintable()


def test_errors_of_this_package_pass_unchanged(walks, file):
    with pytest.raises(FileError, match=r"^'x\.set': field 'nbchan' is -1\. Export it again\.$"):
        safe.probe(file, "ours")
    with pytest.raises(MissingDependencyError, match=r"^Install pynwb\.$"):
        safe.probe(file, "lacking")


def test_a_reader_that_cannot_be_imported_is_an_error(walks, file):
    assert "ModuleNotFoundError" in message(file, "absent")


def test_verdicts_are_remembered_until_the_file_changes(walks, file, monkeypatch):
    asked = []
    real = _probe._Child.ask
    monkeypatch.setattr(_probe._Child, "ask", lambda *a: asked.append(a[1]["reader"]) or real(*a))
    for _ in range(3):
        safe.probe(file, "damage")
        message(file, "stumble")
    assert asked == ["damage", "stumble"]
    status = file.stat()
    file.write_bytes(b"54321")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # size and time as before
    safe.probe(file, "damage")
    assert asked == ["damage", "stumble", "damage"]


def test_memory_of_verdicts_is_bounded(walks, tmp_path, monkeypatch):
    monkeypatch.setattr(_probe, "_MOST_VERDICTS", 3)
    monkeypatch.setattr(_probe, "_verdicts", {})
    for i in range(5):
        (tmp_path / f"{i}").write_bytes(b"")
        safe.probe(tmp_path / f"{i}", "damage")
    assert [os.path.basename(key[0]) for key in _probe._verdicts] == ["2", "3", "4"]


def test_a_child_is_replaced_after_many_walks(tmp_path, monkeypatch):
    monkeypatch.setattr(_probe, "_WALKS_PER_CHILD", 2)
    _probe._stop()
    children = set()
    for i in range(4):
        safe.probe(small_hdf5(tmp_path / f"{i}.h5"), "hdf5")
        children.add(_probe._child and _probe._child.process.pid)
    assert len(children) == 3  # first, None after the second walk, second
    _probe._stop()


def test_a_killed_child_is_replaced(tmp_path):
    safe.probe(small_hdf5(tmp_path / "a.h5"), "hdf5")
    child = _probe._child.process
    child.kill()
    child.wait()
    safe.probe(small_hdf5(tmp_path / "b.h5"), "hdf5")
    assert _probe._child.process.pid != child.pid


def test_threads_share_the_child(tmp_path):
    paths = [small_hdf5(tmp_path / f"{i}.h5") for i in range(24)]
    paths[5].write_bytes(b"no HDF5")
    outcomes = {}

    def work(share):
        for path in share:
            try:
                safe.probe(path, "hdf5")
                outcomes[path.name] = "ok"
            except FileError:
                outcomes[path.name] = "refused"

    threads = [threading.Thread(target=work, args=(paths[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(outcomes.values()) == {"ok": 23, "refused": 1}
    assert outcomes["5.h5"] == "refused"


def test_a_forked_process_gets_its_own_child_even_while_the_lock_is_held(tmp_path):
    safe.probe(small_hdf5(tmp_path / "a.h5"), "hdf5")
    ours = _probe._child.process.pid
    target = small_hdf5(tmp_path / "b.h5")
    read, write = os.pipe()
    with _probe._lock:  # as if another thread were in the middle of a walk
        pid = os.fork()
        if pid == 0:  # as a DataLoader worker
            try:
                signal.alarm(60)
                safe.probe(target, "hdf5")
                os.write(write, str(_probe._child.process.pid).encode())
                _probe._stop()
            finally:
                os._exit(0)
    os.close(write)
    _, status = os.waitpid(pid, 0)
    theirs = int(os.read(read, 100))
    os.close(read)
    assert status == 0
    assert theirs not in (ours, pid)
    assert _probe._child.process.poll() is None  # ours lives on
    safe.probe(small_hdf5(tmp_path / "c.h5"), "hdf5")
    assert _probe._child.process.pid == ours


@pytest.mark.parametrize("how", ["return", "kill"])
def test_the_child_ends_with_its_parent(tmp_path, how):
    path = small_hdf5(tmp_path / "a.h5")
    script = (
        "import os, signal, sys\n"
        "from neuro.io import _probe, safe\n"
        "safe.probe(sys.argv[1], 'hdf5')\n"
        "print(_probe._child.process.pid, flush=True)\n"
        "if sys.argv[2] == 'kill':\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), how], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert gone(int(done.stdout), 10)


@pytest.mark.slow
def test_a_child_in_the_middle_of_a_hang_ends_after_its_parent(walks, file):
    # The child cannot see the end of its input then; an alarm ends it 5 s after its time.
    script = (
        "import os, signal, sys, threading, time\n"
        "from neuro.io import _probe, safe\n"
        "safe.probe(sys.argv[1], 'damage')\n"
        "print(_probe._child.process.pid, flush=True)\n"
        "hang = lambda: safe.probe(sys.argv[1], 'hang', timeout_s=1)\n"
        "threading.Thread(target=hang, daemon=True).start()\n"
        "time.sleep(0.3)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )
    assert done.stderr == ""
    child = int(done.stdout)
    assert running(child)
    assert gone(child, 20)


def gone(pid, within_s):
    deadline = time.monotonic() + within_s
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not running(pid)


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:  # it has ended, or this is no Linux and the signal was the answer
        return not Path("/proc/self").exists()
    # An orphan that has ended but was not collected by process 1 yet is a zombie.
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_module_in_the_working_folder_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise SystemExit(9)")
    path = small_hdf5(tmp_path / "a.h5")
    monkeypatch.chdir(tmp_path)
    _probe._stop()
    safe.probe(path.name, "hdf5")


def test_side_files_lie_beside_the_name_given_not_beside_the_target(walks, tmp_path):
    (tmp_path / "annex").mkdir()
    (tmp_path / "annex" / "key").write_bytes(b"1")
    (tmp_path / "a.set").symlink_to(tmp_path / "annex" / "key")
    assert "of a.set" in message(tmp_path / "a.set", "stumble")


def test_a_folder_can_be_walked_and_is_never_remembered(walks, tmp_path, monkeypatch):
    (tmp_path / "a.mff").mkdir()
    before = len(_probe._verdicts)
    safe.probe(tmp_path / "a.mff", "damage")
    assert len(_probe._verdicts) == before


def test_unusable_arguments_are_told(tmp_path):
    path = small_hdf5(tmp_path / "a.h5")
    with pytest.raises(ConfigError, match=r"No reader 'hdf'.*Did you mean 'hdf5'"):
        safe.probe(path, "hdf")
    with pytest.raises(ConfigError, match="timeout_s=0"):
        safe.probe(path, "hdf5", timeout_s=0)
    with pytest.raises(ConfigError, match=r"memory_bytes=1000.*at least 536870912"):
        safe.probe(path, "hdf5", memory_bytes=1000)
    with pytest.raises(DataUnavailableError, match=r"'b\.h5' does not exist"):
        safe.probe(tmp_path / "b.h5", "hdf5")


def test_the_least_memory_is_enough_for_the_readers_themselves(tmp_path):
    _probe._stop()
    safe.probe(small_hdf5(tmp_path / "a.h5"), "hdf5", memory_bytes=_probe._LEAST_BYTES)


def test_a_child_that_cannot_start_says_how_to_find_out(tmp_path, monkeypatch):
    from neuro.errors import NeuroError

    path = small_hdf5(tmp_path / "a.h5")
    _probe._stop()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(NeuroError, match=r"did not start \(it ended with status 1\).*-m neuro"):
        safe.probe(path, "hdf5")
    monkeypatch.undo()
    safe.probe(path, "hdf5")
