"""Files are old or new, never half; archives hold arrays and nothing else."""

import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroprivacy.core import storage
from neuroprivacy.core.errors import BadFile
from neuroprivacy.core.storage import (
    digest,
    file_digest,
    pack_arrays,
    read_arrays,
    read_json,
    sweep_temporaries,
    write_arrays,
    write_bytes,
    write_json,
    write_text,
)

ARRAYS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9.]{0,8}", fullmatch=True).filter(lambda name: name != "file"),
    hnp.arrays(st.sampled_from([np.int64, np.uint8, np.float64]), hnp.array_shapes(min_side=0)),
    max_size=4,
)


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file(
    step: str, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.json"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(failure)):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["net.json"]


def test_a_write_makes_its_folder_and_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "net.bin"
    write_bytes(path, b"\x00\xff")
    write_bytes(path, b"\x01")
    assert path.read_bytes() == b"\x01"
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_interrupted_writes_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".partial-abc").write_text("half")
    (tmp_path / "kept").write_text("whole")
    assert sweep_temporaries(tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert sweep_temporaries(tmp_path / "missing") == 0


def test_json_is_written_in_one_way(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [2, None]})
    write_json(tmp_path / "b.json", {"a": [2, None], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"a": [2, None], "b": 1}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "is not valid JSON"),
        (b"\xff{}", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[1]", "holds a list where an object is expected"),
        (b"", "is not valid JSON"),
    ],
)
def test_json_that_is_none_is_refused(payload: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(payload)
    with pytest.raises(BadFile, match=reason):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("read", [read_json, read_arrays])
def test_a_missing_file_is_named(read: object, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"gone: cannot be read \(No such file or directory\)"):
        read(tmp_path / "gone")  # type: ignore[operator]


@pytest.mark.slow
@given(ARRAYS)
def test_arrays_come_back_as_they_were(arrays: dict[str, np.ndarray]) -> None:
    packed = pack_arrays(arrays)
    assert packed == pack_arrays(dict(reversed(arrays.items())))
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"neuroprivacy-test-{os.getpid()}.npz"
    try:
        write_bytes(path, packed)
        found = read_arrays(path)
    finally:
        path.unlink(missing_ok=True)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == np.ascontiguousarray(array).tobytes()


def test_headers_are_those_of_every_python_and_numpy_reads_them(tmp_path: Path) -> None:
    """Python 3.11.2 and 3.11.7 differ where a file could be large; ours never says so, unless it is."""
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([7])}
    packed = pack_arrays(arrays)
    (tmp_path / "a.npz").write_bytes(packed)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        for entry in archive.infolist():
            assert (entry.extract_version, entry.create_version, entry.extra) == (20, 20, b"")
            assert packed[entry.header_offset :][:6] == b"PK\x03\x04\x14\x00"
    with np.load(tmp_path / "a.npz") as found:
        assert set(found) == set(arrays)
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_objects_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="array 'a' holds objects; only numbers and text are written"):
        write_arrays(tmp_path / "a.npz", {"a": np.array([object()])})
    assert list(tmp_path.iterdir()) == []


def test_objects_are_not_read(tmp_path: Path) -> None:
    """A pickle in an archive would run code when it is loaded: it is not loaded."""

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (Path.write_text, (tmp_path / "sprung", "x"))  # type: ignore[return-value]

    np.savez(tmp_path / "a.npz", a=np.array([Trap()], object))
    with pytest.raises(BadFile, match="is not a readable npz archive"):
        read_arrays(tmp_path / "a.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_bare_pickle_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"\x80\x04N.")
    with pytest.raises(BadFile, match="is not a readable npz archive"):
        read_arrays(tmp_path / "a.npz")


def test_more_than_the_limit_is_refused_unread(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"a": np.zeros(10**6, np.uint8)})
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(BadFile, match=r"declares 1000128 bytes of arrays, the limit is 1000000"):
        read_arrays(tmp_path / "a.npz", limit_bytes=10**6)
    assert read_arrays(tmp_path / "a.npz", limit_bytes=1_000_128)["a"].size == 10**6


def test_a_header_that_claims_more_than_the_file_holds(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", stream.getvalue())
    with pytest.raises(BadFile, match="is not a readable npz archive"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.slow
def test_one_damaged_byte_never_gives_other_arrays(tmp_path: Path) -> None:
    arrays = {"a": np.arange(20), "b": np.array([[3]], np.int8)}
    path, packed = tmp_path / "a.npz", pack_arrays(arrays)
    for position in range(len(packed)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(packed)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                found = read_arrays(path)
            except BadFile:
                continue
            # An entry may get lost (its neighbour's comment swallows it); what is there is what was written.
            assert found.keys() <= arrays.keys(), position
            assert all(found[name].tolist() == arrays[name].tolist() for name in found), position


@pytest.mark.slow
@pytest.mark.parametrize("length", range(0, 500, 7))
def test_a_cut_archive_is_refused(length: int, tmp_path: Path) -> None:
    packed = pack_arrays({"a": np.arange(20), "b": np.arange(5)})
    (tmp_path / "a.npz").write_bytes(packed[: min(length, len(packed) - 1)])
    with pytest.raises(BadFile):
        read_arrays(tmp_path / "a.npz")


def test_an_entry_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", b"not an array")
    with pytest.raises(BadFile, match="is not a readable npz archive"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("read", [read_json, read_arrays, file_digest])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "it is no regular file"),
        (os.mkdir, "Is a directory"),
        (lambda path: path.symlink_to(os.devnull), "it is no regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_is_not_waited_for(read: object, make: object, reason: str, tmp_path: Path) -> None:
    make(tmp_path / "a")  # type: ignore[operator]
    with pytest.raises(BadFile, match=rf"a: cannot be read \({reason}\)"):
        read(tmp_path / "a")  # type: ignore[operator]
    with pytest.raises(BadFile, match="cannot be read"):
        read(Path("a\0b"))  # type: ignore[operator]


def test_large_json_and_long_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text('{"a": ' + "1" * 5000 + "}")
    with pytest.raises(BadFile, match="is not valid JSON"):
        read_json(tmp_path / "a.json")
    monkeypatch.setattr(storage, "MAX_JSON_BYTES", 5000)
    with pytest.raises(BadFile, match="has 5007 bytes, the limit is 5000"):
        read_json(tmp_path / "a.json")


def npy(
    shape: tuple[int, ...], descr: object = "<i8", content: bytes = b"", version: tuple[int, int] = (1, 0)
) -> bytes:
    stream = io.BytesIO()
    write = np.lib.format.write_array_header_1_0 if version == (1, 0) else np.lib.format.write_array_header_2_0
    write(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def archive_of(path: Path, *entries: tuple[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in entries:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile warns of two entries of one name
                archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([("a.npy", npy((10**12,)))], r"a\.npy declares \(1000000000000,\) of int64 and holds 0 bytes"),
        ([("a.npy", npy((2**62, 4), "<i8"))], "declares"),
        ([("a.npy", npy((-2,), "<i8", bytes(16)))], "declares|invalid"),
        ([("a.npy", npy((-1, -2), "<i8", bytes(16)))], "declares|invalid"),
        ([("a.npy", npy((2,), "<i8", bytes(15)))], "holds 15 bytes"),
        ([("a.npy", npy((2,), "<i8", bytes(17)))], "holds 17 bytes"),
        ([("a.npy", npy((2,), "|O", bytes(16)))], "holds objects, which are not loaded"),
        ([("a.npy", npy((1,), [("x", "|O")], bytes(8)))], "holds objects, which are not loaded"),
        ([("a.npy", b"\x93NUMPY\x03\x00" + npy((0,))[8:])], r"has the npy version \(3, 0\)"),
        ([("a.npy", b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000)], "EOF|header"),
        ([("a.npy", b"\x93NUMPY\x01\x00" + (60000).to_bytes(2, "little") + b" " * 60000)], "large"),
        ([("a.npy", npy((0,))), ("a.npy", npy((0,)))], "two of one name"),
        ([("a", npy((0,)))], "a is no array"),
        ([("a.npy", npy((0,))), ("../b.txt", b"x")], r"b\.txt is no array"),
    ],
)
def test_archives_made_by_hand(entries: list[tuple[str, bytes]], reason: str, tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.npz", *entries)
    with pytest.raises(BadFile, match=f"is not a readable npz archive .*{reason}") as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_other_packings_are_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.npz", ("a.npy", npy((2,), "<i8", bytes(16))), packing=zipfile.ZIP_LZMA)
    with pytest.raises(BadFile, match="is packed in a way that npz files are not"):
        read_arrays(path)
    path = archive_of(tmp_path / "a.npz", ("a.npy", npy((2,), "<i8", bytes(16), (2, 0))), packing=zipfile.ZIP_STORED)
    assert read_arrays(path)["a"].tolist() == [0, 0]


@pytest.mark.slow
def test_a_bomb_is_bounded_by_the_size_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_arrays(tmp_path / "a.npz", {"a": np.zeros(10**7, np.uint8)})
    size = (tmp_path / "a.npz").stat().st_size
    monkeypatch.setattr(storage, "FREE_ARCHIVE_BYTES", 10**6)
    with pytest.raises(BadFile, match=f"declares 10000128 bytes of arrays, the limit is {10**6 + 200 * size}"):
        read_arrays(tmp_path / "a.npz")
    write_arrays(tmp_path / "a.npz", {"a": np.random.default_rng(0).integers(0, 255, 10**7).astype(np.uint8)})
    assert read_arrays(tmp_path / "a.npz")["a"].size == 10**7


def test_an_entry_that_unpacks_to_more_than_it_declares(tmp_path: Path) -> None:
    """The packed bytes give 1,000,144 bytes, the directory says 144: no more than it says is unpacked."""
    path = archive_of(tmp_path / "a.npz", ("a.npy", npy((2,), "<i8", bytes(16) + bytes(10**6))))
    content = path.read_bytes()
    true, false = (144 + 10**6).to_bytes(4, "little"), (144).to_bytes(4, "little")
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, false))
    with pytest.raises(BadFile, match="is not a readable npz archive"):
        read_arrays(path)


@pytest.mark.slow
@given(st.data())
def test_damaged_headers_with_a_right_checksum(data: st.DataObject) -> None:
    """What a hostile file can say: numpy's parser of headers sees it, and whatever it raises is a BadFile."""
    content = bytearray(npy((2, 3), "<i8", bytes(48)))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255) | st.sampled_from(b"()[]{}'\",\\\n0L-"))
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"neuroprivacy-test-{os.getpid()}-header.npz"
    try:
        found = read_arrays(archive_of(path, ("a.npy", bytes(content))))
    except BadFile as error:
        assert "is not a readable npz archive" in str(error)  # noqa: PT017 (both ends are good)
    else:
        assert not found["a"].dtype.hasobject
        assert found["a"].nbytes <= 1000
    finally:
        path.unlink(missing_ok=True)


def test_digests_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(b"abc") == file_digest(tmp_path / "a") == expected


def test_the_limit_is_16_gib() -> None:
    assert storage.MAX_ARCHIVE_BYTES == 16 * 1024**3
