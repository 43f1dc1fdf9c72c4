"""What each layer's weights are multiplied with, from samples: second moments of the sources of every edge.

The float network runs on the samples, and every edge collects E[x xᵀ] over samples, steps and, for a convolution,
output positions; x is what one output sees (a row of inputs, or a patch).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels import conv_patches
from neuroprivacy.lower.draft import Draft, DraftEdge, Float64
from neuroprivacy.lower.float_run import delayed_source, run_float

#: Above so many columns only the diagonal is kept.
MAX_COLUMNS = 4608
#: Rows (samples x steps x positions) that one edge looks at.
_MAX_ROWS = 60_000
_CHUNK = 16

Moments = Mapping[str, tuple[Float64, ...]]


def source_moments(draft: Draft, inputs: Mapping[str, NDArray[np.int64]]) -> dict[str, tuple[Float64, ...]]:
    """Layer name -> for each of its edges (groups, columns, columns), or (groups, columns) for the diagonal alone.

    Args:
        draft: the network.
        inputs: port name -> (samples, steps, values): calibration samples, as they would be sent.
    """
    samples = len(next(iter(inputs.values())))
    totals: dict[str, list[Float64]] = {}
    counts: dict[str, list[int]] = {}
    for first in range(0, samples, _CHUNK):
        part = {name: array[first : first + _CHUNK] for name, array in inputs.items()}
        spikes = run_float(draft, part).spikes
        steps = next(iter(part.values())).shape[1]
        for layer in draft.layers:
            for i, edge in enumerate(layer.edges):
                seen = delayed_source(edge, part, spikes, 0, steps)
                rows = _rows(edge, seen.reshape(-1, seen.shape[2]), share=samples / _CHUNK)
                moment = _moment(rows)
                if first == 0:
                    totals.setdefault(layer.name, []).append(moment)
                    counts.setdefault(layer.name, []).append(rows.shape[1])
                else:
                    totals[layer.name][i] += moment
                    counts[layer.name][i] += rows.shape[1]
    return {
        name: tuple(total / max(n, 1) for total, n in zip(of, counts[name], strict=True)) for name, of in totals.items()
    }


def _moment(rows: Float64) -> Float64:
    """Sum of x xᵀ of (groups, rows, columns), or its diagonal."""
    if rows.shape[2] > MAX_COLUMNS:
        squares: Float64 = (rows**2).sum(1)
        return squares
    products: Float64 = np.matmul(rows.transpose(0, 2, 1), rows)
    return products


def _rows(edge: DraftEdge, x: Float64, *, share: float) -> Float64:
    """What each output sees: (groups, rows, columns); at most this chunk's share of _MAX_ROWS rows."""
    limit = max(64, int(_MAX_ROWS / max(share, 1)))
    if edge.conv is None:
        return _thinned(x, limit)[np.newaxis]
    conv = edge.conv
    pooled = conv.pooled(x.reshape(-1, *conv.in_shape))
    kernel = (edge.weight.shape[2], edge.weight.shape[3])
    # Fewer images rather than fewer positions of each: neighbours see nearly the same.
    patches = conv_patches(
        _thinned(pooled, max(8, limit // (conv.in_shape[1] * conv.in_shape[2]))),
        kernel=kernel, stride=conv.stride, padding=conv.padding, dilation=conv.dilation,
    )  # fmt: skip
    images, positions = len(patches), patches.shape[4] * patches.shape[5]
    grouped = patches.reshape(images, conv.groups, -1, positions)
    return grouped.transpose(1, 0, 3, 2).reshape(conv.groups, images * positions, -1)


def _thinned(x: Float64, limit: int) -> Float64:
    """Evenly chosen rows."""
    return x if len(x) <= limit else x[np.linspace(0, len(x) - 1, limit).astype(np.int64)]
