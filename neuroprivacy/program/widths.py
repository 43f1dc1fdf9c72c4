"""Bounds of a Program's integers that hold for every input: which layers stay within 32 bits.

The interval analysis stands in `kernels.ranges`.
"""

from __future__ import annotations

import numpy as np

from neuroprivacy.kernels import ranges
from neuroprivacy.program.network import Layer, Program


def largest_inputs(program: Program) -> dict[str, int]:
    """Port name -> the largest absolute value that it can send."""
    return {port.name: max(abs(port.low), abs(port.high)) for port in program.inputs}


def fits_32_bits(program: Program, layer: Layer, *, steps: int | None = None) -> bool:
    """Whether all sums, currents, membranes and intermediate results of a layer fit 32 bits.

    Args:
        program: the layer's Program.
        layer: one of its layers.
        steps: the most computed time steps of a run, which bounds the membranes; None for any number.
    """
    rule = program.target.rule
    bound = layer.activation_bound(largest_inputs(program))
    incoming = bound << rule.activation_shift
    bias = int(np.abs(layer.bias).max())
    if rule.keeps_current:
        if incoming > 2 * rule.u_half:
            return False  # a single wrap does not restore the range
        current = rule.u_half + incoming
    else:
        current = incoming
    membrane = min(max(abs(rule.v_lowest), abs(rule.v_highest)), membrane_bound(layer, current + bias, steps=steps))
    threshold = int(np.abs(layer.threshold).max() << rule.threshold_shift)
    return max(current, membrane + current + bias, threshold + 1) < 2**31 - 1 and membrane < 2**31 - 1


def membrane_bound(layer: Layer, change: int, *, steps: int | None = None) -> int:
    """An upper bound of |v|, before and after a reset, without saturation; see `kernels.ranges.membrane_bound`.

    Args:
        layer: whose membranes; its threshold is not negative, so that no reset increases |v|.
        change: the most that current and bias add in one time step.
        steps: the most computed time steps of a run; None for any number.
    """
    return ranges.membrane_bound(int(np.abs(layer.v_init).max()), change, dv=int(layer.dv.min()), steps=steps)
