"""Layers become populations, on a target with one threshold, one weight scale and one decay per population.

Output channels that share them stay together (`decay_classes`, `kernels.channel_groups`). Connections into the layer
are split by rows, connections out of it by columns. The network is the same; exact integers are added in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64, Number
from neuroprivacy.lowering.ir.quantized import QuantizedConnection, QuantizedLayer, QuantizedNetwork
from neuroprivacy.lowering.ir.real import RealLayer, RealNetwork, fresh_name
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.targets.spec import TargetSpec


def channels_of(network: RealNetwork, layer: RealLayer, target: TargetSpec) -> int:
    """Output channels (neurons, where no convolution leads in) by which a layer can be split; 1 where it cannot.

    An output stays one layer; so does a layer behind a grouped convolution, or one that a convolution reads by other
    channels.
    """
    if target.threshold_per == "neuron" or layer.name in network.outputs or not layer.fires:
        return 1
    into = [c.map for c in layer.connections if c.map.conv is not None]
    counts = {len(linear.weight) for linear in into}
    if len(counts) > 1 or any(linear.conv is not None and linear.conv.groups > 1 for linear in into):
        return 1
    channels = counts.pop() if counts else layer.size if len(layer.shape) == 1 else 1
    readers = [c.map.conv for each in network.layers for c in each.connections if c.source == layer.name]
    fits = all(conv is None or (conv.groups == 1 and conv.in_shape[0] == channels) for conv in readers)
    return channels if fits else 1


def decay_classes(layer: RealLayer, channels: int) -> Int64 | None:
    """Class of each channel, (channels,), by its decays; None where neurons of one channel differ."""
    pairs = np.round(np.stack([layer.alpha, layer.beta], 1), 9).reshape(channels, -1, 2)
    if np.ptp(pairs, axis=1).any():
        return None
    return np.asarray(np.unique(pairs[:, 0], axis=0, return_inverse=True)[1].reshape(-1), np.int64)


def split_populations(network: QuantizedNetwork, context: LoweringContext) -> QuantizedNetwork:
    """The network with each layer of `channel_groups` split into populations, one for each group."""
    groups = network.channel_groups
    taken = {port.name for port in network.inputs} | {layer.name for layer in network.layers}
    parts: dict[str, dict[str, Int64]] = {}
    for name, group in groups.items():
        if group.max(initial=0) > 0:
            members = [np.flatnonzero(group == i) for i in range(int(group.max()) + 1)]
            parts[name] = {fresh_name(f"{name}.{i + 1}", taken): channels for i, channels in enumerate(members)}
    layers: list[QuantizedLayer] = []
    populations: dict[str, dict[str, Int64]] = {}
    for layer in network.layers:
        connections = tuple(cut for c in layer.connections for cut in _by_source(c, parts, groups))
        layer = replace(layer, connections=connections)
        if layer.name not in parts:
            layers.append(layer)
            continue
        count = len(groups[layer.name])
        numbers = np.arange(layer.size)
        populations[layer.name] = {name: _rows(numbers, at, count) for name, at in parts[layer.name].items()}
        layers += [_population(layer, name, at, count) for name, at in parts[layer.name].items()]
    latencies = {
        **network.latencies, **{name: network.latencies[layer] for layer, of in parts.items() for name in of}
    }  # fmt: skip
    return replace(network, layers=tuple(layers), latencies=latencies, channel_groups={}, populations=populations)


def _population(layer: QuantizedLayer, name: str, channels: Int64, count: int) -> QuantizedLayer:
    """The population of some of a layer's `count` channels."""
    neurons = len(channels) * (layer.size // count)
    return replace(
        layer,
        name=name,
        shape=(len(channels), *layer.shape[1:]) if layer.shape[0] == count else (neurons,),
        connections=tuple(_to_channels(c, channels, count) for c in layer.connections),
        bias=_rows(layer.bias, channels, count),
        threshold=_rows(layer.threshold, channels, count),
        alpha=_rows(layer.alpha, channels, count),
        beta=_rows(layer.beta, channels, count),
        u_start=_rows(layer.u_start, channels, count),
        v_start=_rows(layer.v_start, channels, count),
        state_scale=layer.state_scale if layer.state_scale.size == 1 else _rows(layer.state_scale, channels, count),
        weight_scale=layer.weight_scale if layer.weight_scale.size == 1 else layer.weight_scale[channels[:1]],
    )


def _rows(values: NDArray[Number], channels: Int64, count: int) -> NDArray[Number]:
    """The rows of (neurons, ...) that belong to some of `count` channels."""
    cut = values.reshape(count, -1, *values.shape[1:])[channels]
    return np.ascontiguousarray(cut.reshape(-1, *values.shape[1:]))


def _columns(values: NDArray[Number], channels: Int64, count: int) -> NDArray[Number]:
    """The columns of (outputs, inputs, ...) that belong to some of `count` channels."""
    return np.ascontiguousarray(_rows(values.swapaxes(0, 1), channels, count).swapaxes(0, 1))


def _to_channels(connection: QuantizedConnection, channels: Int64, count: int) -> QuantizedConnection:
    """The part of a connection that leads to some channels of its target."""
    linear, scale = connection.map, connection.map.weight_scale
    scale = scale if scale is None or scale.size == 1 else _rows(scale, channels, count)
    return replace(
        connection,
        map=replace(linear, weight=_rows(linear.weight, channels, count), weight_scale=scale),
        q_weight=_rows(connection.q_weight, channels, count),
    )


def _by_source(
    connection: QuantizedConnection, parts: Mapping[str, Mapping[str, Int64]], groups: Mapping[str, Int64]
) -> tuple[QuantizedConnection, ...]:
    """A connection from a split layer, as one connection from each of its populations."""
    if connection.source not in parts:
        return (connection,)
    count = len(groups[connection.source])
    return tuple(
        _from_channels(connection, name, channels, count) for name, channels in parts[connection.source].items()
    )


def _from_channels(connection: QuantizedConnection, source: str, channels: Int64, count: int) -> QuantizedConnection:
    """The part of a connection that comes from some of the `count` channels of its source."""
    linear = connection.map
    conv = linear.conv and replace(linear.conv, in_shape=(len(channels), *linear.conv.in_shape[1:]))
    return replace(
        connection,
        source=source,
        map=replace(linear, weight=_columns(linear.weight, channels, count), conv=conv),
        q_weight=_columns(connection.q_weight, channels, count),
    )
