"""The network's size against the target's limits: neurons, and synapses into one neuron.

A limit with a secondary source gives a diagnostic; a published or chosen one refuses. `mapping` checks cores and axons:
a network that passes here may still not map.
"""

from __future__ import annotations

import math

from neuroprivacy.core.errors import DoesNotFit, Issue, raise_fatal
from neuroprivacy.lowering.ir.integer import Lowered
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.program import Layer, Program


def check_capacity(lowered: Lowered, context: LoweringContext) -> Lowered:
    """A diagnostic for each secondary limit that the network exceeds.

    Raises:
        DoesNotFit: the network exceeds a published or chosen limit.
    """
    found = exceeded_limits(lowered.program)
    raise_fatal(DoesNotFit, found)
    return lowered.diagnosed(found)


def exceeded_limits(program: Program) -> tuple[Issue, ...]:
    """Every limit of the target that the network exceeds."""
    limits, found = program.target.limits, []

    def within(where: str, what: str, value: int, limit: int | None, field: str, hint: str) -> None:
        """Add an issue where `value` exceeds `limit`."""
        if limit is not None and value > limit:
            source = program.target.sources.get(f"limits.{field}")
            secondary = source is not None and source.standing == "secondary"
            found.append(
                Issue(
                    where=where,
                    what=what,
                    value=value,
                    limit=limit,
                    hint=f"{hint} (the limit is a secondary figure)" if secondary else hint,
                    fatal=not secondary,
                )
            )

    if limits.cores is not None and limits.neurons_per_core is not None:
        neurons = sum(layer.size for layer in program.layers)
        room = limits.cores * limits.neurons_per_core
        within("network", "neurons", neurons, room, "neurons_per_core", "use a smaller network or a larger target")
    for layer in program.layers:
        within(layer.name, "fan-in", fan_in(layer), limits.fan_in, "fan_in", "split the layer or choose another target")
    return tuple(found)


def fan_in(layer: Layer) -> int:
    """Most synapses that lead into one neuron; a pooling window counts every member."""
    return sum(math.prod(edge.map.weight.shape[1:]) * edge.map.window for edge in layer.edges)
