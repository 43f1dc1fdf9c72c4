"""What is proved of a Program's integers before it runs: which layers stay within 32 bits."""

from __future__ import annotations

import numpy as np

from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.program.network import Layer, Program

#: More than any width of a target holds.
_UNBOUNDED = 2**62


def largest_inputs(program: Program) -> dict[str, int]:
    """Port name -> its largest |x|."""
    return {port.name: max(abs(port.low), abs(port.high)) for port in program.inputs}


def fits_32_bits(program: Program, layer: Layer, *, steps: int | None = None) -> bool:
    """Whether no sum, current or membrane of a layer, nor what it takes to compute them, can leave 32 bits.

    Args:
        program: that the layer is of.
        layer: one of its layers.
        steps: the most computed steps of a run, which bounds the membranes; None for any number.
    """
    rule = program.target.rule
    bound = layer.activation_bound(largest_inputs(program))
    arrives = bound << rule.activation_shift
    bias = int(np.abs(layer.bias).max())
    if rule.keeps_current:
        if arrives > 2 * rule.u_half:
            return False  # one wrap does not bring it back
        current = rule.u_half + arrives
    else:
        current = arrives
    membrane = min(max(abs(rule.v_lowest), abs(rule.v_highest)), membrane_bound(layer, current + bias, steps=steps))
    threshold = int(np.abs(layer.threshold).max() << rule.threshold_shift)
    return max(current, membrane + current + bias, threshold + 1) < 2**31 - 1 and membrane < 2**31 - 1


def membrane_bound(layer: Layer, change: int, *, steps: int | None = None) -> int:
    """An upper bound of |v|, before a reset and after, where nothing is clipped.

    |v| <= k|v| + change, k the largest share that a step keeps, stays below change / (1 - k) once it is.

    Args:
        layer: whose membranes; its threshold is not negative, so that no reset takes one further from 0.
        change: the most that current and bias add in one step.
        steps: the most computed steps of a run; None for any number.
    """
    begins, leaves = int(np.abs(layer.v_init).max()), int(layer.dv.min())
    bounds = [] if steps is None else [begins + steps * change]
    if leaves > 0:
        bounds.append(max(begins, -(-change * DECAY_ONE // leaves)))
    return min(bounds, default=_UNBOUNDED)
