"""Downloads against mirrors that live in a dict: pooch's own checksum logic runs, the network does not."""

import hashlib
import io
import tarfile
from pathlib import Path

import pooch
import pytest
import requests

from neuroprivacy.core.errors import BadFile, DataNotFound
from neuroprivacy.data import load_dataset, remotes
from neuroprivacy.data.download import download_files, fetch, unpack_members
from neuroprivacy.data.remotes import REMOTES, RemoteFile

GOOD = b"the real file"


class Web(dict[str, bytes]):
    """address -> content; records what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def fetch(self, url: str, output: str) -> None:
        self.asked.append(url)
        if url not in self:
            raise requests.exceptions.ConnectionError(f"no route to {url}")
        Path(output).write_bytes(self[url])


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    web = Web()
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **options: lambda url, output, _: web.fetch(url, output))
    return web


def remote(name: str = "file.bin", content: bytes = GOOD, **more: object) -> RemoteFile:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return RemoteFile(name=name, md5=md5, mirrors=("https://a.test/", "https://b.test/"), **more)  # type: ignore[arg-type]


def tar_bytes(*members: tuple[str, bytes | str]) -> bytes:
    """A tar.gz; a text as content makes a symbolic link to it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def test_the_second_mirror_steps_in_for_a_dead_first(web: Web, tmp_path: Path) -> None:
    web["https://b.test/file.bin"] = GOOD
    assert fetch(remote(), folder=tmp_path / "new").read_bytes() == GOOD
    assert web.asked == ["https://a.test/file.bin", "https://b.test/file.bin"]


def test_a_mirror_with_another_file_is_passed_over(web: Web, tmp_path: Path) -> None:
    web.update({"https://a.test/file.bin": b"forged", "https://b.test/file.bin": GOOD})
    assert fetch(remote(), folder=tmp_path).read_bytes() == GOOD


def test_a_good_file_is_not_fetched_again_and_a_bad_one_is(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(GOOD)
    fetch(remote(), folder=tmp_path)
    assert web.asked == []
    web["https://a.test/file.bin"] = GOOD
    (tmp_path / "file.bin").write_bytes(b"cut of")
    assert fetch(remote(), folder=tmp_path).read_bytes() == GOOD


def test_when_every_mirror_fails_each_reason_is_told_and_nothing_is_left(web: Web, tmp_path: Path) -> None:
    web["https://b.test/file.bin"] = b"forged"
    with pytest.raises(DataNotFound) as caught:
        fetch(remote(), folder=tmp_path)
    text = str(caught.value)
    assert text.startswith("file.bin: could not be downloaded from https://a.test/file.bin (no route to")
    assert "https://b.test/file.bin (" in text
    assert "does not match the known hash" in text
    assert text.endswith(f"; copy it to {tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_unpacked_and_removed(web: Web, tmp_path: Path) -> None:
    packed = tar_bytes(("inner/x.bin", b"x"), ("inner/readme", b"no"), ("../evil", b"evil"))
    web["https://a.test/set.tar.gz"] = packed
    wanted = remote("set.tar.gz", packed, members=("x.bin",), member_folder="inner")
    download_files([wanted], folder=tmp_path / "root" / "inner")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x.bin"]


@pytest.mark.parametrize(
    ("archive", "text"),
    [
        (tar_bytes(("inner/y.bin", b"y")), "does not hold inner/x.bin"),
        (tar_bytes(("inner/x.bin", "/etc/passwd")), "holds inner/x.bin as something other than a plain file"),
        (tar_bytes(("inner/x.bin", bytes(11))), "declares 11 bytes for inner/x.bin, the limit is 10"),
        (tar_bytes(("inner/x.bin", bytes(5)))[:40], "is not a readable tar archive"),
        (b"nonsense", "is not a readable tar archive"),
        (b"", "is not a readable tar archive"),
    ],
)
def test_archives_that_cannot_be_used(tmp_path: Path, archive: bytes, text: str) -> None:
    path = tmp_path / "set.tar.gz"
    path.write_bytes(archive)
    with pytest.raises(BadFile, match=text):
        unpack_members(path, members=["x.bin"], member_folder="inner", folder=tmp_path / "out", limit_bytes=10)
    assert not (tmp_path / "out").exists()


def test_download_fills_the_first_root(web: Web, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = {path.name: path.read_bytes() for path in (root / "mnist").iterdir()}
    files = tuple(remote(name, content) for name, content in published.items())
    monkeypatch.setattr(remotes, "REMOTES", {"mnist": files})
    web.update({f"https://a.test/{name}": content for name, content in published.items()})
    with pytest.raises(DataNotFound, match="--download"):
        load_dataset("mnist", data_root=tmp_path / "new")
    fetched = load_dataset("mnist", data_root=tmp_path / "new", download=True)
    assert fetched.digest() == load_dataset("mnist", data_root=root).digest()
    assert {path.name for path in (tmp_path / "new" / "mnist").iterdir()} == set(published)
    asked = len(web.asked)
    load_dataset("mnist", data_root=tmp_path / "new", download=True)
    assert len(web.asked) == asked


def test_the_table_is_complete() -> None:
    assert set(REMOTES) == {"mnist", "fashion-mnist", "cifar-10", "cifar-100"}
    for files in REMOTES.values():
        for file in files:
            assert len(bytes.fromhex(file.md5)) == 16
            assert len(file.mirrors) >= 2
            assert all(mirror.endswith("/") for mirror in file.mirrors)
    assert len({file.md5 for files in REMOTES.values() for file in files}) == 10
