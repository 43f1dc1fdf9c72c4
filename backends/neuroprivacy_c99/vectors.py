"""Test vectors as a C program: seeded inputs, the reference's outputs for them, and the comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Artifact, Record, load_backend
from neuroprivacy_c99.packing import Constant
from neuroprivacy_c99.sources import input_type

SEED = 0
SAMPLES = 2
STEPS = 8
#: Most values of a vector file. Large inputs get fewer samples and time steps.
_MOST = 40_000

_TEST = """/* Holds the network against what neuroprivacy's reference computes: drawn inputs, seed {seed}. */
#include <stdio.h>

#include "network.h"

#define SAMPLES {samples}u
#define STEPS {steps}u

{inputs}
{spikes}
{readout}
int main(void)
{{
    static network_input silence[NETWORK_INPUTS];
    uint8_t fired[NETWORK_OUTPUTS];
    int32_t readout[NETWORK_CLASSES];
    unsigned long wrong = 0;
    for (uint32_t s = 0; s < SAMPLES; s++) {{
        network_reset();
        for (uint32_t t = 0; t < STEPS + NETWORK_LATENCY; t++) {{
            network_step(t < STEPS ? inputs + (s * STEPS + t) * NETWORK_INPUTS : silence, fired);
            for (uint32_t n = 0; n < NETWORK_OUTPUTS; n++) {{
                wrong += fired[n] != expected[(s * (STEPS + NETWORK_LATENCY) + t) * NETWORK_OUTPUTS + n];
            }}
            if (t + 1u == STEPS + NETWORK_READOUT_LATENCY) {{ network_readout(readout); }}
        }}
        for (uint32_t n = 0; n < NETWORK_CLASSES; n++) {{ wrong += readout[n] != read_out[s * NETWORK_CLASSES + n]; }}
    }}
    printf("%u samples of %u steps: %lu values differ\\n", (unsigned)SAMPLES, (unsigned)STEPS, wrong);
    return wrong == 0 ? 0 : 1;
}}
"""


def draw_inputs(program: Program, *, samples: int, steps: int, seed: int) -> dict[str, Int64]:
    """Port name -> (samples, steps, values): 30 % of the values are not zero."""
    rng = np.random.default_rng(seed)
    found = {}
    for port in program.inputs:
        shape = (samples, steps, port.size)
        found[port.name] = np.where(rng.random(shape) < 0.3, rng.integers(port.low, port.high + 1, shape), 0).clip(
            port.low, port.high
        )
    return found


def test_source(program: Program) -> str:
    """The text of network_test.c."""
    width = sum(port.size for port in program.inputs) + sum(program.sizes[name] for name in program.outputs)
    steps = max(1, min(STEPS, program.max_steps or STEPS, _MOST // width))
    samples = max(1, min(SAMPLES, _MOST // (width * steps)))
    inputs = draw_inputs(program, samples=samples, steps=steps, seed=SEED)
    # The definition is a backend like any: found by its name.
    artifact = Artifact(backend="reference", folder=Path(), program=program)
    result = load_backend("reference").run(artifact, inputs, Record(spikes=True))
    fired = np.concatenate([(result.layer_spikes or {})[name] for name in program.outputs], axis=2)
    joined = np.concatenate([inputs[port.name] for port in program.inputs], axis=2)
    arrays = [
        Constant(name="inputs", type=input_type(program), values=joined.reshape(-1)),
        Constant(name="expected", type="uint8_t", values=fired.reshape(-1).astype(np.int64)),
        Constant(name="read_out", type="int32_t", values=result.readout.reshape(-1)),
    ]
    texts = [array.text() for array in arrays]
    return _TEST.format(seed=SEED, samples=samples, steps=steps, inputs=texts[0], spikes=texts[1], readout=texts[2])
