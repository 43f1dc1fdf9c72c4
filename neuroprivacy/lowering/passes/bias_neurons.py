"""Bias neurons: biases that no initial state compensates are sent by neurons that fire in every time step.

A bias acts from the first time step, a layer's first input arrives `latency` steps later. `compensate_bias_latency`
starts the membrane where the idle steps lead it back to zero; a large negative bias would need a start above the
threshold, and fires. Synaptic input is delayed instead: a population that fires in every time step and reaches the
layer after `latency` steps adds the bias to the membrane from the layer's first input on, as without latency.
Whole weight steps are sent, the rest (half a step at most) stays a bias. Exact for neurons without synaptic current;
others are left as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.linear import ConvGeometry
from neuroprivacy.kernels.rounding import integer_state
from neuroprivacy.lowering.ir.quantized import QuantizedConnection, QuantizedLayer, QuantizedNetwork
from neuroprivacy.lowering.ir.real import RealMap, fresh_name
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.lowering.passes.compensate_bias_latency import initial_state
from neuroprivacy.lowering.passes.integer_layers import integer_layer
from neuroprivacy.lowering.quantization.round_weights import weight_grid
from neuroprivacy.targets.spec import TargetSpec

#: Most bias neurons of one layer.
_MOST = 256


def bias_neurons(network: QuantizedNetwork, context: LoweringContext) -> QuantizedNetwork:
    """The network with a population of bias neurons for each layer that needs one, and a diagnostic."""
    target, top = context.target, weight_grid(context.weight_bits).high
    latencies = dict(network.latencies)
    layers: list[QuantizedLayer] = []
    added: list[QuantizedLayer] = []
    found: list[Issue] = []
    taken = {*latencies}
    for layer in network.layers:
        steps = _weight_steps(layer, target, latencies[layer.name])
        count = -(-int(np.abs(steps).max(initial=0)) // top)
        if not 0 < count <= _MOST:
            layers.append(layer)
            continue
        name = fresh_name(f"{layer.name}.bias", taken)
        latencies[name] = 0
        added.append(_always_firing(name, count, layer, target))
        q_weight = np.stack([_weights_of(steps, i, top) for i in range(count)], 1)
        connection = QuantizedConnection(
            source=name, map=RealMap(weight=q_weight * layer.weight_scale[0]), delay=latencies[layer.name],
            q_weight=q_weight,
        )  # fmt: skip
        bias = _trained_bias(layer, target) - steps * layer.weight_scale[0]
        layers.append(replace(layer, connections=(*layer.connections, connection), bias=bias))
        what = (
            f"the bias of {np.count_nonzero(steps)} neurons would act before their first input; {count} neurons that "
            "fire in every step send it"
        )
        hint = "it costs their spikes; smaller negative biases need none"
        found.append(Issue(where=layer.name, what=what, hint=hint, fatal=False))
    return replace(network, layers=(*added, *layers), latencies=latencies).diagnosed(found)


def _weight_steps(layer: QuantizedLayer, target: TargetSpec, idle: int) -> Int64:
    """Weight steps of each neuron's bias that are sent, (neurons,); 0 where an initial state compensates it."""
    if not 0 < idle <= target.edge_delay_max or not layer.fires or layer.alpha.any() or layer.weight_scale.size > 1:
        return np.zeros(layer.size, np.int64)
    _, _, exact = initial_state(integer_layer(layer, target), idle, target)
    return np.where(exact, 0, integer_state(layer.bias, scale=layer.weight_scale, shift=0))


def _trained_bias(layer: QuantizedLayer, target: TargetSpec) -> Float64:
    """The biases; those of the register for a network that was trained with the register's biases.

    Without the large biases the register would have a smaller exponent, and would round the others differently.
    """
    if any(connection.map.weight_scale is None for connection in layer.connections):
        return layer.bias
    register = integer_layer(layer, target).bias
    return np.asarray(register * layer.weight_scale[0] / (1 << target.activation_shift), np.float64)


def _weights_of(steps: Int64, index: int, top: int) -> Int64:
    """Weights of one bias neuron: at most `top`, the first neurons first."""
    return np.asarray(np.sign(steps) * np.clip(np.abs(steps) - index * top, 0, top), np.int64)


def _always_firing(name: str, count: int, layer: QuantizedLayer, target: TargetSpec) -> QuantizedLayer:
    """Neurons whose bias exceeds their threshold by one least significant bit.

    Every layer of a Program has a connection: here from each neuron to itself, of weight 0.
    """
    one = np.ones(count)
    weight = np.zeros((count, 1, 1, 1))
    return QuantizedLayer(
        name=name,
        shape=(count, 1, 1),
        connections=(
            QuantizedConnection(
                source=name,
                map=RealMap(weight=weight, conv=ConvGeometry(in_shape=(count, 1, 1), groups=count)),
                model_delay=1,
                delay=max(1, target.edge_delay_min),
                q_weight=weight.astype(np.int64),
            ),
        ),
        bias=one + one / (1 << target.activation_shift),
        threshold=one,
        alpha=0 * one,
        beta=one,
        u_start=0 * one,
        v_start=0 * one,
        reset=layer.reset,
        weight_scale=np.ones(1),
    )
