"""Find a Python 3.10 that runs. lava-nc 0.10.0 supports no other version.

Order: NEUROPRIVACY_LAVA_PYTHON, every `python3.10` on the PATH, pyenv's versions, what uv knows. Each candidate is
executed: a pyenv shim on the PATH is often dead. If none is found uv may download one, unless that is switched off.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from neuroprivacy.core.errors import BackendUnavailable

VARIABLE = "NEUROPRIVACY_LAVA_PYTHON"
_PROBE = "import sys; print(sys.implementation.name, *sys.version_info[:2], sys.executable)"
REMEDIES = (
    f"install Python 3.10 (for example with pyenv), or point {VARIABLE} to one, "
    "or let uv download one (needs the network): uv python install 3.10"
)


def probe(candidate: str | Path) -> Path | None:
    """The real path of a CPython 3.10 behind `candidate`, or None if it is none or does not run."""
    try:
        done = subprocess.run(
            [str(candidate), "-I", "-c", _PROBE],
            capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.strip().split(maxsplit=3)
    if done.returncode != 0 or words[:3] != ["cpython", "3", "10"]:
        return None
    return Path(words[3])


def candidates() -> Iterator[Path]:
    """Candidate paths of a Python 3.10, best first. Nothing is executed."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder) / "python3.10"
        if folder and path.exists():
            yield path
    roots = [os.environ.get("PYENV_ROOT", ""), str(Path("~/.pyenv").expanduser())]
    for root in dict.fromkeys(root for root in roots if root):
        found = Path(root).glob("versions/3.10*/bin/python3.10")
        yield from sorted(found, key=lambda path: _patch(path.parts[-3]), reverse=True)


def _patch(version: str) -> tuple[int, str]:
    """Sort key of pyenv's folders: 3.10.13 is newer than 3.10.9; "3.10-dev" comes last."""
    last = version.rpartition(".")[2]
    return (int(last), version) if last.isdecimal() else (-1, version)


def uv_program() -> str:
    """The uv that came with this installation.

    Raises:
        BackendUnavailable: there is none.
    """
    import uv

    try:
        return str(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise BackendUnavailable("lava: the program uv is missing; install it with: pip install uv") from error


def find_python() -> Path | None:
    """A CPython 3.10 that runs, or None.

    Raises:
        BackendUnavailable: NEUROPRIVACY_LAVA_PYTHON is set and is no Python 3.10.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        found = probe(chosen)
        if found is None:
            raise BackendUnavailable(f"lava: {VARIABLE} ({chosen}) is no Python 3.10 that runs; {REMEDIES}")
        return found
    for candidate in candidates():
        found = probe(candidate)
        if found is not None:
            return found
    known = subprocess.run(
        [uv_program(), "python", "find", "--no-project", "--no-python-downloads", "--system", "3.10"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return probe(known.stdout.strip()) if known.returncode == 0 and known.stdout.strip() else None
