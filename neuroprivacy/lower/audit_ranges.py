"""What the integers could reach in the worst case, against every declared width: remarks, before anything runs.

A bound that holds for every input proves a width. One that does not is a remark, not a refusal: it says what an input
would have to do; the counts of a run say whether it did. A silent readout on a chip that always fires must be proved.
"""

from __future__ import annotations

import numpy as np

from neuroprivacy.errors import Issue
from neuroprivacy.program import ConvMap, Layer, Program


def activation_range(layer: Layer, largest: dict[str, int]) -> tuple[int, int]:
    """Lowest and highest synaptic sum of one step for sources in 0 ... largest."""
    low = high = 0
    for edge in layer.edges:
        window = edge.map.pool[0] * edge.map.pool[1] if isinstance(edge.map, ConvMap) else 1
        flat = edge.map.weight.reshape(len(edge.map.weight), -1) * (window * largest.get(edge.source, 1))
        high += int(np.maximum(flat, 0).sum(1).max())
        low += int(np.minimum(flat, 0).sum(1).min())
    return low, high


def audit_ranges(program: Program) -> tuple[Issue, ...]:
    """Remarks about sums and currents that some input could drive out of their widths."""
    target = program.target
    largest = {port.name: max(abs(port.low), abs(port.high)) for port in program.inputs}
    found = []
    for layer in program.layers:
        worst = max(abs(bound) for bound in activation_range(layer, largest))
        declared = (1 << (target.activation_bits - 1)) - 1
        if worst > declared:
            found.append(
                Issue(
                    where=layer.name,
                    what="the largest possible synaptic sum",
                    value=worst,
                    limit=declared,
                    hint=f"the declared {target.activation_bits} bits hold unless most sources are active at once; "
                    "see the observed maximum",
                    fatal=False,
                )
            )
        if target.current_bits and (worst << target.activation_shift) >= 1 << (target.current_bits - 1):
            found.append(
                Issue(
                    where=layer.name,
                    what="the largest possible current",
                    value=worst << target.activation_shift,
                    limit=(1 << (target.current_bits - 1)) - 1,
                    hint="the current would wrap; see the number of wraps observed",
                    fatal=False,
                )
            )
    return tuple(found)


def silent_steps(layer: Layer, program_largest: dict[str, int], *, latency: int, threshold_units: int) -> int:
    """Input steps for which a layer that only integrates provably stays below the threshold."""
    low, high = activation_range(layer, program_largest)
    bias = int(np.abs(layer.bias).max(initial=0))
    per_step = (max(high, -low) << 6) + bias
    start = int(np.abs(layer.v_init).max(initial=0))
    return max(0, (threshold_units - start) // max(per_step, 1) - latency)
