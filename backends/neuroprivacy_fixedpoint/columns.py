"""The records of edges, layers and counters that a plan hands to the kernels, and the constants of both.

Every field is an int64. Flags are 0 or 1.
"""

from __future__ import annotations

import numpy as np


def _record(*fields: str) -> np.dtype[np.void]:
    """A record of int64 fields, which kernels read by name."""
    return np.dtype([(name, np.int64) for name in fields])


#: An edge: a linear map from one source to one layer.
#:
#: kind: DENSE or CONV.
#: graded, source, source_size: whether the source is a graded input; its offset in the graded inputs or the spikes.
#: delay: time steps from source to layer.
#: weights, row_length: offset in the weight buffer; length of the weights of one event.
#: max_events: the most coincident events of one neuron whose synaptic input fits 16 bits, whatever events these are.
#: taps: source positions that one neuron sees; 1 for a matrix.
#: tile, tile_weights, density_threshold: a convolution is computed `tile` channels at a time, with the weights at
#:     `tile_weights`, if at least `density_threshold` values of its source are 1. A tile of 0: kernels are scattered.
#: channels ... pool_stride_columns: geometry of a convolution and of the sum pool before it.
EDGE = _record(
    "kind", "graded", "source", "source_size", "delay", "weights", "max_events", "taps", "row_length",
    "channels", "height", "width", "pooled", "pooled_height", "pooled_width", "group_in", "group_out",
    "kernel_rows", "kernel_columns", "stride_rows", "stride_columns", "pad_rows", "pad_columns",
    "dilation_rows", "dilation_columns", "tile", "density_threshold", "tile_weights",
    "pool_rows", "pool_columns", "pool_stride_rows", "pool_stride_columns",
)  # fmt: skip
#: A layer.
#:
#: first_edge, end_edge: its edges.
#: offset, state: where its spikes and its u and v lie.
#: channels, rows, columns: its shape.
#: tiled: its weights lie in tiles of TILE neurons.
#: short: every synaptic input fits 16 bits.
#: steady: only graded inputs feed it.
#: has_current: a synaptic current persists between time steps.
#: leaky: the membrane decays.
#: small: integers have 32 bits, no membrane saturates, and a membrane times its decay factor, in steps of
#:     2 ** -decay_shift, fits 32 bits.
#: theta: offset of the least membrane that fires: the threshold, plus 1 where the test is `strict`.
#: theta_step: 0 if one block of constants serves all neurons, else 1; likewise of bias and the decay factors.
#: shift, half, lowest, highest: left shift of the synaptic input, half the range of u, bounds of v.
#: soft: a spike subtracts the threshold.
LAYER = _record(
    "first_edge", "end_edge", "offset", "state", "channels", "rows", "columns", "tiled", "short", "steady",
    "has_current", "leaky", "small", "decay_shift", "theta", "theta_step", "bias", "bias_step",
    "decay_u", "decay_u_step", "decay_v", "decay_v_step", "shift", "half", "lowest", "highest", "soft", "strict",
)  # fmt: skip
#: A counter: events of a source, or synaptic operations of an edge.
#:
#: graded, first, size: where the event totals of its source lie.
#: fan_out: where the fan-outs of the source's values lie; -1 to count events.
ITEM = _record("graded", "first", "size", "fan_out")
DENSE, CONV = 0, 1
#: Neurons of a tile, whose synaptic input of one time step stays in registers; the most time steps whose synaptic input
#: is summed before the neurons are computed; events added per iteration: event lists are padded to a multiple of it.
TILE, STEPS, EVENTS = 64, 64, 4
#: Dense weight rows are padded to a multiple of this, a whole number of SIMD vectors.
ROW_STEP = 32
#: Neurons whose constants are processed together, in the L1 cache.
BLOCK = 512
#: Bound of weights, values and offsets in the weight buffer, which are 32-bit integers in the kernels.
LARGEST = 2**31 - 1
#: A threshold that no membrane of 32 bits reaches.
NEVER = 2**31 - 1
