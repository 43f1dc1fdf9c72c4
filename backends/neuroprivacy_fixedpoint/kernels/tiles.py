"""Layers whose weights are matrices, tile by tile: sums of some neurons over many steps, while their weights are near.

The events of many steps are listed once. Tiles of sums stay in registers while the events of a step are added; then the
states of their neurons do while the steps are gone through.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from neuroprivacy_fixedpoint.columns import EDGE, EVENTS, LAYER, STEPS, TILE
from neuroprivacy_fixedpoint.kernels.compiled import inlined, inner, intrinsic
from neuroprivacy_fixedpoint.kernels.events import list_ones
from neuroprivacy_fixedpoint.kernels.neurons import neurons_of_tile

_SOURCE, _SOURCE_SIZE, _DELAY = EDGE["SOURCE"], EDGE["SOURCE_SIZE"], EDGE["DELAY"]
_WEIGHTS, _LIMIT = EDGE["WEIGHTS"], EDGE["LIMIT"]
_FIRST_EDGE, _END_EDGE, _OFFSET, _STATE = (LAYER[n] for n in ("FIRST_EDGE", "END_EDGE", "OFFSET", "STATE"))
_CHANNELS, _ROWS, _COLUMNS = LAYER["CHANNELS"], LAYER["ROWS"], LAYER["COLUMNS"]


def _sum_kernel(*, adds: bool) -> Any:
    """Sums of a tile, which are written, or added to what is there."""

    @intrinsic
    def sum_tile(typing, weights, bases, first, end, offset, sums, at):  # type: ignore[no-untyped-def]
        """sums[at : at + TILE] = the weights from bases[first ... end - 1] + offset on, TILE of each.

        Events are added EVENTS at a time, in 16 bits where weights have 8, else in 64: in vectors as wide as the
        machine has them, which the compiler does not keep in registers by itself.
        """

        def generate(context, builder, signature, given):  # type: ignore[no-untyped-def]
            """Arrays are handed over by their memory alone: nothing is checked."""
            _, _, begin, stop, skipped, _, place = given
            weights_at, events, sums_at = (
                context.make_array(signature.args[i])(context, builder, given[i]).data for i in (0, 1, 5)
            )
            weight, total, number = weights_at.type.pointee, sums_at.type.pointee, ir.IntType(64)
            wide = ir.IntType(16 if weight.width == 8 else 64)
            weight_row, wide_row, total_row = (ir.VectorType(each, TILE) for each in (weight, wide, total))
            weights_at = builder.gep(weights_at, [skipped])
            before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
            nothing = ir.Constant(wide_row, [0] * TILE)
            builder.cbranch(builder.icmp_signed("<", begin, stop), loop, after)
            builder.position_at_end(loop)
            k, held = builder.phi(number), builder.phi(wide_row)
            added = held
            for event in range(EVENTS):
                base = builder.load(builder.gep(events, [builder.add(k, ir.Constant(number, event))]))
                row = builder.bitcast(builder.gep(weights_at, [builder.sext(base, number)]), weight_row.as_pointer())
                added = builder.add(added, builder.sext(builder.load(row, align=1), wide_row))
            k_next = builder.add(k, ir.Constant(number, EVENTS))
            k.add_incoming(begin, before)
            k.add_incoming(k_next, loop)
            held.add_incoming(nothing, before)
            held.add_incoming(added, loop)
            builder.cbranch(builder.icmp_signed("<", k_next, stop), loop, after)
            builder.position_at_end(after)
            found = builder.phi(wide_row)
            found.add_incoming(nothing, before)
            found.add_incoming(added, loop)
            value = found if total == wide else builder.sext(found, total_row)
            target = builder.bitcast(builder.gep(sums_at, [place]), total_row.as_pointer())
            if adds:
                value = builder.add(builder.load(target, align=4), value)
            builder.store(value, target, align=4)
            return context.get_dummy_value()

        return types.void(weights, bases, first, end, offset, sums, at), generate

    return sum_tile


_write_tile, _add_tile = _sum_kernel(adds=False), _sum_kernel(adds=True)


@inner
def _list_rows(layer, edges, fired, row, end, listed, starts):  # type: ignore[no-untyped-def]
    """List where the weights of the events of some rows begin, edge after edge; returns the row after the last one.

    At least one row, at most STEPS, as many as `listed` holds if all their sources fire. The events of an edge in one
    row are filled up to whole EVENTS with one behind its sources, of which the weights are zero.
    """
    first, last = layer[_FIRST_EDGE], layer[_END_EDGE]
    largest = found = k = 0
    for e in range(first, last):
        largest += edges[e, _SOURCE_SIZE] + TILE
    stop = row
    while stop < end and stop - row < STEPS and (stop == row or found + largest <= listed.size):
        for e in range(first, last):
            edge = edges[e]
            starts[k] = found
            found = list_ones(fired[stop - edge[_DELAY]], edge[_SOURCE], edge[_SOURCE_SIZE], TILE, listed, found)
            for filler in range(EVENTS - 1):
                listed[found + filler] = edge[_SOURCE_SIZE] * TILE
            found = (found + EVENTS - 1) // EVENTS * EVENTS
            k += 1
        stop += 1
    starts[k] = found
    return stop


@inner
def _sum_rows(layer, edges, weights, tile, rows, listed, starts, sums):  # type: ignore[no-untyped-def]
    """Sums of one tile in all listed rows: as many events in 16 bits as these hold, then the next."""
    first, last = layer[_FIRST_EDGE], layer[_END_EDGE]
    for e in range(first, last):
        offset = edges[e, _WEIGHTS] + tile * (edges[e, _SOURCE_SIZE] + 1) * TILE
        limit = edges[e, _LIMIT] // EVENTS * EVENTS
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
def advance_tiles(  # type: ignore[no-untyped-def]
    layer, low, high, begin, end, edges, weights, constants, fired, u, v, seen, listed, starts, sums
):  # fmt: skip
    """Compute rows begin ... end - 1 of tiles low ... high - 1 of a layer, one sample: some steps at a time."""
    size = layer[_CHANNELS] * layer[_ROWS] * layer[_COLUMNS]
    row = begin
    while row < end:
        stop = _list_rows(layer, edges, fired, row, end, listed, starts)
        for tile in range(low, high):
            _sum_rows(layer, edges, weights, tile, stop - row, listed, starts, sums)
            first = tile * TILE
            own = slice(layer[_STATE] + first, layer[_STATE] + min(size, first + TILE))
            neurons_of_tile(
                sums, stop - row, u[own], v[own], constants, layer, first, fired, row, layer[_OFFSET] + first, seen
            )
        row = stop
