"""Convolutions in tiles of channels: the coincident events of a position are listed, then summed in registers.

The events that one kernel row sees are contiguous in the list of all events, each with the offset of its weights for a
kernel at column 0. The coincident events of a position are therefore one copied segment for each kernel row.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types

from neuroprivacy_fixedpoint.columns import EVENTS, STEPS
from neuroprivacy_fixedpoint.kernels.compiled import inner, intrinsic
from neuroprivacy_fixedpoint.kernels.tile_sums import fill_up, tile_sum_kernel
from neuroprivacy_fixedpoint.kernels.vectors import everywhere, place

#: Events copied at once.
_AT_ONCE = 32

_add_16, _add_32, _add_64 = (tile_sum_kernel(width, adds=True) for width in (16, 32, 64))


@intrinsic
def _copy(typing, source, first, to, at, shift):
    """to[at : at + _AT_ONCE] = source[first : first + _AT_ONCE] + shift."""

    def generate(context, builder, signature, given):
        """Arrays are handed over by their memory alone: nothing is checked."""
        number = ir.IntType(32)
        some = ir.VectorType(number, _AT_ONCE)
        of, into = (
            builder.bitcast(place(context, builder, signature.args[i], given[i], given[i + 1]), some.as_pointer())
            for i in (0, 2)
        )
        shifts = everywhere(builder, builder.trunc(given[4], number), _AT_ONCE)
        builder.store(builder.add(builder.load(of, align=4), shifts), into, align=4)
        return context.get_dummy_value()

    return types.void(source, first, to, at, shift), generate


@inner
def _gather(edge, bases, starts, y, x, listed, found):
    """Append the coincident events of output position (y, x), padded to a multiple of EVENTS.

    One segment for each kernel row; with dilated columns, one for each kernel entry.
    """
    height, width, of_column = edge.pooled_height, edge.pooled_width, edge.channels * edge.tile
    dilation, kernel_columns = edge.dilation_columns, edge.kernel_columns
    top = y * edge.stride_rows - edge.pad_rows
    column = x * edge.stride_columns - edge.pad_columns
    pieces, columns = (1, kernel_columns) if dilation == 1 else (kernel_columns, 1)
    for j in range(pieces):
        begin, end = max(0, column), min(width, column + columns)
        shift, row = (j - column) * of_column, top
        if begin < end:
            for _ in range(edge.kernel_rows):
                if row >= 0 and row < height:
                    first, last = starts[row * width + begin], starts[row * width + end]
                    for k in range(first, last, _AT_ONCE):
                        _copy(bases, k, listed, found + k - first, shift)
                    found += last - first
                row += edge.dilation_rows
                shift += kernel_columns * of_column
        column += dilation
    return fill_up(listed, found, edge.taps * of_column)


@inner
def _add(weights, listed, begin, end, offset, tile, sums, at):
    """Add the weights of events to the sums of one tile."""
    if tile == 64:
        _add_64(weights, listed, begin, end, offset, sums, at)
    elif tile == 32:
        _add_32(weights, listed, begin, end, offset, sums, at)
    else:
        _add_16(weights, listed, begin, end, offset, sums, at)


@inner
def add_conv_tiles(edge, weights, bases, starts, most, grid, limit, listed, ends, sums):
    """Add the events of a convolution to some output rows.

    Args:
        bases: offset of the weights of each event for a kernel at column 0, position after position.
        starts: where the events of each position begin; `most` is the most of one.
        grid: first and end output row, columns, channels.
        limit: events that are added in 16 bits at a time. The synaptic input must fit the type of `sums`.
        listed, ends: scratch.
    """
    low, high, columns, channels = grid
    tile, first, last = edge.tile, low * columns, high * columns
    of_tile = (edge.taps * edge.channels + 1) * tile
    largest = most * edge.taps + _AT_ONCE + EVENTS
    limit = limit // EVENTS * EVENTS
    position = first
    while position < last:
        found = count = 0
        while position + count < last and count < STEPS and (count == 0 or found + largest <= listed.size):
            ends[count] = found
            y = (position + count) // columns
            found = _gather(edge, bases, starts, y, position + count - y * columns, listed, found)
            count += 1
        ends[count] = found
        for t in range(channels // tile):
            offset = edge.tile_weights + t * of_tile
            for k in range(count):
                at = (position + k - first) * channels + t * tile
                begin, end = ends[k], ends[k + 1]
                while begin < end:
                    _add(weights, listed, begin, min(end, begin + limit), offset, tile, sums, at)
                    begin += limit
        position += count
