"""Which layers fit narrow integers: weights of 8 bits, sums, currents and membranes of 32; proved, not observed."""

from __future__ import annotations

import numpy as np

from neuroprivacy.program import Layer, Program


def largest_inputs(program: Program) -> dict[str, int]:
    """Port name -> its largest |x|."""
    return {port.name: max(abs(port.low), abs(port.high)) for port in program.inputs}


def wide_layers(program: Program, groups: list[tuple[str, ...]], steps: int | None) -> frozenset[str]:
    """Layers that need more than weights of 8 bits and integers of 32; with one of a loop, all of it."""
    needing = {layer.name for layer in program.layers if not _is_narrow(program, layer, steps)}
    return frozenset(name for members in groups if needing & set(members) for name in members)


def _is_narrow(program: Program, layer: Layer, steps: int | None) -> bool:
    bound = layer.activation_bound(largest_inputs(program))
    weight = max(max(int(edge.map.weight.max()), -int(edge.map.weight.min()) - 1) for edge in layer.edges)
    arrives = bound << program.target.rule.activation_shift
    return weight <= 127 and bound < 2**31 and _fits_32(program, layer, arrives, steps)


def _fits_32(program: Program, layer: Layer, arrives: int, steps: int | None) -> bool:
    """Whether no integer of these neurons can leave 32 bits in so many steps, given the largest |a << s| of one."""
    rule = program.target.rule
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
