"""The compiled kernels. `advance` is what Python calls: a range of layers over a range of steps.

    events      which values of a source are not zero, for a layer or position by position
    tiles       layers whose weights are matrices: the events of many steps, tile by tile of 64 neurons
    sums        all other layers: step by step; sparse convolutions scatter their kernels,
    conv_tiles  of crowded ones, what meets in a position is added for some channels at once
    tile_sums   a tile of sums in registers
    neurons     written once, for one neuron and for `lanes` of 64
    counting    events, and the weights that they touched
    vectors     what the functions that write LLVM's instructions share

All run on one core; `engine` spreads samples, or parts of a layer, over threads. A layer's neurons lie channels-last,
so that the targets of one event lie side by side. Accumulators are as narrow as the sums of this step are proved to
fit, or take its events in rounds of which each is; integers of the neurons are 32 or 64 bits wide, as the plan has
proved. Nothing checks bounds: buffers are as long as `plan` makes them.
"""

from neuroprivacy_fixedpoint.kernels.advance import advance

__all__ = ["advance"]
