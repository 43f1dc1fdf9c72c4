"""A network on the cores of a chip: lowered as the chip would hold it, however large, and placed.

`lower` refuses what exceeds the chip; here it is counted, and the placement says by how much.
"""

from __future__ import annotations

from dataclasses import replace

import nir

from neuroprivacy.core.errors import DoesNotFit, Issue, OutOfRange, UnsupportedNode
from neuroprivacy.lowering import Lowered, LowerOptions, lower
from neuroprivacy.mapping import Placement, place
from neuroprivacy.program import Program
from neuroprivacy.targets.spec import Limits, TargetSpec, load_target

#: Bits of states and sums, and of input values, of a target whose arithmetic refuses nothing. Chosen: wider than any
#: sum of a network that fits in memory.
_STATE_BITS, _MESSAGE_BITS = 48, 24


def check_target(
    network: nir.NIRGraph | Program, *, target: str | TargetSpec, options: LowerOptions | None = None
) -> Placement:
    """Place a network on the cores of a chip and list what does not fit.

    Args:
        network: a graph, lowered here, or a Program, whose integers are counted as they are.
        target: the chip.
        options: of lowering a graph.

    Raises:
        UnsupportedNode: a layer has no integer form at all; likewise the other errors of `lower`.
    """
    spec = target if isinstance(target, TargetSpec) else load_target(target)
    if isinstance(network, Program):
        return place(network, target=spec, refusals=_other_target(network, spec))
    program, refusals = _lowered(network, spec, options or LowerOptions())
    return place(program, target=spec, refusals=refusals)


def _lowered(graph: nir.NIRGraph, spec: TargetSpec, options: LowerOptions) -> tuple[Program, tuple[Issue, ...]]:
    """The network in the chip's integers without its limits; in wider integers where its arithmetic refuses it."""
    try:
        lowered = lower(graph, target=replace(spec, limits=Limits(), check_only=False), options=options)
        return lowered.program, _leaks(lowered, spec)
    except (DoesNotFit, OutOfRange, UnsupportedNode) as error:
        wide = replace(
            load_target("int8"), name=spec.name, weight_bits=spec.weight_bits, edge_delay_min=spec.edge_delay_min,
            current_bits=_STATE_BITS, membrane_bits=_STATE_BITS, activation_bits=_STATE_BITS,
            message_bits=_MESSAGE_BITS,
        )  # fmt: skip
        try:
            lowered = lower(graph, target=wide, options=replace(options, strict=False))
        except (DoesNotFit, OutOfRange, UnsupportedNode):
            raise error from None
        refused = error.issues or (Issue(where="network", what=str(error)),)
        counted = f"{spec.name} refuses its arithmetic; its layers are counted all the same"
        return lowered.program, (
            *refused, *_leaks(lowered, spec), Issue(where="network", what=counted, fatal=False)
        )  # fmt: skip


def _other_target(program: Program, spec: TargetSpec) -> tuple[Issue, ...]:
    """A diagnostic where a Program has the integers of another chip."""
    if program.target.name == spec.name:
        return ()
    what = f"was lowered for {program.target.name}; on {spec.name} its integers would be others"
    return (Issue(where="network", what=what, hint="check the model that it was exported from", fatal=False),)


def _leaks(lowered: Lowered, spec: TargetSpec) -> tuple[Issue, ...]:
    """Layers whose neurons leak, on a chip whose neurons do not."""
    if spec.decay_bits:
        return ()
    return tuple(
        Issue(
            where=layer.name,
            what=f"neurons keep {float(layer.beta.min()):.3g} of their membrane in a step, those of {spec.name} keep "
            "all of it",
            hint="train or convert the network with neurons that do not leak",
        )
        for layer in lowered.real_network.layers
        if layer.beta.min() < 1
    )
