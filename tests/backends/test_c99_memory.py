"""Bytes on a processor: what the table states, and what the object file holds."""

import subprocess
import sys
from pathlib import Path

import pytest

from neuroprivacy.core.errors import BadFile
from neuroprivacy.testing import random_case
from neuroprivacy_c99 import memory
from neuroprivacy_c99.export import export
from neuroprivacy_c99.memory import measure
from neuroprivacy_c99.object_file import read_object
from neuroprivacy_c99.toolchain import find_compiler

COMPILERS = ("gcc", "clang", "arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb")


@pytest.mark.slow
@pytest.mark.parametrize("words", COMPILERS)
def test_the_object_holds_what_the_table_states(words: str, tmp_path: Path) -> None:
    compiler = find_compiler(words)
    if compiler is None:
        pytest.skip(f"not run: {words.split()[0]} is not here")
    for seed in (1, 7, 8):
        emitted = export(random_case(seed, target="int8", steps=2).program, tmp_path / str(seed))
        found = measure(tmp_path / str(seed), compiler)
        stated = dict(emitted.flash)
        kept = {name: size for name, size in found.object.constant_arrays.items() if name in stated}
        assert kept.items() <= stated.items()
        assert any(name.startswith("weights_") for name in kept)
        # clang spares a byte that is written and read within one call.
        spared = sum(size for _, size in emitted.ram) - sum(found.object.state_arrays.values())
        assert spared == 0 or (0 < spared < 8 and "clang" in words)
        assert found.ram - sum(found.object.state_arrays.values()) < 32 * len(found.object.state_arrays)
        assert all(name.startswith("__aeabi_") for name in found.object.missing)
        assert 0 < found.stack < 512
        assert found.flash == found.object.code + found.object.constants > sum(kept.values())


@pytest.mark.slow
def test_the_table_is_printed(tmp_path: Path) -> None:
    if find_compiler("cc") is None:
        pytest.skip("not run: cc is not here")
    export(random_case(1, target="int8", steps=2).program, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "neuroprivacy_c99.memory", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    header, _, row = done.stdout.splitlines()
    assert header == "| code | constants | flash in all | RAM | stack, at most |"
    code, constants, flash, _, _ = map(int, row.strip("| ").split(" | "))
    assert flash == code + constants


def test_frames_are_added_along_the_calls() -> None:
    lines = ["network_step\t56\tstatic", "network_reset\t8\tstatic", "layer_a\t24\tstatic", "layer_b\t40\tstatic"]
    lines += ["add_a_0\t16\tstatic", "decayed\t0\tstatic", "weight_4\t8\tstatic"]
    assert memory._stack("\n".join(f"network.c:1:2:{line}" for line in lines)) == 56 + 40 + 16 + 8
    with pytest.raises(ValueError, match="stack of layer_a is not bounded"):
        memory._stack("network.c:1:2:layer_a\t24\tdynamic,bounded\n")


@pytest.mark.parametrize(
    "payload", [b"", b"\x7fELF", b"\x7fELF\x07" + bytes(80), b"\x7fELF\x02\x01" + b"\xff" * 80], ids=len
)
def test_what_is_no_object_file(payload: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(payload)
    with pytest.raises(BadFile, match="object file"):
        read_object(tmp_path / "x.o")
