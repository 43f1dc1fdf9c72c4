"""Weight scales of a first layer of graded input: the chip's current, not the weight width, bounds them from below."""

from __future__ import annotations

import nir
import numpy as np

from neuroprivacy.lowering import LowerOptions, scheduled_network
from neuroprivacy.lowering.quantization.round_weights import weight_grid
from neuroprivacy.lowering.quantization.scale_limits import smallest_scale
from neuroprivacy.targets.spec import load_target


def limited_channels(graph: nir.NIRGraph, *, target: str, bits: int, steps: int) -> tuple[int, int]:
    """Number of output channels of the first layer whose weight scale the chip's widths bound, rather than `bits`.

    For graded input the width is that of the current; channels without weights are not counted.

    Args:
        graph: of a feed-forward network.
        target: the chip.
        bits: of the weights.
        steps: of a run.

    Returns:
        That number, and the number of all channels.
    """
    spec = load_target(target)
    network = scheduled_network(graph, target=spec, options=LowerOptions())
    first = network.layers[0]
    weight = first.connections[0].map.weight
    least = smallest_scale(first, spec, steps, network.input_ranges, rows=len(weight))
    own = np.abs(weight.reshape(len(weight), -1)).max(axis=1) / weight_grid(bits).high
    return int(((least > own) & (own > 0)).sum()), len(weight)
