"""The emitted C itself: two strict compilers, sanitizers, no library, and the memory that its table states."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from trained import NETWORKS, trained_program

from neuroprivacy.program import Program
from neuroprivacy.testing import hand_made_cases, random_case
from neuroprivacy_c99 import C99Backend
from neuroprivacy_c99.export import export
from neuroprivacy_c99.network import emit

pytestmark = pytest.mark.only("c-host")
COMPILERS = ("gcc", "clang")
#: gcc makes calls of loops that clear; without this flag the object needs nothing at all.
ALONE = {"gcc": "-O2 -fno-tree-loop-distribute-patterns", "clang": "-O2 -fno-builtin"}


def programs() -> list[tuple[str, Program]]:
    """Hand-made cases, and random Programs of every arithmetic."""
    found = [(case.name, case.program) for case in hand_made_cases()]
    for seed in range(9):
        target = ("loihi2", "loihi2-soft", "int8")[seed % 3]
        found.append((f"random-{seed}-{target}", random_case(seed, target=target, steps=8).program))
    return [(name, program) for name, program in found if not C99Backend().check(program)]


def make(folder: Path, compiler: str, goal: str, **variables: str) -> str:
    if shutil.which(compiler) is None:
        pytest.skip(f"not run: {compiler} is not here")
    given = [f"{name}={value}" for name, value in {"CC": compiler, **variables}.items()]
    done = subprocess.run(["make", "-B", "-s", "-C", str(folder), *given, goal], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("name", "program"), programs(), ids=lambda value: value if isinstance(value, str) else "")
def test_strict_and_sanitized(compiler: str, name: str, program: Program, tmp_path: Path) -> None:
    export(program, tmp_path)
    make(tmp_path, compiler, "network.o", CFLAGS=ALONE[compiler])
    needed = subprocess.run(["nm", "-u", str(tmp_path / "network.o")], capture_output=True, text=True, check=True)
    assert needed.stdout.split() == []
    said = make(tmp_path, compiler, "sanitize")
    assert re.fullmatch(r"\d+ samples of \d+ steps: 0 values differ\n", said), said


@pytest.mark.parametrize("name", NETWORKS)
def test_the_memory_that_is_stated(name: str, tmp_path: Path) -> None:
    """Sections of the object: constants and states, and nothing else but code and alignment."""
    program = trained_program(name)
    emitted = emit(program)
    export(program, tmp_path)
    make(tmp_path, "gcc", "network.o", CFLAGS="-O2 -fstack-usage")
    listed = subprocess.run(
        ["size", "-A", "-d", str(tmp_path / "network.o")], capture_output=True, text=True, check=True
    )
    sections = {line.split()[0]: int(line.split()[1]) for line in listed.stdout.splitlines() if line.startswith(".")}
    flash, ram = (sum(size for _, size in table) for table in (emitted.flash, emitted.ram))
    # Compilers align arrays, and take small constants into the code.
    assert abs(sections[".rodata"] - flash) <= 64 * (len(emitted.flash) + 1)
    assert ram <= sections[".bss"] <= ram + 64 * (len(emitted.ram) + 2)
    assert sections.get(".data", 0) == 0
    usage = (tmp_path / "network.su").read_text().splitlines()
    assert all(line.endswith("\tstatic") for line in usage), "the stack is bounded"
    assert sum(int(line.split("\t")[1]) for line in usage) < 1024
