"""The emitted C itself: two strict compilers, sanitizers, and no library."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from neuroprivacy.program import Program
from neuroprivacy.testing import hand_made_cases, random_case
from neuroprivacy_c99 import C99Backend
from neuroprivacy_c99.export import export
from neuroprivacy_c99.object_file import read_object

pytestmark = pytest.mark.only("c-host")
COMPILERS = ("gcc", "clang")


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
    make(tmp_path, compiler, "network.o")
    assert read_object(tmp_path / "network.o").missing == ()
    said = make(tmp_path, compiler, "sanitize")
    assert re.fullmatch(r"\d+ samples of \d+ steps: 0 values differ\n", said), said
