"""HDF5 and YAML: what hostile files try, and what must still open."""

import fcntl
import zlib

import h5py
import numpy as np
import pytest

from neuro.errors import ConfigError, DataUnavailableError, FileError
from neuro.io import safe

SECRET = b"not for your eyes: 0123456789"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


def refused(path, *parts, limits=safe.DEFAULT):
    """The message of the refusal; checks that it names the file and no folder."""
    with pytest.raises(FileError) as caught:
        safe.open_hdf5(path, limits=limits)
    text = str(caught.value)
    assert f"'{path.name}'" in text
    assert str(path.parent) not in text
    for part in parts:
        assert part in text
    return text


def test_a_plain_file_opens_and_reads(path):
    with safe.create_hdf5(path) as file:
        file["eeg/data"] = np.arange(6, dtype="float32").reshape(2, 3)
        file.attrs["unit"] = "uV"
    with safe.open_hdf5(path) as file:
        assert file["eeg/data"][1].tolist() == [3.0, 4.0, 5.0]
        assert file.attrs["unit"] == "uV"


def test_external_storage_that_leaks_another_file_is_refused(path, tmp_path):
    (tmp_path / "secret.txt").write_bytes(SECRET)
    with h5py.File(path, "w") as file:
        store = [(str(tmp_path / "secret.txt"), 0, len(SECRET))]
        file.create_dataset("g/leak", shape=(len(SECRET),), dtype="u1", external=store)
    with h5py.File(path) as file:  # the attack works on the bare library
        assert file["g/leak"][:].tobytes() == SECRET
    refused(path, "'/g/leak'", "another file ('secret.txt')", "h5repack")


def test_external_link_is_refused(path, tmp_path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = [1]
    with h5py.File(path, "w") as file:
        file["g/out"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "/x")
    refused(path, "link '/g/out'", "another file ('b.h5')", "Copy")


def test_soft_link_that_escapes_through_an_external_link_is_refused(path, tmp_path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = [1]
    with h5py.File(path, "w") as file:
        file["a"] = h5py.SoftLink("/z/x")
        file["z"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "/")
    with h5py.File(path) as file:
        assert file["a"].file.filename == str(tmp_path / "b.h5")
    refused(path, "leads into another file")


@pytest.mark.parametrize(
    "links",
    [{"a": "/a"}, {"a": "/b", "b": "/a"}, {"a": "/nothing"}, {"a": "a/b/c"}],
    ids=["itself", "circle", "dangling", "below itself"],
)
def test_soft_link_that_leads_nowhere_is_refused(path, links):
    with h5py.File(path, "w") as file:
        for name, target in links.items():
            file[name] = h5py.SoftLink(target)
    refused(path, "link '/a'", f"'{links['a']}'", "leads to no object")


def test_soft_and_hard_links_inside_the_file_are_followed(path):
    with h5py.File(path, "w") as file:
        file["g/x"] = [1, 2]
        file["soft"] = h5py.SoftLink("/g/x")
        file["g/self"] = file["g"]  # a circle of hard links
        file["g/root"] = file["/"]
    with safe.open_hdf5(path) as file:
        assert file["soft"][:].tolist() == [1, 2]
        assert file["g/self/root/g/x"][0] == 1


def test_virtual_dataset_is_refused(path, tmp_path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = np.arange(4)
    layout = h5py.VirtualLayout(shape=(4,), dtype="i8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "b.h5"), "x", shape=(4,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("v", layout)
    refused(path, "'/v' is virtual")


@pytest.mark.parametrize("chunks", [None, (1024,)], ids=["contiguous", "chunked"])
def test_four_tebibytes_in_a_small_file_are_refused(path, chunks):
    with h5py.File(path, "w") as file:
        file.create_dataset("big", shape=(1 << 40,), dtype="f4", chunks=chunks)
    assert path.stat().st_size < 10_000
    refused(path, "'/big' claims 4 TiB", "limit is 64 GiB", "limits=Limits(")


def test_a_deflate_bomb_is_refused_and_wider_limits_admit_it(path):
    with h5py.File(path, "w") as file:
        options = {"chunks": (1 << 22,), "compression": "gzip", "compression_opts": 9}
        data = file.create_dataset("zeros", shape=(200 << 20,), dtype="u1", **options)
        zeros = zlib.compress(bytes(1 << 22), 9)
        for start in range(0, 200 << 20, 1 << 22):
            data.id.write_direct_chunk((start,), zeros)
    assert path.stat().st_size < 250_000
    refused(path, "'/zeros' claims 200 MiB", "more than 200 to 1")
    with safe.open_hdf5(path, limits=safe.Limits(max_ratio=2000)) as file:
        assert file["zeros"].shape == (200 << 20,)


def test_one_huge_chunk_is_refused_even_if_the_shape_is_small(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", shape=(4,), maxshape=(None,), chunks=(1 << 28,), dtype="f4")
    refused(path, "'/x' claims 1 GiB but 0 bytes are stored")


def test_sparse_chunks_with_something_in_them_are_welcome(path):
    # 256 MiB declared, 2 MiB written: 128 to 1, as a mask or rare spikes may be.
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", shape=(256 << 20,), dtype="u1", chunks=(1 << 20,))
        data[: 2 << 20] = 1
    with safe.open_hdf5(path) as file:
        assert file["x"][(2 << 20) - 1 : (2 << 20) + 1].tolist() == [1, 0]


def test_small_empty_datasets_of_every_kind_are_welcome(path):
    with h5py.File(path, "w") as file:
        file["scalar"] = 1.0
        file["null"] = h5py.Empty("f4")
        file["none"] = np.zeros((0, 3))
        file["text"] = ["a", "bc"]
        file["type"] = np.dtype("f8")
        file["table"] = np.zeros(2, [("a", "i4"), ("b", "f8", (2,))])
        file["ref"] = np.array([file["scalar"].ref], h5py.ref_dtype)
        file["ragged"] = np.array([np.arange(3), np.arange(2)], dtype=object).astype(
            h5py.vlen_dtype("i4")
        )
        file.create_dataset("grows", shape=(0, 4), maxshape=(None, 4), dtype="f4")
    with safe.open_hdf5(path) as file:
        assert sorted(file)[0] == "grows"
    safe.walk_hdf5(path)


def test_groups_nested_beyond_reason_are_refused_not_a_stack_overflow(path):
    # At this depth the library's own recursive visit ends in a segmentation fault.
    with h5py.File(path, "w", libver="latest") as file:
        group = file.id
        for _ in range(20_000):
            group = h5py.h5g.create(group, b"a")
    refused(path, "nest deeper than 64")


def test_too_many_links_are_refused(path):
    with h5py.File(path, "w") as file:
        for i in range(11):
            file[f"x{i}"] = 0
    safe.open_hdf5(path, limits=safe.Limits(max_members=11)).close()
    refused(path, "more than 10 links", limits=safe.Limits(max_members=10))


def test_too_many_dimensions_are_refused(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros((1,) * 9)
    refused(path, "has 9 dimensions; the limit is 8")


def test_every_truncation_is_one_error(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(100.0)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        refused(path, "is not a readable HDF5 file")


def test_a_refused_file_is_closed(path):
    with h5py.File(path, "w") as file:
        file["a"] = h5py.SoftLink("/a")
    refused(path)
    with h5py.File(path, "a") as file:  # HDF5 will not open for writing what is still open
        del file["a"]


def test_a_file_that_is_being_written_is_not_called_damaged(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # what HDF5 does while a file is open for writing
        text = refused(path, "no other program is writing it")
    assert "damaged" not in text


def test_missing_file_and_unknown_mode(path):
    with pytest.raises(DataUnavailableError, match=r"'a\.h5' does not exist"):
        safe.open_hdf5(path)
    with pytest.raises(ConfigError, match="mode='r\\+'"):
        safe.open_hdf5(path, "r+")


def test_a_failed_write_keeps_the_old_file_and_its_first_error(path):
    with safe.open_hdf5(path, "w") as file:
        file["x"] = [1]
    old = path.read_bytes()

    def fail():
        with safe.create_hdf5(path) as file:
            file["x"] = [2]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == ["a.h5"]


def test_names_out_of_the_file_cannot_drive_a_terminal(path):
    with h5py.File(path, "w") as file:
        file["a\x1b[2J"] = h5py.SoftLink("/no\x07where")
    text = refused(path)
    assert text.isprintable()


@pytest.mark.parametrize(
    ("shape", "chunks", "itemsize"),
    [
        ((5,), None, 8),
        ((64, 1_000_000), (64, 256), 4),
        ((1_000_000, 3), None, 16),
        ((7, 11, 13), (2, 3, 4), 1),
        ((100_000,), (1,), 4),
    ],
)
def test_blocks_stay_inside_are_few_and_reach_both_ends(shape, chunks, itemsize):
    blocks = list(safe._blocks(shape, chunks, itemsize))
    assert 1 <= len(blocks) <= 64
    assert len({str(b) for b in blocks}) == len(blocks)
    assert all(s.start == 0 for s in blocks[0])
    for s, n in zip(blocks[-1], shape, strict=True):
        assert s.start < n <= s.stop


def test_blocks_of_a_small_array_cover_it():
    seen = np.zeros((300, 500), int)
    for block in safe._blocks(seen.shape, (100, 100), 800):
        seen[block] += 1
    assert (seen == 1).all()


# ---------------------------------------------------------------------- YAML


def test_yaml_file_path_and_text(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("base: &b {lr: 0.1}\nrun: {<<: *b, steps: 5}\n")
    want = {"base": {"lr": 0.1}, "run": {"lr": 0.1, "steps": 5}}
    assert safe.load_yaml(file) == want
    assert safe.load_yaml(str(file)) == want
    assert safe.load_yaml(file.read_text()) == want
    assert safe.load_yaml("") is None


def test_yaml_merge_inside_a_merged_map_is_no_repeated_key():
    text = "base: &base {k: 1}\nx: {y: &a {<<: *base, k: 2}}\nz: {<<: *a}\n"
    assert safe.load_yaml(text)["z"] == {"k": 2}


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['echo gotcha']",
        "a: !!python/name:os.system\n",
        "a: !!python/object:neuro.io.safe.Limits {}\n",
        "a: !anything 3\n",
    ],
)
def test_yaml_tags_that_ask_for_objects_are_refused(text):
    with pytest.raises(FileError, match="YAML text, line 1: could not determine a constructor"):
        safe.load_yaml(text)


def test_yaml_alias_bomb_is_refused_quickly():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    with pytest.raises(FileError, match="unfolds to more than 100000 values"):
        safe.load_yaml("\n".join(lines))


def test_yaml_merge_bomb_is_refused():
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    with pytest.raises(FileError, match="unfolds to more than 100000 values"):
        safe.load_yaml("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]\n", "alias \\*a refers to itself"),
        ("a: *b\n", "alias \\*b refers to itself or nothing"),
        ("[" * 10_000, "50 levels"),
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' stands twice"),
        ("a: [1\n", "line 2: while parsing a flow sequence, expected"),
        ("a: 2020-99-99\n", "not valid YAML: month must be in 1..12"),
        ("\x00\n", "not valid YAML: .*special characters"),
        ("? [a]\n: 1\n", "unhashable"),
        ("--- a\n--- b\n", "expected a single document"),
    ],
)
def test_yaml_that_cannot_be_meant_is_one_error(text, message):
    with pytest.raises(FileError, match=message):
        safe.load_yaml(text)


def test_yaml_beyond_the_cap_is_refused(tmp_path):
    (tmp_path / "a.yml").write_text("a: " + "x" * 2000)
    with pytest.raises(FileError, match=r"'a\.yml' has more than the 1000 bytes"):
        safe.load_yaml(tmp_path / "a.yml", max_bytes=1000)
    with pytest.raises(FileError, match="YAML text has"):
        safe.load_yaml("a: " + "x" * 2000, max_bytes=1000)


def test_random_bytes_as_yaml_are_ok_or_one_error():
    rng = np.random.default_rng(5)
    seed = b"a: &x [1, 2.5, {b: c}]\n? d\n: *x\ne: |\n  text\nf: !!int '3'\n"
    outcomes = {"ok": 0, "refused": 0}
    for _ in range(300):
        data = bytearray(seed)
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(len(data))] = rng.integers(256)
        try:
            safe.load_yaml(data.decode("latin-1") + "\n")
            outcomes["ok"] += 1
        except FileError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20
