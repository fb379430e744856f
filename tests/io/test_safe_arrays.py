"""numpy and safetensors files: what hostile headers try, and what must still load."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from neuro.errors import DataError, DataUnavailableError, FileError
from neuro.io import safe


def refused(call, path, *parts):
    with pytest.raises(FileError) as caught:
        call(path)
    text = str(caught.value)
    assert f"'{path.name}'" in text
    assert str(path.parent) not in text
    for part in parts:
        assert part in text


def npy(header, data=b"", version=1):
    text = header if isinstance(header, bytes) else repr(header).encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def fields(shape, descr="<f4"):
    return {"descr": descr, "fortran_order": False, "shape": shape}


# ----------------------------------------------------------------------- npy


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        dtype=st.one_of(
            arrays.integer_dtypes(), arrays.floating_dtypes(), arrays.unicode_string_dtypes()
        ),
        shape=arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_npy_and_npz_round_trips_are_exact(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("round")
    safe.save_npy(folder / "a.npy", array)
    safe.save_npz(folder / "a.npz", {"x": array}, compress=True)
    for back in (safe.load_npy(folder / "a.npy"), safe.load_npz(folder / "a.npz")["x"]):
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert back.tobytes() == array.tobytes()


def test_npy_of_the_third_version_with_named_fields_loads(tmp_path):
    array = np.zeros(3, [("größe", "f8"), ("名", "i4")])  # beyond latin-1
    with pytest.warns(UserWarning, match="format 3.0"):
        np.save(tmp_path / "a.npy", array)
    assert safe.load_npy(tmp_path / "a.npy").dtype.names == ("größe", "名")


def test_npy_memory_map_is_read_only_and_lazy(tmp_path):
    safe.save_npy(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    mapped = safe.load_npy(tmp_path / "a.npy", mmap=True)
    assert isinstance(mapped, np.memmap)
    assert mapped[1, 2] == 5.0
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0] = 1


def test_npy_with_objects_is_refused_without_unpickling(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    refused(safe.load_npy, tmp_path / "a.npy", "Python objects (dtype object)", "never loaded")
    refused(lambda p: safe.load_npy(p, mmap=True), tmp_path / "a.npy", "Python objects")
    assert not (tmp_path / "sprung").exists()


def test_npy_with_an_object_inside_a_field_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(fields((1,), [("a", "<f4"), ("b", "|O")]), bytes(12)))
    refused(safe.load_npy, path, "Python objects")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1 << 40,), "claims 4 TiB; the limit is 64 GiB"),
        ((10**200, 10**200), "more than 2^80 bytes"),
        ((1 << 30,), "claims an array of 4 GiB but holds 8 bytes"),
        ((3,), "claims an array of 12 bytes but holds 8 bytes"),
        ((0, 1 << 62, 1 << 62), "is not a readable npy file"),
        ((1,) * 9, "has 9 dimensions"),
    ],
)
def test_npy_that_claims_more_than_it_holds_is_refused(tmp_path, shape, message):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(fields(shape), bytes(8)))
    refused(safe.load_npy, path, message)


def test_npy_of_elements_without_width_cannot_be_endless(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(fields((1 << 45,), "|V0")))
    refused(safe.load_npy, path, "claims 32 TiB")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (1,)}",
        b"(" * 9000,
        b"-" * 9000 + b"1",
        b"{}",
        b"[1, 2]",
        b"\xff\xfe",
        fields((-1,)),
        fields((True,)),
        fields(3),
        fields((2.0,)),
        fields((1,), "nonsense"),
        fields((1,), [("a",)]),
        {**fields((1,)), "extra": 1},
    ],
)
def test_malformed_npy_headers_are_refused(tmp_path, header):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(header, bytes(8)))
    refused(safe.load_npy, path, "malformed npy header")


def test_npy_header_beyond_numpys_own_limit_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy(repr(fields((2,))).encode() + b" " * 20_000, bytes(8), version=2))
    refused(safe.load_npy, path, "has a header of 19.58 KiB")


@pytest.mark.parametrize("content", [b"", b"\x93NUM", b"PK\x03\x04....", b"\x93NUMPY\x09\x00\x00"])
def test_what_is_no_npy_is_refused(tmp_path, content):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    refused(safe.load_npy, path, "does not start like a npy file")


def test_mutated_npy_files_load_or_are_one_error(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 4), [("a", "<f4"), ("b", "<U2")]))
    counts = mutate(buffer.getvalue(), tmp_path / "a.npy", safe.load_npy, 400, head=150)
    assert min(counts) > 20


def mutate(seed, path, load, n, head=None):
    """How many of ``n`` seeded mutations load, and how many raise FileError."""
    rng = np.random.default_rng(7)
    ok = bad = 0
    for _ in range(n):
        data = bytearray(seed)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(head or len(data))] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.1 else data)
        try:
            load(path)
            ok += 1
        except FileError:
            bad += 1
    return ok, bad


def test_missing_npy_is_told(tmp_path):
    with pytest.raises(DataUnavailableError, match=r"'a\.npy' does not exist"):
        safe.load_npy(tmp_path / "a.npy")


# ----------------------------------------------------------------------- npz


def test_npz_reads_what_numpy_writes_and_numpy_what_we_write(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(3), y=np.eye(2))
    ours = safe.load_npz(tmp_path / "a.npz")
    assert list(ours) == ["x", "y"]
    safe.save_npz(tmp_path / "b.npz", ours)
    with np.load(tmp_path / "b.npz") as theirs:
        assert theirs["y"].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_npz_bytes_depend_on_the_arrays_alone(tmp_path):
    for name in ("a", "b"):
        safe.save_npz(tmp_path / name, {"x": np.arange(100)}, compress=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_npz_reads_only_the_arrays_asked_for(tmp_path):
    objects = np.array([{}], dtype=object)
    np.savez(tmp_path / "a.npz", x=np.arange(3), bad=objects)
    assert safe.load_npz(tmp_path / "a.npz", ["x"])["x"].tolist() == [0, 1, 2]
    refused(safe.load_npz, tmp_path / "a.npz", "array 'bad.npy' holds Python objects")
    refused(lambda p: safe.load_npz(p, ["z"]), tmp_path / "a.npz", "no array 'z'", "It holds 2")


def test_npz_bomb_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(100 << 20, "u1"))
    refused(safe.load_npz, tmp_path / "a.npz", "'x.npy' claims 100 MiB", "more than 200 to 1")


def test_npz_member_that_claims_more_than_it_holds_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy(fields((1 << 30,)), bytes(8)))
    refused(safe.load_npz, tmp_path / "a.npz", "'x.npy' claims 4 GiB but holds 8 bytes")


def test_npz_wrong_in_its_checksum_is_refused(tmp_path):
    safe.save_npz(tmp_path / "a.npz", {"x": np.arange(100)})
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[300] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    refused(safe.load_npz, tmp_path / "a.npz", "Bad CRC-32")


def test_mutated_npz_files_load_or_are_one_error(tmp_path):
    safe.save_npz(tmp_path / "s.npz", {"x": np.arange(30), "y": np.ones(3)}, compress=True)
    seed = (tmp_path / "s.npz").read_bytes()
    counts = mutate(seed, tmp_path / "a.npz", safe.load_npz, 400)
    assert min(counts) > 5  # most bytes are under a checksum


def test_objects_and_unusable_names_are_not_saved(tmp_path):
    with pytest.raises(DataError, match=r"'x' holds Python objects .*astype\(str\)"):
        safe.save_npz(tmp_path / "a.npz", {"x": [{}, "a"]})
    with pytest.raises(DataError, match="the array holds Python objects"):
        safe.save_npy(tmp_path / "a.npy", np.array([None]))
    with pytest.raises(DataError, match="not a plain relative path"):
        safe.save_npz(tmp_path / "a.npz", {"../x": [1]})
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------- safetensors

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn,
]  # fmt: skip


def tensors_file(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(shape=(2,), offsets=(0, 8), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_every_type_come_back_exactly(tmp_path, dtype):
    want = torch.arange(6).reshape(2, 3).to(dtype)
    tensors = {"w": want, "empty": torch.zeros(0, 4).to(dtype), "scalar": want[1, 2]}
    safe.write_tensors(tmp_path / "a", tensors, {"note": "µ"})
    back, metadata = safe.read_tensors(tmp_path / "a")
    assert metadata == {"note": "µ"}
    assert list(back["empty"].shape) == [0, 4]
    assert list(back["scalar"].shape) == []
    assert back["w"].dtype == dtype
    assert torch.equal(back["w"].view(torch.uint8), want.view(torch.uint8))


def test_tied_transposed_and_sliced_tensors_are_written_whole(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    safe.write_tensors(tmp_path / "a", {"a": base, "tied": base, "t": base.T, "row": base[1]})
    back, _ = safe.read_tensors(tmp_path / "a")
    assert torch.equal(back["tied"], base)
    assert torch.equal(back["t"], base.T)
    assert torch.equal(back["row"], base[1])
    assert (tmp_path / "a").stat().st_size < 8 + 400 + 4 * (12 + 12 + 12 + 4)


def test_loaded_tensors_do_not_change_with_the_file(tmp_path):
    safe.write_tensors(tmp_path / "a", {"w": torch.ones(100)})
    back, _ = safe.read_tensors(tmp_path / "a")
    size = (tmp_path / "a").stat().st_size
    (tmp_path / "a").write_bytes(bytes(size))
    back["w"] += 1  # writable too
    assert torch.equal(back["w"], torch.full((100,), 2.0))


def test_weights_written_by_the_library_itself_are_read(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "a")
    assert safe.read_tensors(tmp_path / "a")[1] == {}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"w": entry(shape=(1 << 40,))}, "does not fit its bytes 0:8"),
        ({"w": entry(offsets=(0, 4 << 40), shape=(1 << 40,))}, "claims 4 TiB of tensors but holds"),
        ({"w": entry(offsets=(8, 0), shape=(2,))}, "does not fit"),
        ({"w": entry(shape=(-2,), offsets=(0, -8))}, "does not fit"),
        ({"w": entry(shape=(True, 2))}, "does not fit"),
        ({"w": entry(dtype="F7")}, "malformed entry"),
        ({"w": entry(shape=(1,) * 8 + (2,))}, "has 9 dimensions"),
        ({"w": [1]}, "malformed entry"),
        ({"w": {**entry(), "shape": 2}}, "malformed entry"),
        ({"a": entry(), "b": entry()}, "overlap or leave a gap"),
        ({"w": entry(shape=(1,), offsets=(4, 8))}, "overlap or leave a gap at byte 4"),
        ({"w": entry(shape=(1,), offsets=(0, 4))}, "claims 4 bytes of tensors but holds 8 bytes"),
        ({"__metadata__": {"a": 1}, "w": entry()}, "metadata must be text"),
        ({"__metadata__": "x", "w": entry()}, "metadata must be text"),
        ([1, 2], "no table of tensors"),
        (b'{"w": {}, "w": {}}', "stands twice"),
        (b"[" * 100_000, "is not a readable safetensors file"),
        (b"\xff" * 10, "is not a readable safetensors file"),
    ],
)
def test_safetensors_header_that_does_not_fit_is_refused(tmp_path, header, message):
    path = tensors_file(tmp_path / "a.safetensors", header, bytes(8))
    refused(safe.read_tensors, path, message)


@pytest.mark.parametrize("length", [0, 1, 1000, 1 << 40, (1 << 64) - 1])
def test_safetensors_with_an_absurd_header_length_is_refused(tmp_path, length):
    path = tensors_file(tmp_path / "a", {"w": entry()}, bytes(8), length=length)
    refused(safe.read_tensors, path, "claims a header of")


@pytest.mark.parametrize("size", [0, 3, 8])
def test_safetensors_cut_short_is_refused(tmp_path, size):
    path = tmp_path / "a"
    path.write_bytes(b"\x10" + bytes(size))
    refused(safe.read_tensors, path, "claims a header of")


def test_mutated_safetensors_load_or_are_one_error(tmp_path):
    safe.write_tensors(tmp_path / "s", {"w": torch.ones(4), "b": torch.zeros(2, 3)}, {"k": "v"})
    seed = (tmp_path / "s").read_bytes()
    counts = mutate(seed, tmp_path / "a", safe.read_tensors, 400)
    assert min(counts) > 20


def test_what_safetensors_cannot_hold_is_refused_before_writing(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(DataError, match="'w' is no dense tensor"):
        safe.write_tensors(path, {"w": np.zeros(2)})
    with pytest.raises(DataError, match="'w' is no dense tensor"):
        safe.write_tensors(path, {"w": torch.eye(2).to_sparse()})
    with pytest.raises(DataError, match=r"metadata 'step'=3 is not text"):
        safe.write_tensors(path, {}, {"step": 3})
    with pytest.raises(DataError, match="a type the format lacks"):
        safe.write_tensors(path, {"w": torch.zeros(2, dtype=torch.complex128)})
    assert list(tmp_path.iterdir()) == []
