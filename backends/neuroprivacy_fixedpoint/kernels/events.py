"""Event lists: the non-zero values of a source in one time step, for a whole layer or by position."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from neuroprivacy_fixedpoint.columns import CONV
from neuroprivacy_fixedpoint.kernels.compiled import inlined, inner, intrinsic, machine_features
from neuroprivacy_fixedpoint.kernels.vectors import everywhere, place

#: Least channels for which each position is scanned separately.
_MANY = 8
_ALL = np.uint64(2**64 - 1)


@intrinsic
def _mask(typing, row, at):
    """Which of the 64 bytes from row[at] on are not zero, as bits, the first byte's the lowest."""

    def generate(context, builder, signature, given):
        """Arrays are handed over by their memory alone: nothing is checked."""
        bytes_ = ir.VectorType(ir.IntType(8), 64)
        source = place(context, builder, signature.args[0], given[0], given[1])
        values = builder.load(builder.bitcast(source, bytes_.as_pointer()), align=1)
        found = builder.icmp_unsigned("!=", values, ir.Constant(bytes_, [0] * 64))
        return builder.bitcast(found, ir.IntType(64))

    return types.uint64(row, at), generate


@intrinsic
def _count_bits(typing, mask):
    """Number of bits that are set in a mask."""

    def generate(context, builder, signature, given):
        """One instruction, where the machine has it."""
        return builder.ctpop(given[0])

    return types.int64(mask), generate


@intrinsic
def _put_lowest(typing, index, at, mask, first, step):
    """index[at : at + 8] = (first + the places of the lowest eight bits of a mask) * step; returns the other bits."""

    def generate(context, builder, signature, given):
        """Where there are fewer bits, anything is written behind them. Nothing is checked."""
        target = place(context, builder, signature.args[0], given[0], given[1])
        rest, one = given[2], ir.Constant(ir.IntType(64), 1)
        for k in range(8):
            lowest = builder.cttz(rest, ir.Constant(ir.IntType(1), 0))
            value = builder.mul(builder.add(lowest, given[3]), given[4])
            builder.store(builder.trunc(value, ir.IntType(32)), builder.gep(target, [ir.Constant(ir.IntType(64), k)]))
            rest = builder.and_(rest, builder.sub(rest, one))
        return rest

    return types.uint64(index, at, mask, first, step), generate


@inner
def _put_one_by_one(index, at, mask, first, step):
    """index[at ...] = (first + the places of all bits of a mask) * step; up to seven more numbers are written."""
    while mask:
        mask = _put_lowest(index, at, mask, first, step)
        at += 8


@intrinsic
def _put_compressed(typing, index, at, mask, first, step):
    """The same, in a third of the time, where the machine can compress bytes; 64 numbers may be written."""

    def generate(context, builder, signature, given):
        """Sixteen numbers are written in any case, the others if there are more bits. Nothing is checked."""
        target = place(context, builder, signature.args[0], given[0], given[1])
        byte, number = ir.IntType(8), ir.IntType(32)
        places, bits = ir.VectorType(byte, 64), ir.VectorType(ir.IntType(1), 64)
        compress = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(places, [places, places, bits]), "llvm.x86.avx512.mask.compress.v64i8"
        )
        every, none = ir.Constant(places, list(range(64))), ir.Constant(places, [0] * 64)
        found = builder.call(compress, [every, none, builder.bitcast(given[2], bits)])
        some = ir.VectorType(number, 16)
        begin, times = (everywhere(builder, builder.trunc(given[i], number), 16) for i in (3, 4))

        def put(part: int) -> None:
            """Sixteen of them."""
            which = ir.Constant(some, list(range(16 * part, 16 * part + 16)))
            values = builder.zext(builder.shuffle_vector(found, none, which), some)
            to = builder.gep(target, [ir.Constant(ir.IntType(64), 16 * part)])
            values = builder.mul(builder.add(values, begin), times)
            builder.store(values, builder.bitcast(to, some.as_pointer()), align=4)

        put(0)
        more = builder.icmp_unsigned(">", builder.ctpop(given[2]), ir.Constant(ir.IntType(64), 16))
        with builder.if_then(more, likely=False):
            for part in range(1, 4):
                put(part)
        return context.get_dummy_value()

    return types.void(index, at, mask, first, step), generate


_put_places = _put_compressed if "+avx512vbmi2" in machine_features() else _put_one_by_one


@inlined
def list_ones(row, first, size, number, step, index, found):
    """Append step times the numbers of the non-zero bytes. 64 bytes are examined at a time.

    More numbers may be written than are counted.

    Args:
        row: bytes, in one row or some; `first` is the first one of all, `size` how many; 63 more can be read.
        number: of the first one.
        index: int32, 64 longer than what can be listed.
        found: how many are listed; returns how many are then.
    """
    for at in range(0, size, 64):
        mask = _mask(row, first + at) & (_ALL >> np.uint64(max(0, 64 - (size - at))))
        _put_places(index, found, mask, np.uint64(number + at), np.uint64(step))
        found += _count_bits(mask)
    return found


@inner
def count_ones(row, first, size):
    """Number of bytes that are not zero; the array is zero up to the next multiple of 64."""
    found = np.int64(0)
    for at in range(first, first + size, 64):
        found += _count_bits(_mask(row, at))
    return found


@inner
def _list_units(source, first, count, index, found):
    """Append the places of small counts, each as often as it counts: branch-free but for values above one."""
    for i in range(count):
        x = source[first + i]
        index[found] = i
        found += x != 0
        if x > 1:
            for _ in range(x - 1):
                index[found] = i
                found += 1
    return found


@inner
def list_values(source, size, index, value):
    """List the non-zero entries of one step with their values; returns how many."""
    found = 0
    for i in range(size):
        x = source[i]
        index[found] = i
        value[found] = x
        found += x != 0
    return found


@inner
def pool(edge, source, pooled):
    """Sum one step over pooling windows, channels-last."""
    channels, width = edge.channels, edge.width
    target = 0
    for row in range(edge.pooled_height):
        for column in range(edge.pooled_width):
            into = pooled[target : target + channels]
            into[:] = 0
            for y in range(row * edge.pool_stride_rows, row * edge.pool_stride_rows + edge.pool_rows):
                left = column * edge.pool_stride_columns
                for x in range(left, left + edge.pool_columns):
                    first = (y * width + x) * channels
                    of = source[first : first + channels]
                    for c in range(channels):
                        into[c] += of[c]
            target += channels


@inlined
def _numbering(edge, column, tile):
    """Number of the first channel of a position, and the increment per channel.

    For convolutions in tiles, an event's number is the offset of its weights in a row of positions.
    """
    return (column * edge.channels, tile) if tile else (0, 1)


@inner
def _list_positions(edge, row, first, index, starts, tile):
    """List the channels of a convolution's source that fire, by position; returns the most events of one position.

    `_list_windows` gives the same for windows of one place, in 1.6 times the time.
    """
    channels, width = edge.channels, edge.width
    found = most = position = 0
    for _ in range(edge.height):
        for column in range(width):
            starts[position] = before = found
            number, step = _numbering(edge, column, tile)
            found = list_ones(row, first + position * channels, channels, number, step, index, found)
            most = max(most, found - before)
            position += 1
    starts[position] = found
    return most


@inner
def _list_windows(edge, row, first, index, starts, tile):
    """The same after a sum pool. A channel is listed once for every spike in the window."""
    channels, width = edge.channels, edge.width
    found = most = position = 0
    for down in range(edge.pooled_height):
        top = down * edge.pool_stride_rows
        for aside in range(edge.pooled_width):
            left = aside * edge.pool_stride_columns
            starts[position] = before = found
            number, step = _numbering(edge, aside, tile)
            for y in range(top, top + edge.pool_rows):
                for x in range(left, left + edge.pool_columns):
                    at = first + (y * width + x) * channels
                    found = list_ones(row, at, channels, number, step, index, found)
            most = max(most, found - before)
            position += 1
    starts[position] = found
    return most


@inner
def _list_units_by_position(edge, source, index, starts, tile):
    """The same for few channels, from values that have been pooled."""
    channels, width = edge.channels, edge.pooled_width
    found = most = position = 0
    for _ in range(edge.pooled_height):
        for column in range(width):
            starts[position] = before = found
            found = _list_units(source, position * channels, channels, index, found)
            number, step = _numbering(edge, column, tile)
            for k in range(before, found):
                index[k] = (index[k] + number) * step
            most = max(most, found - before)
            position += 1
    starts[position] = found
    return most


@inner
def _list_by_position(edge, row, first, index, starts, tile):
    """The same for few channels without a pool: the whole source is listed, then split by position."""
    channels, width = edge.channels, edge.width
    found = list_ones(row, first, edge.height * width * channels, 0, 1, index, 0)
    most = k = begin = position = 0
    for _ in range(edge.height):
        for column in range(width):
            starts[position] = before = k
            number, step = _numbering(edge, column, tile)
            while k < found and index[k] < begin + channels:
                index[k] = (index[k] - begin + number) * step
                k += 1
            most = max(most, k - before)
            begin += channels
            position += 1
    starts[position] = found
    return most


@inlined
def list_events(edge, row, index, starts, value, tile):
    """List the events of one step of a source of spikes; returns positions, and the most events of one of them.

    `tile` is the width of tiles, or 0, see `_numbering`.
    """
    source, size = edge.source, edge.source_size
    if edge.kind != CONV:
        starts[0], starts[1] = 0, list_ones(row, source, size, 0, 1, index, 0)
        return 1, starts[1]
    positions = edge.pooled_height * edge.pooled_width
    if edge.channels >= _MANY:
        if edge.pooled:
            return positions, _list_windows(edge, row, source, index, starts, tile)
        return positions, _list_positions(edge, row, source, index, starts, tile)
    if edge.pooled:
        pool(edge, row[source : source + size], value)
        return positions, _list_units_by_position(edge, value, index, starts, tile)
    return positions, _list_by_position(edge, row, source, index, starts, tile)
