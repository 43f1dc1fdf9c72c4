"""What the rows of numbers mean that the plan hands to the kernels."""

from __future__ import annotations

#: Of an edge. `SOURCE` is an offset into the graded inputs (GRADED = 1) or the spikes (0); `REACH` is how many
#: positions one neuron sees; `LIMIT` is how many events may meet in one neuron so that 16 bits hold their sum, whatever
#: these are; `ROW` is the length of the weights of one event. `TILE` is how many channels a convolution computes at
#: once if at least CROWD values of its source fire, with weights that lie at `OF_TILES`; 0 where kernels are scattered.
EDGE_COLUMNS = (
    "KIND", "GRADED", "SOURCE", "SOURCE_SIZE", "DELAY", "WEIGHTS", "LIMIT", "REACH", "ROW",
    "CHANNELS", "HEIGHT", "WIDTH", "POOLED", "POOLED_HEIGHT", "POOLED_WIDTH", "GROUP_IN", "GROUP_OUT",
    "KERNEL_ROWS", "KERNEL_COLUMNS", "STRIDE_ROWS", "STRIDE_COLUMNS", "PAD_ROWS", "PAD_COLUMNS",
    "DILATION_ROWS", "DILATION_COLUMNS", "TILE", "CROWD", "OF_TILES",
    "POOL_ROWS", "POOL_COLUMNS", "POOL_STRIDE_ROWS", "POOL_STRIDE_COLUMNS",
)  # fmt: skip
#: Of a layer. `OFFSET` is where its spikes lie, `STATE` where its u and v do; `TILED` is whether its weights lie tile
#: by tile; `SHORT` whether every sum fits 16 bits; `STEADY` whether only graded inputs feed it; `KEEPS` whether a
#: current is remembered; `LEAKS` whether the membrane decays. `SMALL`: integers have 32 bits, no membrane can be
#: clipped, and each times its `OF_V`, which is in units of 2 ** -DECAY_SHIFT, stays within 32 bits. `THETA` is the
#: least membrane that fires, θ + 1 where the test is STRICT. Each constant has an offset and a step (0: one block for
#: all).
LAYER_COLUMNS = (
    "FIRST_EDGE", "END_EDGE", "OFFSET", "STATE", "CHANNELS", "ROWS", "COLUMNS", "TILED", "SHORT", "STEADY", "KEEPS",
    "LEAKS", "SMALL", "DECAY_SHIFT", "THETA", "THETA_STEP", "BIAS", "BIAS_STEP", "OF_U", "OF_U_STEP", "OF_V",
    "OF_V_STEP", "SHIFT", "HALF", "LOWEST", "HIGHEST", "SOFT", "STRICT",
)  # fmt: skip
#: Of what is tallied, events of a source or weights that they touch: where the totals of its source lie, and for an
#: edge where the fan-out of its source does (-1 for a source).
ITEM_COLUMNS = ("GRADED", "FIRST", "SIZE", "REACH")
EDGE = {name: i for i, name in enumerate(EDGE_COLUMNS)}
LAYER = {name: i for i, name in enumerate(LAYER_COLUMNS)}
ITEM = {name: i for i, name in enumerate(ITEM_COLUMNS)}
DENSE, CONV = 0, 1
#: Neurons of a tile, of which the sums of one step stay in registers; the most steps that are summed before its neurons
#: are computed; and how many events are added without asking whether there are more: lists are filled up to that.
TILE, STEPS, EVENTS = 64, 64, 4
#: Dense weight rows are as long as a multiple of this: a whole number of vectors.
ROW_STEP = 32
#: Neurons of one block: their constants stay in the first cache.
BLOCK = 512
#: Weights, values and places in the weight buffer are 32-bit integers in the kernels.
LARGEST = 2**31 - 1
#: A threshold that no membrane of 32 bits reaches.
NEVER = 2**31 - 1
