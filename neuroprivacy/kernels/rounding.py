"""Real thresholds, decay factors and biases as the integers of a chip; training and lowering both round here.

    vth = floor(theta / s)              for the test v > theta,      floor(theta / s) + 1   for v >= theta
    dv  = round((1 - beta) 4096)        du = round((1 - alpha) 4096) - du_offset
    b   = round(bias / s * 2^shift)     as a mantissa and one exponent for the layer

s is the weight scale: the real value of one integer step of the weights. Rounding the threshold down loses nothing:
a sum of integers exceeds theta / s exactly if it exceeds floor(theta / s).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.neuron import DECAY_ONE, ThresholdTest

#: Relative differences below this are rounding errors of single precision.
SAME = 1e-5
#: A threshold that lies this close below a whole number of steps is taken for that number: its scale was rounded.
_TIE = 1e-9


def differ(values: Float64) -> bool:
    """Whether values differ by more than rounding errors of single precision."""
    return bool(np.ptp(values) > SAME * max(float(np.abs(values).max()), 1e-30))


def integer_threshold(threshold: Float64, *, scale: Float64, test: ThresholdTest) -> Int64:
    """Threshold mantissas, of the broadcast shape of both arguments.

    Args:
        threshold: theta, real units.
        scale: weight scale s.
        test: the chip's threshold test.
    """
    return np.floor(threshold / scale * (1 + _TIE)).astype(np.int64) + (test == ">=")


def integer_decay(factor: Float64, *, bits: int, offset: int = 0) -> Int64:
    """Decay constants 0 ... 2^bits - 1 for decay factors 0 ... 1.

    Args:
        factor: alpha or beta, any shape.
        bits: width of a decay constant.
        offset: that the hardware adds to it.
    """
    return (np.rint((1 - factor) * DECAY_ONE).astype(np.int64) - offset).clip(0, (1 << bits) - 1)


def integer_state(value: Float64, *, scale: Float64, shift: int) -> Int64:
    """Initial currents or membranes in least significant bits: round(value / s * 2^shift)."""
    return np.rint(value / scale * (1 << shift)).astype(np.int64)


def split_bias(exact: NDArray[np.float64], *, bits: int, exponent_max: int) -> tuple[Int64, int] | None:
    """Biases as signed mantissas of `bits` and the smallest common exponent that holds them; None if none does.

    Args:
        exact: in least significant bits of the membrane, any shape.
        bits: width of a mantissa, the sign included.
        exponent_max: largest shift.
    """
    limit = (1 << (bits - 1)) - 1
    for exponent in range(exponent_max + 1):
        mantissa = np.rint(exact / (1 << exponent))
        if np.abs(mantissa).max(initial=0) <= limit:
            return mantissa.astype(np.int64), exponent
    return None
