"""The exported folder: network.c, network.h, their test with vectors, a Makefile, and the Program."""

from __future__ import annotations

from pathlib import Path

from neuroprivacy.core.storage import write_text
from neuroprivacy.program import Program, save_program
from neuroprivacy_c99.host import write_host
from neuroprivacy_c99.network import Emitted, emit
from neuroprivacy_c99.vectors import test_source

MAKEFILE = """# make          network.o, which calls nothing beyond the compiler's own arithmetic
# make test     compiles the test vectors and runs them
# make sanitize the same under the address and undefined-behaviour sanitizers
# make memory   bytes of code, constants, states, and stack of each function
CC     ?= cc
SIZE   ?= size
CFLAGS ?= -O2
STRICT := -std=c99 -Wall -Wextra -Wpedantic -Werror -Wconversion
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
# Without these, compilers make calls of memset of loops that clear.
LOOPS := $(if $(findstring clang,$(shell $(CC) --version)),-fno-builtin,-fno-tree-loop-distribute-patterns)
ALONE := -ffreestanding $(LOOPS)

network.o: network.c network.h
\t$(CC) $(STRICT) $(CFLAGS) $(ALONE) -c network.c -o $@

test: network_test.c network.o
\t$(CC) $(STRICT) $(CFLAGS) network_test.c network.o -o network_test
\t./network_test

sanitize: network_test.c network.c network.h
\t$(CC) $(STRICT) -O1 -g $(SANITIZE) network_test.c network.c -o network_sanitized
\t./network_sanitized

memory: network.c network.h
\t$(CC) $(STRICT) $(CFLAGS) $(ALONE) -fstack-usage -c network.c -o network_memory.o
\t$(SIZE) -A network_memory.o
\tcat network_memory.su

clean:
\trm -f network.o network_test network_sanitized network_memory.o network_memory.su

.PHONY: test sanitize memory clean
"""
README = """# A network in C

Exported for `{target}`: {layers} layers, {neurons} neurons, latency {latency} steps, readout by {readout}. Content
hash: `{digest}`.

    make test      # compiles it and runs its test vectors

Deploy `network.h` and `network.c`: C99 with <stdint.h> alone; no heap, no library, no recursion, no global constructor.

    network_reset();                             /* before every sample */
    network_step(input, spikes);                 /* {inputs} values in, {outputs} spikes out; one call per step */
    network_readout(readout);                    /* {classes} values, complete after {late} silent steps */

After the last input step call `network_step` {latency} more times with zeros: every layer costs its step, as on the
target. `network_host.c` is for tests on a host, `program/` is the same network for neuroprivacy.

## Memory

Exact, without padding between arrays. Code and stack depend on the compiler; `make memory` shows them, for example

    make memory CC=arm-none-eabi-gcc SIZE=arm-none-eabi-size CFLAGS="-Os -mcpu=cortex-m4 -mthumb"

| flash | bytes |
|---|---|
{flash}
| **all constants** | **{flash_total}** |

| RAM | bytes |
|---|---|
{ram}
| **all of it** | **{ram_total}** |
"""


def export(program: Program, folder: Path) -> Emitted:
    """Write the folder with the network's C sources."""
    emitted = emit(program)
    save_program(program, folder / "program")
    sizes = program.sizes
    write_text(folder / "network.h", emitted.header)
    write_text(folder / "network.c", emitted.source)
    write_host(program, emitted, folder)
    write_text(folder / "network_test.c", test_source(program))
    write_text(folder / "Makefile", MAKEFILE)
    write_text(
        folder / "README.md",
        README.format(
            target=program.target.name, layers=len(program.layers), neurons=sum(x.size for x in program.layers),
            latency=program.latency, readout=program.readout.replace("_", " "), digest=program.content_hash,
            inputs=sum(port.size for port in program.inputs), outputs=sum(sizes[name] for name in program.outputs),
            late=program.window(program.outputs[0], 1).start, classes=program.layer(program.outputs[0]).size,
            flash=_rows(emitted.flash), flash_total=sum(size for _, size in emitted.flash),
            ram=_rows(emitted.ram), ram_total=sum(size for _, size in emitted.ram),
        ),
    )  # fmt: skip
    return emitted


def _rows(table: tuple[tuple[str, int], ...]) -> str:
    return "\n".join(f"| {what} | {size} |" for what, size in table)
