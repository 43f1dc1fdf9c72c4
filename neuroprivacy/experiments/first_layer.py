"""How fine a first layer's units may be: what a chip's current holds of graded input bounds them, not the weights."""

from __future__ import annotations

import nir
import numpy as np

from neuroprivacy.lowering import LowerOptions, scheduled_network
from neuroprivacy.lowering.quantization.round_weights import weight_grid
from neuroprivacy.lowering.quantization.scale_limits import smallest_scale
from neuroprivacy.targets.spec import load_target


def limited_channels(graph: nir.NIRGraph, *, target: str, bits: int, steps: int) -> tuple[int, int]:
    """In how many output channels of the first layer a width of the chip asks for a coarser unit than `bits` do.

    For graded input that width is the current's; channels without weights are not counted.

    Args:
        graph: of a feed-forward network.
        target: the chip.
        bits: of the weights.
        steps: of a run.

    Returns:
        So many channels, and all of them.
    """
    spec = load_target(target)
    network = scheduled_network(graph, target=spec, options=LowerOptions())
    first = network.layers[0]
    weight = first.connections[0].map.weight
    least = smallest_scale(first, spec, steps, network.input_ranges, rows=len(weight))
    own = np.abs(weight.reshape(len(weight), -1)).max(axis=1) / weight_grid(bits).high
    return int(((least > own) & (own > 0)).sum()), len(weight)
