"""Memory of an exported network on a processor, measured in the compiled object file.

python -m neuroprivacy_c99.memory FOLDER --compiler "arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb"
"""

from __future__ import annotations

import argparse
import re
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from neuroprivacy.core.errors import BackendUnavailable
from neuroprivacy_c99.object_file import ObjectFile, read_object
from neuroprivacy_c99.toolchain import STRICT, Compiler, alone, compile_c, find_compiler

#: The order in which functions call each other. None is recursive: the sum of the largest frames bounds the stack.
_LEVELS = ("network_", "layer_", "add_", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of a compiled network, bytes.

    Attributes:
        object: the object file.
        stack: an upper bound of what a call of any of the three functions takes.
    """

    object: ObjectFile
    stack: int

    @property
    def flash(self) -> int:
        """Bytes of flash: code and constants."""
        return self.object.code + self.object.constants

    @property
    def ram(self) -> int:
        """Bytes of RAM: neuron states and buffers, without the stack."""
        return self.object.states


def measure(folder: Path, compiler: Compiler, *, level: str = "-Os") -> Memory:
    """Compile network.c of an exported folder and measure the object.

    Raises:
        WorkerFailed: the compiler refuses it.
    """
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-c99-") as scratch:
        target = Path(scratch) / "network.o"
        flags = [*STRICT, level, *alone(compiler), "-fstack-usage"]
        compile_c(compiler, [*flags, "-c", str(folder / "network.c"), "-o", str(target)])
        return Memory(object=read_object(target), stack=_stack(target.with_suffix(".su").read_text()))


def _stack(usage: str) -> int:
    """A bound of the stack from the output of -fstack-usage: lines of `place:function <tab> bytes <tab> kind`.

    Raises:
        ValueError: a frame has no fixed size.
    """
    largest = dict.fromkeys(_LEVELS, 0)
    for function, size, kind in re.findall(r"(\w+)\t(\d+)\t([\w,]+)", usage):
        if kind != "static":
            raise ValueError(f"memory: the stack of {function} is not bounded ({kind})")
        level = next(prefix for prefix in _LEVELS if function.startswith(prefix))
        largest[level] = max(largest[level], int(size))
    return sum(largest.values())


def main() -> None:
    """Print one row of a table: code, constants, flash, RAM, stack."""
    parser = argparse.ArgumentParser(description="Bytes of an exported network on a processor.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--compiler", default="cc", help="with its flags, in one word")
    parser.add_argument("--level", default="-Os")
    given = parser.parse_args()
    found = find_compiler(given.compiler)
    if found is None:
        raise BackendUnavailable(f"memory: {shlex.split(given.compiler)[0]} does not run here")
    memory = measure(given.folder, found, level=given.level)
    print("| code | constants | flash in all | RAM | stack, at most |\n|---|---|---|---|---|")
    print(f"| {memory.object.code} | {memory.object.constants} | {memory.flash} | {memory.ram} | {memory.stack} |")


if __name__ == "__main__":
    main()
