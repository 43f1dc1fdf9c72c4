"""Fetching data sets: mirrors one after the other, checksums always, archives opened by name.

A file appears under its final name only when it is whole and its checksum fits (pooch does that for
downloads, `storage.write_bytes` for members of archives). No path of an archive is ever used: members are
looked up by the names that we want, must be plain files, and are written under our own names, so no archive
can write outside its folder.
"""

from __future__ import annotations

import logging
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from neuroprivacy.core import storage
from neuroprivacy.core.errors import BadFile, DataNotFound
from neuroprivacy.data.binary import MAX_FILE_BYTES
from neuroprivacy.data.remotes import RemoteFile

#: Wait this long for a mirror to answer before the next one is asked; chosen.
TIMEOUT_S = 30
_log = logging.getLogger(__name__)


def download_files(remotes: Sequence[RemoteFile], *, folder: Path) -> None:
    """Bring every file of `remotes` into `folder`; what is there with the right checksum stays.

    Raises:
        DataNotFound: no mirror gives a file with the right checksum, or `folder` cannot be written to.
        BadFile: an archive lacks a member that it must have.
    """
    for remote in remotes:
        path = fetch(remote, folder=folder)
        if remote.members:
            try:
                unpack_members(path, members=remote.members, member_folder=remote.member_folder, folder=folder)
            except OSError as error:
                raise DataNotFound(f"{folder}: cannot be written ({error.strerror or error})") from error
            path.unlink(missing_ok=True)


def fetch(remote: RemoteFile, *, folder: Path) -> Path:
    """Download one file from the first mirror that has it.

    Returns:
        Its path in `folder`; the checksum fits.

    Raises:
        DataNotFound: every mirror failed; says why for each.
    """
    import pooch

    # pooch writes to standard error on its own; what there is to say goes through our logger.
    pooch.get_logger().setLevel(logging.WARNING)
    failures = []
    for mirror in remote.mirrors:
        url = mirror + remote.name
        _log.info("downloading %s", url)
        try:
            path = pooch.retrieve(
                url,
                known_hash=f"md5:{remote.md5}",
                fname=remote.name,
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
            )
        except (OSError, ValueError) as error:
            failures.append(f"{url} ({_first_line(error)})")
        else:
            return Path(path)
    raise DataNotFound(f"{remote.name}: could not be downloaded from {', '.join(failures)}; copy it to {folder}")


def unpack_members(
    archive: Path,
    *,
    members: Sequence[str],
    member_folder: str,
    folder: Path,
    limit_bytes: int = MAX_FILE_BYTES,
) -> None:
    """Take `members` out of a tar archive and write them to `folder`, whole or not at all.

    Args:
        archive: tar, compressed or not.
        members: file names, looked up as `member_folder/name`.
        member_folder: the folder inside the archive.
        folder: where they are written; made where it is missing.
        limit_bytes: size that one member may declare.

    Raises:
        BadFile: the archive is damaged, or a member is missing, not a plain file, or larger than
            `limit_bytes`.
    """
    wanted = {name: f"{member_folder}/{name}" for name in members}
    for name, payload in _read_members(archive, wanted=wanted, limit_bytes=limit_bytes):
        storage.write_bytes(folder / name, payload)


def _read_members(archive: Path, *, wanted: Mapping[str, str], limit_bytes: int) -> Iterator[tuple[str, bytes]]:
    """The content of each member of `wanted` (our name: its name), one at a time."""
    member = ""
    try:
        with tarfile.open(archive) as opened:
            for name, member in wanted.items():
                found = opened.getmember(member)
                if found.size > limit_bytes:
                    reason = f"declares {found.size} bytes for {member}, the limit is {limit_bytes}"
                    raise BadFile(archive, reason)
                stream = opened.extractfile(found) if found.isreg() else None
                if stream is None:
                    raise BadFile(archive, f"holds {member} as something other than a plain file")
                yield name, stream.read()
    except KeyError as error:
        raise BadFile(archive, f"does not hold {member}") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise BadFile(archive, f"is not a readable tar archive ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
