"""What is proved of a Program's integers before it runs: which layers stay within 32 bits."""

from __future__ import annotations

import numpy as np

from neuroprivacy.program.network import Layer, Program


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
    membrane = max(abs(rule.v_lowest), abs(rule.v_highest))
    if steps is not None:
        membrane = min(membrane, int(np.abs(layer.v_init).max()) + steps * (current + bias))
    threshold = int(np.abs(layer.threshold).max() << rule.threshold_shift)
    return max(current, membrane + current + bias, threshold + 1) < 2**31 - 1 and membrane < 2**31 - 1
