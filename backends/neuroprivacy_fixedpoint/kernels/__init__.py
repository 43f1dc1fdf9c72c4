"""The compiled kernels. Python calls `advance`, which computes some layers over a time block.

    arguments       named bundles of arrays
    events          lists of the non-zero values of a source, for a layer or by position
    tiles           dense layers: many time steps at once, in tiles of 64 neurons
    synaptic_input  all other layers: synaptic input of one time step; convolutions scatter the kernel of each event
    conv_tiles      convolutions above the density threshold: coincident events of a position are summed in registers
    tile_sums       sums of one tile in registers
    neurons         neuron dynamics, written once for one neuron and for 64 SIMD lanes
    lanes           the type of 64 SIMD lanes
    counting        events and synaptic operations
    vectors         helpers of the functions that emit LLVM instructions

A kernel runs on one core. `engine` distributes batches, or partitions of a layer, over threads. Neurons are laid out
channels-last, so that the targets of one event are contiguous. The accumulator is the narrowest type that provably
holds the synaptic input of the time step; 16 bits are also used in several rounds of fewer events. Neurons use 32- or
64-bit integers, as the plan has proved sufficient. Kernels check no bounds: `plan` sizes the buffers.
"""

from neuroprivacy_fixedpoint.kernels.advance import advance

__all__ = ["advance"]
