"""Thresholds that differ by neuron, where the target has one per layer: each neuron is scaled to a common one.

A neuron is invariant under a common scale of its weights, bias, states and threshold. So a neuron with threshold θi
spikes as one with θ does whose weights, bias and initial states are multiplied by θ/θi; only the unit of its u and v
differs. A convolution whose thresholds differ within a channel is multiplied out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.kernels.formats import Float64
from neuroprivacy.lowering.draft import Draft, DraftLayer
from neuroprivacy.targets.spec import TargetSpec

#: Relative differences below this are rounding errors of single precision.
SAME = 1e-5


def differ(values: Float64) -> bool:
    """Whether the neurons of a layer really have different values."""
    return bool(np.ptp(values) > SAME * max(float(np.abs(values).max()), 1e-30))


def normalize_thresholds(draft: Draft, target: TargetSpec) -> Draft:
    """The draft with one threshold per layer, where the target asks for it.

    Raises:
        UnsupportedNode: a convolution would have to be multiplied out and is too large.
    """
    if target.threshold_per == "neuron":
        return draft
    return replace(draft, layers=tuple(_common(layer) for layer in draft.layers))


def _common(layer: DraftLayer) -> DraftLayer:
    """The layer with the median of its thresholds for all neurons."""
    if not layer.fires or not differ(layer.threshold):
        return layer
    theta = float(np.median(layer.threshold))
    factor = theta / layer.threshold
    return replace(
        layer,
        edges=tuple(edge.scaled(factor) for edge in layer.edges),
        threshold=np.full(layer.size, theta),
        bias=layer.bias * factor,
        u_start=layer.u_start * factor,
        v_start=layer.v_start * factor,
        unit=layer.unit / factor,
    )
