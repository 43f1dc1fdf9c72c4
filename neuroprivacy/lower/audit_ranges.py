"""What the integers could reach in the worst case, against every declared width: remarks, before anything runs.

A bound that holds for every input proves a width. One that does not is a remark, not a refusal: it says what an input
would have to do; the counts of a run say whether it did. A silent readout on a chip that always fires must be proved.
"""

from __future__ import annotations

import numpy as np

from neuroprivacy.errors import Issue
from neuroprivacy.program import ConvMap, Layer, Program
from neuroprivacy.target import TargetSpec


def activation_range(layer: Layer, reach: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """Lowest and highest synaptic sum of one step; `reach` is the range of each port's values, spikes are 0 or 1."""
    low = high = 0
    for edge in layer.edges:
        window = edge.map.pool[0] * edge.map.pool[1] if isinstance(edge.map, ConvMap) else 1
        least, most = reach.get(edge.source, (0, 1))
        flat = edge.map.weight.reshape(len(edge.map.weight), -1) * window
        high += int(np.maximum(flat * least, flat * most).sum(1).max())
        low += int(np.minimum(flat * least, flat * most).sum(1).min())
    return low, high


def audit_ranges(program: Program) -> tuple[Issue, ...]:
    """Remarks about sums and currents that some input could drive out of their widths."""
    target = program.target
    reach = {port.name: (port.low, port.high) for port in program.inputs}
    found = []
    for layer in program.layers:
        worst = max(abs(bound) for bound in activation_range(layer, reach))
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


def silent_steps(layer: Layer, reach: dict[str, tuple[int, int]], *, latency: int, target: TargetSpec) -> int:
    """Input steps for which a layer that only integrates provably stays below the threshold."""
    low, high = activation_range(layer, reach)
    bias = int(np.abs(layer.bias).max(initial=0))
    per_step = (max(high, -low) << target.activation_shift) + bias
    start = int(np.abs(layer.v_init).max(initial=0))
    ceiling = target.threshold_max << target.threshold_shift
    return max(0, (ceiling - start) // max(per_step, 1) - latency)
