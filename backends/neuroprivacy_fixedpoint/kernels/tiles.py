"""Dense layers in tiles of neurons: many time steps of a tile are computed while its weights are in cache.

The events of many time steps are listed once. The synaptic input of a tile stays in registers while the events of one
time step are added. Its neurons' states then stay in registers over all these time steps.
"""

from __future__ import annotations

from neuroprivacy_fixedpoint.columns import EVENTS, STEPS, TILE
from neuroprivacy_fixedpoint.kernels.compiled import inlined, inner
from neuroprivacy_fixedpoint.kernels.events import list_ones
from neuroprivacy_fixedpoint.kernels.neurons import last_current, neurons_in_tiles
from neuroprivacy_fixedpoint.kernels.tile_sums import fill_up, tile_sum_kernel

_write_tile, _add_tile = tile_sum_kernel(TILE, adds=False), tile_sum_kernel(TILE, adds=True)


@inner
def _list_rows(layer, edges, fired, row, end, listed, starts):
    """List where the weights of the events of some rows begin, edge after edge; returns the row after the last one.

    At least one row, at most STEPS, as many as `listed` holds if all their sources fire. The events of an edge in one
    row are filled up to whole EVENTS with one behind its sources, of which the weights are zero.
    """
    first, last = layer.first_edge, layer.end_edge
    largest = found = k = 0
    for e in range(first, last):
        largest += edges[e].source_size + TILE
    stop = row
    while stop < end and stop - row < STEPS and (stop == row or found + largest <= listed.size):
        for e in range(first, last):
            starts[k], size = found, edges[e].source_size
            # Where it lies among all bytes: to take a row out of an array costs as much as to look through it.
            at = (stop - edges[e].delay) * fired.shape[1] + edges[e].source
            found = list_ones(fired, at, size, 0, TILE, listed, found)
            found = fill_up(listed, found, size * TILE)
            k += 1
        stop += 1
    starts[k] = found
    return stop


@inner
def _sum_rows(layer, edges, weights, tile, rows, listed, starts, sums):
    """Synaptic input of one tile in all listed rows, at most `max_events` events in 16 bits at a time."""
    first, last = layer.first_edge, layer.end_edge
    for e in range(first, last):
        offset = edges[e].weights + tile * (edges[e].source_size + 1) * TILE
        limit = edges[e].max_events // EVENTS * EVENTS
        k = e - first
        for step in range(rows):
            begin, end = starts[k], starts[k + 1]
            if e == first:
                _write_tile(weights, listed, begin, min(end, begin + limit), offset, sums, step * TILE)
                begin += limit
            while begin < end:
                _add_tile(weights, listed, begin, min(end, begin + limit), offset, sums, step * TILE)
                begin += limit
            k += last - first


@inlined
def advance_tiles(layer, low, high, span, network, sample, seen, scratch):
    """Compute a time block of tiles low ... high - 1 of a layer for one sample, up to STEPS time steps at once."""
    edges, constants, fired, u, v = network.edges, network.constants, sample.fired, sample.u, sample.v
    listed, starts, sums, end = scratch.listed, scratch.starts, scratch.sums, span.end
    size = layer.channels * layer.rows * layer.columns
    row = span.begin
    while row < end:
        stop = _list_rows(layer, edges, fired, row, end, listed, starts)
        for tile in range(low, high):
            _sum_rows(layer, edges, network.weights, tile, stop - row, listed, starts, sums)
            first = tile * TILE
            own = slice(layer.state + first, layer.state + min(size, first + TILE))
            neurons_in_tiles(
                sums, stop - row, u[own], v[own], constants, layer, first, fired, row, layer.offset + first, seen
            )
            if stop == end and not layer.has_current:
                last_current(sums[(stop - row - 1) * TILE :], u[own], layer.shift)
        row = stop
