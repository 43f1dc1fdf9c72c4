"""Thresholds that differ by neuron where the target has one per layer: every neuron is scaled to a common one.

A neuron is invariant under a common scale of its weights, bias, states and threshold. A neuron with threshold θi spikes
as one with threshold θ whose weights, bias and initial states are multiplied by θ/θi; only its state scale differs. A
convolution whose thresholds differ within a channel is unrolled.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.kernels.rounding import differ
from neuroprivacy.lowering.ir.real import RealLayer, RealNetwork
from neuroprivacy.lowering.options import LoweringContext


def normalize_thresholds(network: RealNetwork, context: LoweringContext) -> RealNetwork:
    """The network with one threshold per layer, where the target has one.

    Raises:
        UnsupportedNode: a convolution would have to be unrolled and is too large.
    """
    if context.target.threshold_per == "neuron":
        return network
    return replace(network, layers=tuple(_normalized(layer) for layer in network.layers))


def _normalized(layer: RealLayer) -> RealLayer:
    """The layer with the median of its thresholds for all neurons."""
    if not layer.fires or not differ(layer.threshold):
        return layer
    theta = float(np.median(layer.threshold))
    factor = theta / layer.threshold
    return replace(
        layer,
        connections=tuple(replace(c, map=c.map.scaled(factor, where=c.source)) for c in layer.connections),
        threshold=np.full(layer.size, theta),
        bias=layer.bias * factor,
        u_start=layer.u_start * factor,
        v_start=layer.v_start * factor,
        state_scale=layer.state_scale / factor,
    )
