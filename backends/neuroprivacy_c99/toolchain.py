"""Finds compilers, and compiles the emitted file."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from neuroprivacy.core.errors import BackendUnavailable, WorkerFailed

#: Flags under which deployed code must compile without warnings.
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion")
_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A C compiler that was found and starts.

    Attributes:
        command: words that call it.
        version: its first line of --version.
    """

    command: tuple[str, ...]
    version: str


def find_compiler(*names: str) -> Compiler | None:
    """The first of these commands that runs."""
    for name in names:
        words = tuple(shlex.split(name))
        if not words or shutil.which(words[0]) is None:
            continue
        try:
            done = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0 and done.stdout:
            return Compiler(command=words, version=done.stdout.splitlines()[0].strip())
    return None


@cache
def _host(chosen: str) -> Compiler | None:
    return find_compiler(*([chosen] if chosen else ["cc", "gcc", "clang"]))


def host_compiler() -> Compiler:
    """$CC, or the first of cc, gcc and clang that runs.

    Raises:
        BackendUnavailable: there is none.
    """
    chosen = os.environ.get("CC", "")
    found = _host(chosen)
    if found is None:
        tried = f"CC={chosen}" if chosen else "cc, gcc, clang"
        raise BackendUnavailable(
            f"c99: no C compiler runs here (tried {tried}); install gcc or clang, or set CC; the exported folder can "
            "be compiled elsewhere"
        )
    return found


def alone(compiler: Compiler) -> tuple[str, ...]:
    """Flags that keep an object free of library calls: otherwise loops that clear memory become calls of memset."""
    loops = "-fno-builtin" if "clang" in compiler.version else "-fno-tree-loop-distribute-patterns"
    return ("-ffreestanding", loops)


def compile_c(compiler: Compiler, arguments: list[str]) -> None:
    """Compile C sources.

    Raises:
        WorkerFailed: it does not end well, with what it said, or not in time.
    """
    try:
        done = subprocess.run(
            [*compiler.command, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerFailed(f"c99: {compiler.command[0]} did not end within {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise WorkerFailed(f"c99: {compiler.command[0]} failed: {done.stderr.strip()[:2000]}")


def shared_library(compiler: Compiler, source: Path, target: Path) -> None:
    """Compile a source into a shared library, atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    level = os.environ.get("NEUROPRIVACY_C99_OPT", "-O2")
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix=".so", dir=target.parent)
    os.close(handle)
    try:
        compile_c(compiler, ["-std=c99", level, "-fPIC", "-shared", "-o", name, str(source)])
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
