"""What the rows of numbers mean that the plan hands to the kernels."""

from __future__ import annotations

#: Of an edge. `SOURCE` is an offset into the graded inputs (GRADED = 1) or the spikes (0); `REACH` is how many events
#: of one position can meet in one neuron; `LARGEST` is the largest |weight|; `ROW` is the length of a dense weight row.
EDGE_COLUMNS = (
    "KIND", "GRADED", "SOURCE", "SOURCE_SIZE", "DELAY", "WEIGHTS", "LARGEST", "REACH", "ROW",
    "CHANNELS", "HEIGHT", "WIDTH", "POOLED", "POOLED_HEIGHT", "POOLED_WIDTH", "GROUP_IN", "GROUP_OUT",
    "KERNEL_ROWS", "KERNEL_COLUMNS", "STRIDE_ROWS", "STRIDE_COLUMNS", "PAD_ROWS", "PAD_COLUMNS",
    "DILATION_ROWS", "DILATION_COLUMNS", "POOL_ROWS", "POOL_COLUMNS", "POOL_STRIDE_ROWS", "POOL_STRIDE_COLUMNS",
)  # fmt: skip
#: Of a layer. `OFFSET` is where its spikes lie, `STATE` where its u and v do; `SHORT` is whether every sum fits
#: 16 bits; `STEADY` whether only graded inputs feed it; `KEEPS` whether a current is remembered; `LEAKS` whether the
#: membrane decays. `THETA` is the least membrane that fires, θ + 1 where the test is STRICT. Each
#: constant has an offset and a step (0: one block for all).
LAYER_COLUMNS = (
    "FIRST_EDGE", "END_EDGE", "OFFSET", "STATE", "CHANNELS", "ROWS", "COLUMNS", "SHORT", "STEADY", "KEEPS", "LEAKS",
    "THETA", "THETA_STEP", "BIAS", "BIAS_STEP", "OF_U", "OF_U_STEP", "OF_V", "OF_V_STEP",
    "SHIFT", "HALF", "LOWEST", "HIGHEST", "SOFT", "STRICT",
)  # fmt: skip
EDGE = {name: i for i, name in enumerate(EDGE_COLUMNS)}
LAYER = {name: i for i, name in enumerate(LAYER_COLUMNS)}
DENSE, CONV = 0, 1
#: Dense weight rows are as long as a multiple of this: a whole number of vectors.
ROW_STEP = 32
#: Neurons of one block: their constants stay in the first cache.
BLOCK = 512
