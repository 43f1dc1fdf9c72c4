"""Biases that cannot be aligned are sent instead, by neurons that fire in every step.

A bias acts from step 1, a layer's first input comes `depth` steps later. `align_bias` starts the membrane where the
idle steps lead it back to zero; a large negative bias would need a start above the threshold, and fires. What arrives
by a synapse waits for its delay: a population that fires in every step and reaches the layer after `depth` steps adds
to the membrane, from the layer's first input on, what the bias would without latency. Whole weight units are sent, the
rest (half a unit at most) stays a bias. Exact where neurons keep no synaptic current; others are left as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels.formats import Float64, Int64, WeightBits
from neuroprivacy.lowering.draft import ConvShape, Draft, DraftEdge, DraftLayer, fresh_name
from neuroprivacy.lowering.passes.align_bias import initial_state
from neuroprivacy.lowering.passes.integer_layers import integer_layer
from neuroprivacy.lowering.quantization.round_weights import weight_grid
from neuroprivacy.targets.spec import TargetSpec

#: Most neurons that send the bias of one layer.
_MOST = 256


def send_bias(draft: Draft, target: TargetSpec, bits: WeightBits) -> Draft:
    """The draft with such a population for each layer that needs one, and a remark.

    Args:
        draft: with delays, whole weights and populations.
        target: the chip.
        bits: width of the weights.
    """
    depth = dict(draft.depth or {})
    layers: list[DraftLayer] = []
    sending: list[DraftLayer] = []
    remarks = list(draft.remarks)
    taken = {*depth}
    for layer in draft.layers:
        units = _units_to_send(layer, target, depth[layer.name])
        top = weight_grid(bits).high
        count = -(-int(np.abs(units).max(initial=0)) // top)
        if not 0 < count <= _MOST:
            layers.append(layer)
            continue
        name = fresh_name(f"{layer.name}.bias", taken)
        depth[name] = 0
        sending.append(_always_on(name, count, layer, target))
        whole = np.stack([_share(units, i, top) for i in range(count)], 1)
        edge = DraftEdge(source=name, weight=whole * layer.lsb[0], delay=depth[layer.name], whole=whole)
        bias = _trained_bias(layer, target) - units * layer.lsb[0]
        layers.append(replace(layer, edges=(*layer.edges, edge), bias=bias))
        what = (
            f"the bias of {np.count_nonzero(units)} neurons would act before their first input; {count} neurons that "
            "fire in every step send it"
        )
        hint = "it costs their spikes; smaller negative biases need none"
        remarks.append(Issue(where=layer.name, what=what, hint=hint, fatal=False))
    return replace(draft, layers=(*sending, *layers), depth=depth, remarks=tuple(remarks))


def _units_to_send(layer: DraftLayer, target: TargetSpec, idle: int) -> Int64:
    """Whole weight units of each neuron's bias that have to be sent, (neurons,); 0 where it can be aligned."""
    if not 0 < idle <= target.edge_delay_max or not layer.fires or layer.alpha.any() or layer.lsb.size > 1:
        return np.zeros(layer.size, np.int64)
    _, _, works = initial_state(integer_layer(layer, target), idle, target)
    return np.where(works, 0, np.rint(layer.bias / layer.lsb[0])).astype(np.int64)


def _trained_bias(layer: DraftLayer, target: TargetSpec) -> Float64:
    """The biases; of a network that was trained on its integers those of its register, which it was trained with.

    Without the large ones the register would hold the others more finely.
    """
    if any(edge.grid is None for edge in layer.edges):
        return layer.bias
    register = integer_layer(layer, target).bias
    return np.asarray(register * layer.lsb[0] / (1 << target.activation_shift), np.float64)


def _share(units: Int64, index: int, top: int) -> Int64:
    """What one of the sending neurons carries: `top` at most, the first ones first."""
    return np.asarray(np.sign(units) * np.clip(np.abs(units) - index * top, 0, top), np.int64)


def _always_on(name: str, count: int, layer: DraftLayer, target: TargetSpec) -> DraftLayer:
    """Neurons whose bias exceeds their threshold by one lsb; a weight of zero from each to itself, for all are fed."""
    one = np.ones(count)
    weight = np.zeros((count, 1, 1, 1))
    return DraftLayer(
        name=name,
        shape=(count, 1, 1),
        edges=(
            DraftEdge(
                source=name, weight=weight, conv=ConvShape(in_shape=(count, 1, 1), groups=count), wait=1,
                delay=max(1, target.edge_delay_min), whole=weight.astype(np.int64),
            ),
        ),
        bias=one + one / (1 << target.activation_shift),
        threshold=one,
        alpha=0 * one,
        beta=one,
        u_start=0 * one,
        v_start=0 * one,
        reset=layer.reset,
        lsb=np.ones(1),
    )  # fmt: skip
