"""Signed inputs on a chip that cannot send them: an on and an off channel, with weights W and -W."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.lowering.draft import Draft, DraftEdge
from neuroprivacy.targets.spec import TargetSpec


def split_signed_input(draft: Draft, target: TargetSpec) -> Draft:
    """The draft with signed ports doubled along their first axis, where the target has no signed messages.

    Raises:
        UnsupportedNode: a grouped convolution reads a signed port and is too large to be multiplied out.
    """
    signed = {port.name for port in draft.inputs if port.low < 0}
    if not signed or target.message_signed:
        return draft
    ports = tuple(
        replace(p, shape=(2 * p.shape[0], *p.shape[1:]), low=0, high=max(p.high, -p.low)) if p.name in signed else p
        for p in draft.inputs
    )
    layers = tuple(
        replace(layer, edges=tuple(_split(e) if e.source in signed else e for e in layer.edges))
        for layer in draft.layers
    )
    return replace(draft, inputs=ports, layers=layers, signed_split=True)


def _split(edge: DraftEdge) -> DraftEdge:
    """The edge from the doubled port."""
    weight = np.concatenate([edge.weight, -edge.weight], axis=1)
    if edge.conv is None:
        return replace(edge, weight=weight)
    if edge.conv.groups != 1:  # its channels would lie apart from each other
        return _split(edge.as_matrix())
    channels, height, width = edge.conv.in_shape
    return replace(edge, weight=weight, conv=replace(edge.conv, in_shape=(2 * channels, height, width)))
