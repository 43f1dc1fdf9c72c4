"""Runs the emitted file on this machine: compiled with hooks that record every integer, called through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.storage import write_text
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy_c99.network import Emitted
from neuroprivacy_c99.sources import input_type
from neuroprivacy_c99.toolchain import host_compiler, shared_library

_HOST = """/* The network with hooks that see every integer. For tests on a host; deploy network.c and network.h. */
#include <stdint.h>

static int64_t (*observed)[5];
static int64_t *all_u;
static const uint32_t first_of[] = {{ {offsets} }};

static void seen(uint32_t layer, uint32_t n, int64_t sum, int64_t current, int64_t membrane)
{{
    int64_t *top = observed[layer];
    if (sum < 0) {{ sum = -sum; }}
    if (membrane < 0) {{ membrane = -membrane; }}
    all_u[first_of[layer] + n] = current;
    if (current < 0) {{ current = -current; }}
    if (sum > top[0]) {{ top[0] = sum; }}
    if (current > top[1]) {{ top[1] = current; }}
    if (membrane > top[2]) {{ top[2] = membrane; }}
}}
#define NETWORK_SEEN(layer, n, sum, current, membrane) seen((layer), (n), (sum), (current), (membrane))
#define NETWORK_WRAPPED(layer) (observed[(layer)][3]++)
#define NETWORK_SATURATED(layer) (observed[(layer)][4]++)
#include "network.c"

static network_input silence[NETWORK_INPUTS];

/* One sample: spikes (steps, neurons); u and v (rows, neurons), of all steps or, if rows is 1, of the last. */
void host_run(const network_input *input, int64_t given, int64_t steps, int64_t rows, uint8_t *spikes, int64_t *u,
              int64_t *v, int64_t *extremes, int32_t *readout)
{{
    uint8_t fired[NETWORK_OUTPUTS];
    observed = (int64_t (*)[5])extremes;
    network_reset();
    for (int64_t t = 0; t < steps; t++) {{
        all_u = u;
        network_step(t < given ? input + t * NETWORK_INPUTS : silence, fired);
{copies}
        spikes += {neurons};
        if (rows > 1) {{ u += {neurons}; v += {neurons}; }}
        if (t + 1 == given + (int64_t)NETWORK_READOUT_LATENCY) {{ network_readout(readout); }}
    }}
}}
"""


def host_source(program: Program, emitted: Emitted) -> str:
    """The text of network_host.c."""
    offsets, copies, position = [], [], 0
    for layer in program.layers:
        source = emitted.sources[layer.name]
        offsets.append(str(position))
        if layer.fires:
            copies.append(
                f"        {{ const uint8_t *bits = {source.at(0)}; for (uint32_t n = 0; n < {layer.size}u; n++) "
                f"{{ spikes[{position}u + n] = (uint8_t)((bits[n >> 3] >> (n & 7u)) & 1u); }} }}"
            )
        copies.append(
            f"        for (uint32_t n = 0; n < {layer.size}u; n++) {{ v[{position}u + n] = v_{source.id}[n]; }}"
        )
        position += layer.size
    return _HOST.format(offsets=", ".join(offsets), copies="\n".join(copies), neurons=position)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostRun:
    """Recorded values of some samples; neurons are in Program order, layer after layer.

    Attributes:
        spikes: uint8 (samples, steps, neurons).
        u, v: int64 (samples, rows, neurons).
        extremes: int64 (samples, layers, 5).
        readout: int32 (samples, classes), as `network_readout` gives it.
    """

    spikes: NDArray[np.uint8]
    u: Int64
    v: Int64
    extremes: Int64
    readout: NDArray[np.int32]


def library_of(folder: Path) -> tuple[ctypes.CDLL, str]:
    """The shared library of an exported folder, compiled if its sources or the compiler are new; and the compiler.

    Raises:
        BackendUnavailable: there is no compiler.
        WorkerFailed: it refuses the source.
    """
    compiler = host_compiler()
    texts = b"".join((folder / name).read_bytes() for name in ("network.h", "network.c", "network_host.c"))
    key = hashlib.sha256(texts + compiler.version.encode()).hexdigest()[:16]
    path = folder / "host" / f"network-{key}.so"
    if not path.exists():
        shared_library(compiler, folder / "network_host.c", path)
    return ctypes.CDLL(str(path.resolve())), compiler.version


def run_host(program: Program, folder: Path, inputs: Mapping[str, NDArray[Any]], *, states: bool) -> HostRun:
    """Run samples through the compiled host program.

    Args:
        program: that the folder was written from.
        folder: with network.c, network.h and network_host.c.
        inputs: port name -> integers (samples, T, values).
        states: whether u and v of every step are kept.
    """
    library, _ = library_of(folder)
    kind = np.dtype(input_type(program).removesuffix("_t"))
    given = np.ascontiguousarray(np.concatenate([inputs[p.name] for p in program.inputs], axis=2).astype(kind))
    samples, length = given.shape[:2]
    steps, neurons = length + program.latency, sum(layer.size for layer in program.layers)
    rows = steps if states else 1
    run = HostRun(
        spikes=np.zeros((samples, steps, neurons), np.uint8),
        u=np.zeros((samples, rows, neurons), np.int64),
        v=np.zeros((samples, rows, neurons), np.int64),
        extremes=np.zeros((samples, len(program.layers), 5), np.int64),
        readout=np.zeros((samples, program.layer(program.outputs[0]).size), np.int32),
    )
    for s in range(samples):
        library.host_run(
            given[s].ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(length), ctypes.c_int64(steps),
            ctypes.c_int64(rows), *(
                array[s].ctypes.data_as(ctypes.c_void_p)
                for array in (run.spikes, run.u, run.v, run.extremes, run.readout)
            ),
        )  # fmt: skip
    return run


def write_host(program: Program, emitted: Emitted, folder: Path) -> None:
    """Write network_host.c."""
    write_text(folder / "network_host.c", host_source(program, emitted))
