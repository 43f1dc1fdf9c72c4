"""One virtual environment per peer, made once and kept: `python environments.py PEER` makes it and prints its Python.

It lies under $NEUROPRIVACY_CACHE, else ~/.cache/neuroprivacy, in interop/<peer>-<hash of its pins>; another pin is
another folder. A half-made one bears no mark and is made anew. On Linux, pip may choose torch with CUDA, several
gigabytes per peer; a pip that is configured for torch's CPU wheels makes each about one gigabyte.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CACHE_VARIABLE = "NEUROPRIVACY_CACHE"
HERE = Path(__file__).parent
PEERS: dict[str, dict[str, Any]] = tomllib.loads((HERE / "environments.toml").read_text())
_MARK = "complete"
_TIMEOUT_S = 1800


class EnvironmentMissing(Exception):
    """The peer cannot be run here, and why."""


def prepare(peer: str) -> Path:
    """The Python of a peer's environment, made if need be.

    Raises:
        EnvironmentMissing: the peer cannot be had, there is no such Python, or pip fails.
    """
    wanted = PEERS[peer]
    if "missing" in wanted:
        raise EnvironmentMissing(wanted["missing"])
    return make(peer, wanted)


def make(name: str, wanted: Mapping[str, Any]) -> Path:
    """The Python of an environment with these pins, made if need be: `python`, `requirements`, `alone`.

    Raises:
        EnvironmentMissing: there is no such Python, or pip fails.
    """
    folder = folder_of(name, wanted)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / _MARK).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run([str(find_python(wanted["python"])), "-m", "venv", str(folder)])
        for options, names in (([], wanted["requirements"]), (["--no-deps"], wanted["alone"])):
            if names:
                _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options, *names])
        (folder / _MARK).touch()
    return python


def folder_of(name: str, wanted: Mapping[str, Any]) -> Path:
    """Where an environment with these pins lies."""
    pins = {key: wanted[key] for key in ("python", "requirements", "alone")}
    digest = hashlib.sha256(json.dumps(pins, sort_keys=True).encode()).hexdigest()[:12]
    cache = os.environ.get(CACHE_VARIABLE)
    return (Path(cache) if cache else Path("~/.cache/neuroprivacy").expanduser()) / "interop" / f"{name}-{digest}"


def find_python(version: str) -> Path:
    """A CPython of this version that really runs: this one, one on the PATH, or one of pyenv's."""
    for candidate in _candidates(version):
        probe = [str(candidate), "-I", "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
        try:
            done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    raise EnvironmentMissing(f"there is no Python {version} here")


def _candidates(version: str) -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield Path(folder) / f"python{version}"
    for root in (os.environ.get("PYENV_ROOT"), "~/.pyenv"):
        if root:
            yield from sorted(Path(root).expanduser().glob(f"versions/{version}.*/bin/python{version}"))


def clean_environment() -> dict[str, str]:
    """What a peer's process inherits: nothing of this Python; one thread; the same order of sets in every run."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"}


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentMissing(f"{' '.join(command[1:4])} took more than {_TIMEOUT_S} s") from error
    if done.returncode:
        raise EnvironmentMissing(f"{' '.join(command[1:4])} failed: {done.stderr.strip()[-400:]}")


if __name__ == "__main__":
    for name in sys.argv[1:] or sys.exit(__doc__):
        print(name, prepare(name))
