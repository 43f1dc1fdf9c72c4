"""The memory table of an exported folder against the object that the target's own compiler makes, array by array."""

from collections.abc import Callable
from pathlib import Path

import pytest
from targets import C_TARGETS, Target
from trained import NETWORKS, trained_program

from neuroprivacy_c99.export import export
from neuroprivacy_c99.memory import measure
from neuroprivacy_c99.toolchain import Compiler, host_compiler

pytestmark = pytest.mark.only(*C_TARGETS)


def compiler_of(target: Target) -> Compiler:
    """What compiles for a target, with the flags that name its processor."""
    if target.name == "c-host":
        return host_compiler()
    from cortex_m.runner import cross_compiler

    found = cross_compiler()
    return Compiler(command=(*found.command, f"-mcpu={target.name}", "-mthumb"), version=found.version)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_memory_that_is_stated(
    name: str, target: Target, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    emitted = export(trained_program(name), tmp_path)
    memory = measure(tmp_path, compiler_of(target))
    stated = dict(emitted.flash)
    # A compiler takes a small constant into the code; what it keeps as an array has the stated size.
    kept = memory.object.constant_arrays
    assert {key: size for key, size in kept.items() if key in stated} == {
        key: size for key, size in stated.items() if key in kept
    }
    spared = sum(size for _, size in emitted.ram) - sum(memory.object.state_arrays.values())
    assert 0 <= spared < 8, "a compiler may spare the position of a ring, and nothing else"
    assert all(symbol.startswith("__aeabi_") for symbol in memory.object.missing), "calls a library"
    assert memory.stack < 512
    for key, value in (
        ("code", memory.object.code), ("constants", memory.object.constants), ("flash", memory.flash),
        ("ram", memory.ram), ("stack_bound", memory.stack),
    ):  # fmt: skip
        record_property(f"{name} {key}", value)
