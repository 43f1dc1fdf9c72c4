"""Multiply-accumulates of the ANN that has the same layers as a Program.

    dense         inputs · outputs
    convolution   one per output, kernel position inside the image, and input channel of the group

A layer's MACs are the weights that it would touch if every source value were non-zero, borders counted as
they are (padding costs nothing). Three things differ from the spiking network and are undone here:

    sum pool      spikes pass the pool one by one, an ANN convolves the pooled map: counted on `pooled_shape`;
    recurrence    an edge from the layer itself or a later one has no place in a feed-forward ANN: left out;
    on and off    signed input split in two channels for the chip is one channel in the ANN: counted once.
"""

from __future__ import annotations

from dataclasses import replace

from neuroprivacy.program import ConvMap, Edge, Layer, LinearMap, Program


def map_macs(linear: LinearMap) -> int:
    """MACs of one linear map for one input of the ANN; the pool itself (additions) is not counted."""
    if isinstance(linear, ConvMap) and (linear.pool, linear.pool_stride) != ((1, 1), (1, 1)):
        linear = replace(linear, in_shape=linear.pooled_shape, pool=(1, 1), pool_stride=(1, 1))
    return int(linear.fan_out().sum())


def splits_sign(program: Program) -> bool:
    """Whether the input ports carry signed values as an on and an off channel.

    True where the encoder gives signed values and no port may be negative; then half of a port's values are
    the negative copies of the other half.
    """
    signed = program.encoder.get("coding") == "poisson-signed"
    return signed and all(port.low >= 0 for port in program.inputs)


def recurrent_edges(program: Program) -> tuple[tuple[Layer, Edge], ...]:
    """Edges whose source is the layer itself or a later one: no ANN MACs."""
    return tuple(
        (layer, edge)
        for i, layer in enumerate(program.layers)
        for edge in layer.edges
        if edge.source in {later.name for later in program.layers[i:]}
    )


def layer_macs(program: Program) -> dict[str, int]:
    """Layer name -> MACs of one inference of the ANN."""
    recurrent = {id(edge) for _, edge in recurrent_edges(program)}
    ports = {port.name for port in program.inputs}
    halved = splits_sign(program)
    return {
        layer.name: sum(
            map_macs(edge.map) // (2 if halved and edge.source in ports else 1)
            for edge in layer.edges
            if id(edge) not in recurrent
        )
        for layer in program.layers
    }


def ann_macs(program: Program) -> int:
    """MACs of one inference of the whole ANN."""
    return sum(layer_macs(program).values())
