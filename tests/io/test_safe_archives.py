"""Archives: only the named members, only inside the folder, only what was hashed."""

import bz2
import errno
import gzip
import hashlib
import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from neuro.errors import DataError, DataUnavailableError, FileError
from neuro.io import safe

CONTENT = b"1 2 3\n" * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def make_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, tarfile.TarInfo):
                info, data = data, b""
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def refused(archive, members, dest, *parts, limits=safe.DEFAULT):
    """The refusal names the archive, and nothing was unpacked anywhere."""
    before = files(archive.parent)
    with pytest.raises(FileError) as caught:
        safe.extract_members(archive, members, dest, limits)
    text = str(caught.value)
    assert f"'{archive.name}'" in text
    assert str(archive.parent) not in text
    for part in parts:
        assert part in text
    assert files(archive.parent) == before


@pytest.fixture(params=["a.whl", "a.tar", "a.tar.gz", "a.tar.bz2"])
def archive(request, tmp_path):
    members = {"pkg/x.txt": CONTENT, "pkg/y.txt": b"y", "pkg/evil.py": b"raise SystemExit"}
    path = tmp_path / request.param
    if path.suffix == ".whl":
        return make_zip(path, members)
    return make_tar(path, members, {"tar": "w", "gz": "w:gz", "bz2": "w:bz2"}[path.suffix[1:]])


def test_only_the_named_members_are_unpacked(archive, tmp_path):
    found = safe.extract_members(archive, {"pkg/x.txt": DIGEST, "pkg/y.txt": None}, tmp_path / "o")
    assert files(tmp_path / "o") == ["pkg/x.txt", "pkg/y.txt"]
    assert found["pkg/x.txt"] == tmp_path / "o" / "pkg" / "x.txt"
    assert found["pkg/x.txt"].read_bytes() == CONTENT


def test_a_list_of_names_is_enough(archive, tmp_path):
    safe.extract_members(archive, ["pkg/y.txt"], tmp_path / "o")
    assert files(tmp_path / "o") == ["pkg/y.txt"]


def test_one_wrong_hash_leaves_nothing_of_any_member(archive, tmp_path):
    wrong = "0" * 64
    members = {"pkg/y.txt": None, "pkg/x.txt": wrong}
    refused(archive, members, tmp_path / "o", "'pkg/x.txt' has SHA-256", DIGEST, wrong)


def test_a_wrong_hash_spares_the_file_that_was_there(archive, tmp_path):
    (tmp_path / "o" / "pkg").mkdir(parents=True)
    (tmp_path / "o" / "pkg" / "x.txt").write_text("old")
    refused(archive, {"pkg/x.txt": "0" * 64}, tmp_path / "o")
    assert (tmp_path / "o" / "pkg" / "x.txt").read_text() == "old"


def test_a_missing_member_is_told_with_the_nearest_name(archive, tmp_path):
    refused(archive, ["pkg/x.text"], tmp_path / "o", "no member 'pkg/x.text'", "pkg/x.txt")


def test_cut_archives_are_one_error(archive, tmp_path):
    data = archive.read_bytes()
    for length in range(0, len(data) - 1, max(1, len(data) // 23)):
        archive.write_bytes(data[:length])
        try:
            safe.extract_members(archive, {"pkg/x.txt": DIGEST}, tmp_path / "o")
        except FileError:
            assert files(tmp_path / "o") == []
        else:  # a tar may lose its tail after the member; the hash vouches for the member
            assert (tmp_path / "o" / "pkg" / "x.txt").read_bytes() == CONTENT
            (tmp_path / "o" / "pkg" / "x.txt").unlink()


def test_mutated_archives_unpack_the_right_bytes_or_are_one_error(archive, tmp_path):
    seed = archive.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(100):
        data = bytearray(seed)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        archive.write_bytes(data)
        try:
            found = safe.extract_members(archive, {"pkg/x.txt": DIGEST}, tmp_path / "o")
        except FileError:
            continue
        assert found["pkg/x.txt"].read_bytes() == CONTENT
    assert set(files(tmp_path / "o")) <= {"pkg/x.txt"}


@pytest.mark.parametrize(
    "name",
    ["../up.txt", "/abs.txt", "a/../../up.txt", "a\\up.txt", "", ".", "a/", "a\x00b", "a\nb"],
)
def test_names_that_leave_the_folder_are_never_unpacked(tmp_path, name):
    path = make_zip(tmp_path / "a.zip", {"x": b""})
    with pytest.raises(DataError, match="not a plain relative path"):
        safe.extract_members(path, [name], tmp_path / "o")
    assert files(tmp_path) == ["a.zip"]


def test_escaping_members_beside_the_named_one_stay_packed(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"../up.txt": b"evil", "ok.txt": CONTENT})
    safe.extract_members(path, ["ok.txt"], tmp_path / "in" / "o")
    assert files(tmp_path) == ["a.zip", "in/o/ok.txt"]


def test_a_link_planted_in_the_target_folder_is_not_followed(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"d/x.txt": CONTENT, "y.txt": CONTENT})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "y.txt").write_text("kept")
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "d").symlink_to(tmp_path / "outside")
    (tmp_path / "o" / "y.txt").symlink_to(tmp_path / "outside" / "y.txt")
    with pytest.raises(FileError, match="through a symbolic link"):
        safe.extract_members(path, ["d/x.txt"], tmp_path / "o")
    safe.extract_members(path, ["y.txt"], tmp_path / "o")
    assert files(tmp_path / "outside") == ["y.txt"]
    assert (tmp_path / "outside" / "y.txt").read_text() == "kept"


def test_tar_symlink_then_write_through_it_does_not_escape(tmp_path):
    # The classic: a link to a folder outside, then a file "inside" the link.
    (tmp_path / "outside").mkdir()
    members = {
        "link": special("link", tarfile.SYMTYPE, str(tmp_path / "outside")),
        "link/x.txt": CONTENT,
    }
    path = make_tar(tmp_path / "a.tar", members)
    safe.extract_members(path, ["link/x.txt"], tmp_path / "o")
    assert files(tmp_path / "outside") == []
    assert not (tmp_path / "o" / "link").is_symlink()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_a_named_tar_member_must_be_a_plain_file(tmp_path, kind):
    path = make_tar(tmp_path / "a.tar", {"x": special("x", kind, "/etc/hostname")})
    refused(path, ["x"], tmp_path / "o", "member 'x' is a link, a device or sparse")


def test_a_named_zip_member_must_be_a_plain_file(tmp_path):
    info = zipfile.ZipInfo("x")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/hostname")
    refused(tmp_path / "a.zip", ["x"], tmp_path / "o", "is a folder or a link")


def test_zip_bomb_is_refused_before_it_unfolds(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"x": bytes(200 << 20)})
    assert path.stat().st_size < 210_000
    refused(path, ["x"], tmp_path / "o", "'x' claims 200 MiB", "more than 200 to 1")


def test_many_small_bombs_count_together(tmp_path):
    path = make_zip(tmp_path / "a.zip", {f"x{i}": bytes(1 << 20) for i in range(5)})
    limits = safe.Limits(small_bytes=2 << 20)
    safe.extract_members(path, ["x0"], tmp_path / "one", limits)
    refused(path, [f"x{i}" for i in range(5)], tmp_path / "o", "unpacked, claims", limits=limits)


def test_total_size_is_capped(tmp_path):
    rng = np.random.default_rng(0)
    path = make_zip(tmp_path / "a.zip", {f"x{i}": rng.bytes(1000) for i in range(3)})
    limits = safe.Limits(max_bytes=2500)
    refused(path, ["x0", "x1", "x2"], tmp_path / "o", "the limit is 2.441 KiB", limits=limits)


@pytest.mark.parametrize("opener", [gzip.open, bz2.open], ids=["gz", "bz2"])
def test_a_tar_bomb_in_front_of_the_member_is_stopped(tmp_path, opener):
    inner = make_tar(tmp_path / "a.tar", {"zeros": bytes(150 << 20), "x": CONTENT})
    path = tmp_path / "a.tgz"
    with opener(path, "wb", compresslevel=1) as stream:
        stream.write(inner.read_bytes())
    inner.unlink()
    refused(path, ["x"], tmp_path / "o", "more than 200 to 1")


def test_a_sparse_tar_member_is_refused(tmp_path):
    # Old GNU sparse header: real size 8 TiB, stored size 0.
    info = special("x", tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"00000000000\x0000000000000\x00"
    block[483:495] = struct.pack(">B3xQ", 0x80, 8 << 40)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "a.tar").write_bytes(bytes(block) + bytes(1024))
    refused(tmp_path / "a.tar", ["x"], tmp_path / "o", "is a link, a device or sparse")


def test_members_that_stand_twice_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x", b"2")
    refused(tmp_path / "a.zip", ["x"], tmp_path / "o", "'x' stands twice")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("x"))
    refused(tmp_path / "a.tar", ["x"], tmp_path / "o", "'x' stands twice")


def test_overlapping_zip_members_are_refused(tmp_path):
    # Two entries of the directory over the same bytes, as in non-recursive zip bombs.
    path = make_zip(tmp_path / "a.zip", {"x": np.random.default_rng(0).bytes(5000)})
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    stop = data.index(b"PK\x05\x06")
    entry = data[start:stop]
    twin = entry.replace(b"x", b"y", 1) if entry.count(b"x") == 1 else entry[:46] + b"y"
    end = bytearray(data[stop:])
    end[8:12] = struct.pack("<HH", 2, 2)
    end[12:16] = struct.pack("<I", len(entry) + len(twin))
    path.write_bytes(data[:start] + entry + twin + end)
    refused(path, ["x"], tmp_path / "o", "members overlap")


def test_too_many_members_are_refused(tmp_path):
    members = {f"x{i}": b"" for i in range(11)}
    limits = safe.Limits(max_members=10)
    path = make_zip(tmp_path / "a.zip", members)
    refused(path, ["x1"], tmp_path / "o", "11 members; the limit is 10", limits=limits)
    path = make_tar(tmp_path / "a.tar", members)
    refused(path, ["x1"], tmp_path / "o", "over 10 members", limits=limits)


def test_rare_compressions_and_passwords_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"x": CONTENT}, zipfile.ZIP_LZMA)
    refused(path, ["x"], tmp_path / "o", "compression method 14")
    path = make_zip(tmp_path / "b.zip", {"x": CONTENT})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, ["x"], tmp_path / "o", "encrypted")


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>not found</html>")
    refused(tmp_path / "a.zip", ["x"], tmp_path / "o", "is no zip, tar, tar.gz or tar.bz2")
    with pytest.raises(DataUnavailableError, match=r"'b\.zip' does not exist"):
        safe.extract_members(tmp_path / "b.zip", ["x"], tmp_path / "o")


class FullDisk(io.BytesIO):
    def write(self, _):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_not_blamed_on_the_archive(archive, tmp_path, monkeypatch):
    real = Path.open

    def path_open(self, mode="r", *rest, **options):
        return FullDisk() if mode == "xb" else real(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", path_open)
    with pytest.raises(OSError, match="No space left") as caught:
        safe.extract_members(archive, ["pkg/x.txt"], tmp_path / "o")
    assert not isinstance(caught.value, FileError)
    assert files(tmp_path / "o") == []
