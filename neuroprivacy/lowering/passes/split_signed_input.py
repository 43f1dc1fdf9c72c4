"""Signed input on a target without signed messages: an on and an off channel, with weights W and -W."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.lowering.ir.real import RealMap, RealNetwork
from neuroprivacy.lowering.options import LoweringContext


def split_signed_input(network: RealNetwork, context: LoweringContext) -> RealNetwork:
    """The network with signed ports doubled along their first axis, where the target has no signed messages.

    Raises:
        UnsupportedNode: a grouped convolution reads a signed port and is too large to be unrolled.
    """
    signed = {port.name for port in network.inputs if port.low < 0}
    if not signed or context.target.message_signed:
        return network
    ports = tuple(
        replace(p, shape=(2 * p.shape[0], *p.shape[1:]), low=0, high=max(p.high, -p.low)) if p.name in signed else p
        for p in network.inputs
    )
    layers = tuple(
        replace(
            layer,
            connections=tuple(
                replace(c, map=_split(c.map, c.source)) if c.source in signed else c for c in layer.connections
            ),
        )
        for layer in network.layers
    )
    return replace(network, inputs=ports, layers=layers, signed_split=True)


def _split(linear: RealMap, source: str) -> RealMap:
    """The map that reads the port's positive and negative channel."""
    weight = np.concatenate([linear.weight, -linear.weight], axis=1)
    if linear.conv is None:
        return replace(linear, weight=weight)
    if linear.conv.groups != 1:  # the on and off channels of one group would not be adjacent
        return _split(linear.as_matrix(where=source), source)
    channels, height, width = linear.conv.in_shape
    return replace(linear, weight=weight, conv=replace(linear.conv, in_shape=(2 * channels, height, width)))
