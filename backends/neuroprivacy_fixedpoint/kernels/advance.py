"""The entry point: a range of layers over a time block, and the event counters."""

from __future__ import annotations

from typing import Any

from neuroprivacy_fixedpoint.columns import TILE
from neuroprivacy_fixedpoint.kernels.arguments import Buffers, Counters, Network, Scratch, Span
from neuroprivacy_fixedpoint.kernels.compiled import entry, inner, sources
from neuroprivacy_fixedpoint.kernels.counting import count_rows
from neuroprivacy_fixedpoint.kernels.neurons import last_current, neurons
from neuroprivacy_fixedpoint.kernels.synaptic_input import same_input, sum_step
from neuroprivacy_fixedpoint.kernels.tiles import advance_tiles


@inner
def _advance_rows(layer, low, high, span, network, sample, seen, scratch):
    """Compute a time block of output rows low ... high - 1 of a layer for one sample, one time step after another."""
    fired, u, v, constants = sample.fired, sample.u, sample.v, network.constants
    short_sums, sums = scratch.short_sums, scratch.sums
    line = layer.columns * layer.channels
    first, last = low * line, high * line
    own = slice(layer.state + first, layer.state + last)
    short = False
    for row in range(span.begin, span.end):
        if row == span.begin or not layer.steady or not same_input(layer, network.edges, row, sample.graded):
            short = sum_step(layer, low, high, row, network, sample, scratch)
        at = layer.offset + first
        if short:
            neurons(short_sums, u[own], v[own], constants, layer, first, fired, row, at, seen)
        else:
            neurons(sums, u[own], v[own], constants, layer, first, fired, row, at, seen)
    if not layer.has_current:
        if short:
            last_current(short_sums, u[own], layer.shift)
        else:
            last_current(sums, u[own], layer.shift)


@inner
def _advance_layer(n, span, network, sample, scratch):
    """Compute a time block of one partition of a layer for one sample."""
    layer = network.layers[n]
    line = layer.columns * layer.channels
    size = layer.rows * line
    # Partitions end where a tile does: a partition is a number of tiles, or of output rows that make whole tiles.
    unit, rows = (TILE, 1) if layer.tiled else (line, max(1, TILE // (line & -line)))
    units = (size + unit * rows - 1) // (unit * rows)
    low = units * span.partition // span.partitions * rows
    high = units * (span.partition + 1) // span.partitions * rows
    if not layer.tiled:
        high = min(high, layer.rows)
    seen = sample.seen[n]
    if span.fresh:
        seen[:] = 0
        for j in range(layer.state + low * unit, layer.state + min(size, high * unit)):
            sample.u[j], sample.v[j] = network.u_init[j], network.v_init[j]
    if low == high:
        return
    if layer.tiled:
        advance_tiles(layer, low, high, span, network, sample, seen, scratch)
    else:
        _advance_rows(layer, low, high, span, network, sample, seen, scratch)


@inner
def _sample(batch, s):
    """The buffers of one sample of the batch."""
    return Buffers(batch.fired[s], batch.graded[s], batch.u[s], batch.v[s], batch.seen[s])


def _compiled(sources: str) -> Any:
    """The entry point; numba caches it with all functions that it calls."""

    @entry
    def advance(
        first_layer, end_layer, loop, counts, partition, partitions, begin, end, fresh, arrays, buffers, thread, tally
    ):  # fmt: skip
        """Compute a time block of some layers for all samples of a batch.

        Layers are computed one after another over all time steps, while their weights are in cache. Layers of a loop
        are computed time step by time step. Numba compiles two versions: one for layers with 8-bit weights and 32-bit
        integers, and one for all others.

        Args:
            first_layer, end_layer: which layers; `loop`: whether they form one.
            counts: whether all layers are then complete, and events are counted.
            partition, partitions, begin, end, fresh: see `Span`. All earlier rows that a delay can reach, and one
                more, lie before `begin`.
            arrays: see `Network`; `buffers`: see `Buffers`; `thread`: see `Scratch`; `tally`: see `Counters`.
        """
        _of = sources  # in the closure, see `compiled`
        network, batch, scratch = Network(*arrays), Buffers(*buffers), Scratch(*thread)
        samples = len(batch.fired)
        if loop:
            for s in range(samples):
                sample = _sample(batch, s)
                for row in range(begin, end):
                    step = Span(partition, partitions, row, row + 1, fresh and row == begin)
                    for n in range(first_layer, end_layer):
                        _advance_layer(n, step, network, sample, scratch)
        else:
            block = Span(partition, partitions, begin, end, fresh)
            for n in range(first_layer, end_layer):
                for s in range(samples):
                    _advance_layer(n, block, network, _sample(batch, s), scratch)
        if counts:
            count_rows(batch, begin, end, fresh, scratch.value, Counters(*tally))

    return advance


advance = _compiled(sources())
