"""Number formats, linear maps, neuron dynamics and rounding: the arithmetic of a chip, in numpy.

Imports numpy alone: no targets, programs or torch. Other code that computes with integers (the fast
simulator, the quantizers of training) is tested against these functions, exactly.
"""

from neuroprivacy.kernels.formats import FixedPoint, quantize, saturate, wrap, wrap_once
from neuroprivacy.kernels.linear import conv_apply, conv_output_shape, conv_patches, dense_apply, sum_pool
from neuroprivacy.kernels.neuron import NeuronRule, decay, fire_and_reset, integrate_current, integrate_membrane
from neuroprivacy.kernels.rounding import integer_decay, integer_state, integer_threshold, split_bias

__all__ = [
    "FixedPoint",
    "NeuronRule",
    "conv_apply",
    "conv_output_shape",
    "conv_patches",
    "decay",
    "dense_apply",
    "fire_and_reset",
    "integer_decay",
    "integer_state",
    "integer_threshold",
    "integrate_current",
    "integrate_membrane",
    "quantize",
    "saturate",
    "split_bias",
    "sum_pool",
    "wrap",
    "wrap_once",
]
