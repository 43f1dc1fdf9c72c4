"""The compiled kernels: lists of events, synaptic sums, neurons, over a range of layers and steps.

All that `advance` calls is here because numba's cache watches only the file of the function that it compiled.
Everything runs on one core; `engine.py` spreads samples, or parts of a layer, over threads.

A layer's neurons lie channels-last, so that the targets of one event lie side by side. Accumulators are as narrow as
the sums of this step are proved to fit, or take its events in rounds of which each is; integers of the neurons are 32
or 64 bits wide, as the plan has proved. What every step of every layer calls is inlined before it is compiled: handing
over a dozen arrays took a sixth of a short run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from neuroprivacy_fixedpoint.columns import BLOCK, CONV, EDGE, LAYER

_KIND, _GRADED, _SOURCE, _SOURCE_SIZE, _DELAY = (
    EDGE[n] for n in ("KIND", "GRADED", "SOURCE", "SOURCE_SIZE", "DELAY")
)  # fmt: skip
_WEIGHTS, _LIMIT, _REACH, _ROW = (EDGE[n] for n in ("WEIGHTS", "LIMIT", "REACH", "ROW"))
_CHANNELS, _HEIGHT, _WIDTH = EDGE["CHANNELS"], EDGE["HEIGHT"], EDGE["WIDTH"]
_POOLED, _POOLED_HEIGHT, _POOLED_WIDTH = EDGE["POOLED"], EDGE["POOLED_HEIGHT"], EDGE["POOLED_WIDTH"]
_GROUP_IN, _GROUP_OUT = EDGE["GROUP_IN"], EDGE["GROUP_OUT"]
_KERNEL_ROWS, _KERNEL_COLUMNS = EDGE["KERNEL_ROWS"], EDGE["KERNEL_COLUMNS"]
_STRIDE_ROWS, _STRIDE_COLUMNS = EDGE["STRIDE_ROWS"], EDGE["STRIDE_COLUMNS"]
_PAD_ROWS, _PAD_COLUMNS = EDGE["PAD_ROWS"], EDGE["PAD_COLUMNS"]
_DILATION_ROWS, _DILATION_COLUMNS = EDGE["DILATION_ROWS"], EDGE["DILATION_COLUMNS"]
_POOL_ROWS, _POOL_COLUMNS = EDGE["POOL_ROWS"], EDGE["POOL_COLUMNS"]
_POOL_STRIDE_ROWS, _POOL_STRIDE_COLUMNS = EDGE["POOL_STRIDE_ROWS"], EDGE["POOL_STRIDE_COLUMNS"]
_FIRST_EDGE, _END_EDGE, _OFFSET, _STATE = (LAYER[n] for n in ("FIRST_EDGE", "END_EDGE", "OFFSET", "STATE"))
_L_CHANNELS, _L_ROWS, _L_COLUMNS = LAYER["CHANNELS"], LAYER["ROWS"], LAYER["COLUMNS"]
_SHORT, _STEADY, _KEEPS, _LEAKS = (LAYER[n] for n in ("SHORT", "STEADY", "KEEPS", "LEAKS"))
_SMALL, _DECAY_SHIFT = LAYER["SMALL"], LAYER["DECAY_SHIFT"]
_CONSTANTS = LAYER["THETA"]
_SHIFT, _HALF, _LOWEST, _HIGHEST = (LAYER[n] for n in ("SHIFT", "HALF", "LOWEST", "HIGHEST"))
_SOFT, _STRICT = LAYER["SOFT"], LAYER["STRICT"]

#: Events of each position that a round of sums has to take to be faster than sums in 32 bits: measured on kernels of
#: 3 x 3 to 16 x 16, of which 7 x 7 breaks even.
_FEWEST = 4
#: Gathers the lowest bits of eight bytes into one byte, the first byte's highest.
_GATHER = np.uint64(0x0102040810204080)
_TOP = np.uint64(56)


def _byte_tables() -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """For each gathered byte: which of eight bytes are one (the rest of the row is padding), and how many."""
    places, counts = np.zeros((256, 8), np.int32), np.zeros(256, np.int64)
    for value in range(256):
        eight = np.array([(value >> k) & 1 for k in range(8)], np.uint8)
        gathered = (int(eight.view(np.uint64)[0]) * int(_GATHER) >> 56) & 255
        found = np.flatnonzero(eight)
        places[gathered, : found.size] = found
        counts[gathered] = found.size
    return places, counts


_PLACES, _COUNTS = _byte_tables()


@intrinsic
def _put_eight(typing, index, at, places, row, offset):  # type: ignore[no-untyped-def]
    """index[at : at + 8] = places[row] + offset, int32: one vector operation, which the compiler makes none of."""

    def generate(context, builder, signature, given):  # type: ignore[no-untyped-def]
        """Arrays are handed over by their memory alone: nothing is checked."""
        to, of = (context.make_array(signature.args[i])(context, builder, given[i]).data for i in (0, 2))
        eight = ir.VectorType(ir.IntType(32), 8)
        nothing = ir.Constant(eight, ir.Undefined)
        source = builder.gep(of, [builder.mul(given[3], ir.Constant(given[3].type, 8))])
        target = builder.gep(to, [given[1]])
        values = builder.load(builder.bitcast(source, eight.as_pointer()), align=4)
        one = builder.insert_element(nothing, given[4], ir.Constant(ir.IntType(32), 0))
        everywhere = builder.shuffle_vector(one, nothing, ir.Constant(eight, [0] * 8))
        builder.store(builder.add(values, everywhere), builder.bitcast(target, eight.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(index, at, places, row, offset), generate


@njit(cache=True, nogil=True)
def _list_words(words, first, count, index, found):  # type: ignore[no-untyped-def]
    """Append the places of ones among 8 * count bytes, each 0 or 1; returns how many are listed then.

    Without branches: eight places are written for every word, and as many kept as there are. Unsigned numbers spare the
    test for indices that count from the end.
    """
    begin = np.uint64(found)
    for w in range(np.uint64(count)):
        mask = (words[np.uint64(first) + w] * _GATHER) >> _TOP
        _put_eight(index, begin, _PLACES, mask, np.int32(w * np.uint64(8)))  # type: ignore[call-arg]
        begin = begin + np.uint64(_COUNTS[mask])
    return np.int64(begin)


@njit(cache=True, nogil=True)
def _list_units(source, first, count, index, found):  # type: ignore[no-untyped-def]
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


@njit(cache=True, nogil=True)
def _list_values(source, size, index, value):  # type: ignore[no-untyped-def]
    """List the non-zero entries of one step with their values; returns how many."""
    found = 0
    for i in range(size):
        x = source[i]
        index[found] = i
        value[found] = x
        found += x != 0
    return found


@njit(cache=True, nogil=True)
def _pool(edge, source, pooled):  # type: ignore[no-untyped-def]
    """Sum one step over pooling windows, channels-last."""
    channels, width = edge[_CHANNELS], edge[_WIDTH]
    target = 0
    for row in range(edge[_POOLED_HEIGHT]):
        for column in range(edge[_POOLED_WIDTH]):
            into = pooled[target : target + channels]
            into[:] = 0
            for y in range(row * edge[_POOL_STRIDE_ROWS], row * edge[_POOL_STRIDE_ROWS] + edge[_POOL_ROWS]):
                left = column * edge[_POOL_STRIDE_COLUMNS]
                for x in range(left, left + edge[_POOL_COLUMNS]):
                    first = (y * width + x) * channels
                    of = source[first : first + channels]
                    for c in range(channels):
                        into[c] += of[c]
            target += channels


@njit(cache=True, nogil=True)
def _list_positions(edge, words, first, index, starts):  # type: ignore[no-untyped-def]
    """Events of a convolution's source by position: which channels, `starts` (positions + 1); returns the most of one.

    Positions begin on a word, of which `first` is the first. `_list_windows` gives the same for windows of one place,
    in 1.6 times the time.
    """
    count, positions = edge[_CHANNELS] // 8, edge[_HEIGHT] * edge[_WIDTH]
    found = most = 0
    for p in range(positions):
        starts[p] = before = found
        found = _list_words(words, first + p * count, count, index, found)
        most = max(most, found - before)
    starts[positions] = found
    return most


@njit(cache=True, nogil=True)
def _list_windows(edge, words, first, index, starts):  # type: ignore[no-untyped-def]
    """The same behind a pool: the channels of all places of a window; what fires at two of them stands there twice."""
    count, width = edge[_CHANNELS] // 8, edge[_WIDTH]
    found = most = position = 0
    for row in range(edge[_POOLED_HEIGHT]):
        top = row * edge[_POOL_STRIDE_ROWS]
        for column in range(edge[_POOLED_WIDTH]):
            left = column * edge[_POOL_STRIDE_COLUMNS]
            starts[position] = before = found
            for y in range(top, top + edge[_POOL_ROWS]):
                for x in range(left, left + edge[_POOL_COLUMNS]):
                    found = _list_words(words, first + (y * width + x) * count, count, index, found)
            most = max(most, found - before)
            position += 1
    starts[position] = found
    return most


@njit(cache=True, nogil=True)
def _list_units_by_position(edge, source, index, starts):  # type: ignore[no-untyped-def]
    """The same for positions that do not begin on a word, from values that have been pooled."""
    channels = edge[_CHANNELS]
    positions = edge[_POOLED_HEIGHT] * edge[_POOLED_WIDTH]
    found = most = 0
    for p in range(positions):
        starts[p] = before = found
        found = _list_units(source, p * channels, channels, index, found)
        most = max(most, found - before)
    starts[positions] = found
    return most


@njit(cache=True, nogil=True)
def _list_by_position(edge, words, first, index, starts):  # type: ignore[no-untyped-def]
    """The same without a pool: all places are listed, and told apart afterwards."""
    channels, positions = edge[_CHANNELS], edge[_HEIGHT] * edge[_WIDTH]
    found = _list_words(words, first, (positions * channels + 7) // 8, index, 0)
    most = k = end = 0
    for p in range(positions):
        starts[p] = before = k
        end += channels
        while k < found and index[k] < end:
            index[k] -= end - channels
            k += 1
        most = max(most, k - before)
    starts[positions] = found
    return most


@njit(cache=True, nogil=True)
def _add_rows(weights, bases, first, end, offset, length, target, into):  # type: ignore[no-untyped-def]
    """into[target ...] += the weights from bases[first ... end - 1] + offset on, `length` of each: four in one pass.

    Unsigned numbers spare the tests that slices and indices from the end need.
    """
    k, last, size, to = np.uint64(first), np.uint64(end), np.uint64(length), np.uint64(target)
    one, four = np.uint64(1), np.uint64(4)
    while k + four <= last:
        b0, b1 = np.uint64(bases[k] + offset), np.uint64(bases[k + one] + offset)
        b2, b3 = np.uint64(bases[k + np.uint64(2)] + offset), np.uint64(bases[k + np.uint64(3)] + offset)
        for j in range(size):
            into[to + j] += weights[b0 + j] + weights[b1 + j] + weights[b2 + j] + weights[b3 + j]
        k += four
    left = last - k
    if left == np.uint64(3):
        b0, b1 = np.uint64(bases[k] + offset), np.uint64(bases[k + one] + offset)
        b2 = np.uint64(bases[k + np.uint64(2)] + offset)
        for j in range(size):
            into[to + j] += weights[b0 + j] + weights[b1 + j] + weights[b2 + j]
    elif left == np.uint64(2):
        b0, b1 = np.uint64(bases[k] + offset), np.uint64(bases[k + one] + offset)
        for j in range(size):
            into[to + j] += weights[b0 + j] + weights[b1 + j]
    elif left == one:
        b0 = np.uint64(bases[k] + offset)
        for j in range(size):
            into[to + j] += weights[b0 + j]


@njit(cache=True, nogil=True, inline="always")
def _add_dense(edge, weights, size, low, high, bases, first, end, into):  # type: ignore[no-untyped-def]
    """Add the part low ... high - 1 of one weight row per event; of whole rows also the zeros behind them."""
    length = edge[_ROW] if high - low == size else high - low
    _add_rows(weights, bases, first, end, edge[_WEIGHTS] + low, length, 0, into)


@njit(cache=True, nogil=True)
def _add_dense_values(edge, weights, low, high, index, value, found, into):  # type: ignore[no-untyped-def]
    """The same for events with values."""
    one, size, events = np.uint64(1), np.uint64(high - low), np.uint64(found)
    two, three, four = np.uint64(2), np.uint64(3), np.uint64(4)
    k, base, row = np.uint64(0), edge[_WEIGHTS] + low, edge[_ROW]
    while k + four <= events:
        b0, b1 = np.uint64(base + index[k] * row), np.uint64(base + index[k + one] * row)
        b2, b3 = np.uint64(base + index[k + two] * row), np.uint64(base + index[k + three] * row)
        x0, x1, x2, x3 = value[k], value[k + one], value[k + two], value[k + three]
        for j in range(size):
            into[j] += weights[b0 + j] * x0 + weights[b1 + j] * x1 + weights[b2 + j] * x2 + weights[b3 + j] * x3
        k += four
    while k < events:
        b0, x0 = np.uint64(base + index[k] * row), value[k]
        for j in range(size):
            into[j] += weights[b0 + j] * x0
        k += one


@njit(cache=True, nogil=True)
def _add_conv(  # type: ignore[no-untyped-def]
    edge, weights, index, firsts, ends, bases, low, high, columns_out, channels, into,
):  # fmt: skip
    """Scatter the kernels of the events firsts ... ends - 1 of each position into output rows low ... high - 1.

    Where columns are neither strided, dilated nor grouped, the outputs of one kernel row lie side by side.
    """
    height, width = edge[_POOLED_HEIGHT], edge[_POOLED_WIDTH]
    kernel_rows, kernel_columns = edge[_KERNEL_ROWS], edge[_KERNEL_COLUMNS]
    group_in, group_out = edge[_GROUP_IN], edge[_GROUP_OUT]
    stride, dilation = edge[_STRIDE_COLUMNS], edge[_DILATION_COLUMNS]
    side_by_side = stride == 1 and dilation == 1 and group_out == channels
    for y in range(height):
        if firsts[y * width] == ends[(y + 1) * width - 1]:
            continue
        for i in range(kernel_rows):
            down = y + edge[_PAD_ROWS] - i * edge[_DILATION_ROWS]
            if down < low * edge[_STRIDE_ROWS]:
                break
            row = down // edge[_STRIDE_ROWS]
            if row >= high or row * edge[_STRIDE_ROWS] != down:
                continue
            line = ((row - low) * columns_out) * channels
            kernel = edge[_WEIGHTS] + i * kernel_columns * group_out
            for x in range(width):
                first, end = firsts[y * width + x], ends[y * width + x]
                if first == end:
                    continue
                left = x + edge[_PAD_COLUMNS]
                if side_by_side:
                    column = left - kernel_columns + 1
                    skipped = max(0, -column)
                    length = (min(kernel_columns, columns_out - column) - skipped) * group_out
                    if length > 0:
                        target = line + (column + skipped) * channels
                        _add_rows(weights, bases, first, end, kernel + skipped * group_out, length, target, into)
                    continue
                for j in range(kernel_columns):
                    aside = left - (kernel_columns - 1 - j) * dilation
                    column = aside // stride
                    if aside < 0 or column >= columns_out or column * stride != aside:
                        continue
                    for k in range(first, end):
                        w = weights[kernel + bases[k] + j * group_out :][:group_out]
                        target = line + column * channels + index[k] // group_in * group_out
                        a = into[target : target + group_out]
                        for o in range(group_out):
                            a[o] += w[o]


@njit(cache=True, nogil=True)
def _add_conv_values(edge, weights, index, value, found, low, high, columns_out, channels, into):  # type: ignore[no-untyped-def]
    """The same for events with values; `index` counts (row, column, channel)."""
    width, of_position = edge[_POOLED_WIDTH], edge[_CHANNELS]
    kernel_rows, kernel_columns = edge[_KERNEL_ROWS], edge[_KERNEL_COLUMNS]
    group_in, group_out = edge[_GROUP_IN], edge[_GROUP_OUT]
    stride, dilation = edge[_STRIDE_COLUMNS], edge[_DILATION_COLUMNS]
    for k in range(found):
        p = index[k] // of_position
        channel = index[k] - p * of_position
        y = p // width
        left = p - y * width + edge[_PAD_COLUMNS]
        x = value[k]
        for i in range(kernel_rows):
            down = y + edge[_PAD_ROWS] - i * edge[_DILATION_ROWS]
            if down < low * edge[_STRIDE_ROWS]:
                break
            row = down // edge[_STRIDE_ROWS]
            if row >= high or row * edge[_STRIDE_ROWS] != down:
                continue
            first = edge[_WEIGHTS] + (channel * kernel_rows + i) * kernel_columns * group_out
            for j in range(kernel_columns):
                aside = left - (kernel_columns - 1 - j) * dilation
                column = aside // stride
                if aside < 0 or column >= columns_out or column * stride != aside:
                    continue
                target = ((row - low) * columns_out + column) * channels + channel // group_in * group_out
                w = weights[first + j * group_out : first + (j + 1) * group_out]
                a = into[target : target + group_out]
                for o in range(group_out):
                    a[o] += w[o] * x


@njit(cache=True, nogil=True, inline="always")
def _place_rows(edge, index, found, bases):  # type: ignore[no-untyped-def]
    """Where the weights of each event begin."""
    row = edge[_ROW]
    for k in range(found):
        bases[k] = index[k] * row


@njit(cache=True, nogil=True, inline="always")
def _add_units(edge, layer, weights, low, high, index, firsts, ends, bases, into):  # type: ignore[no-untyped-def]
    """Add the events firsts ... ends - 1 of each position of one edge, ones all; a matrix has one position."""
    if edge[_KIND] == CONV:
        _add_conv(edge, weights, index, firsts, ends, bases, low, high, layer[_L_COLUMNS], layer[_L_CHANNELS], into)
    else:
        line = layer[_L_COLUMNS] * layer[_L_CHANNELS]
        _add_dense(edge, weights, line * layer[_L_ROWS], low * line, high * line, bases, firsts[0], ends[0], into)


@njit(cache=True, nogil=True)
def _most_met(edge, starts, low, high, columns_out):  # type: ignore[no-untyped-def]
    """The most events that one neuron of output rows low ... high - 1 of a convolution sees."""
    height, width = edge[_POOLED_HEIGHT], edge[_POOLED_WIDTH]
    most = 0
    for row in range(low, high):
        for column in range(columns_out):
            met = 0
            for i in range(edge[_KERNEL_ROWS]):
                y = row * edge[_STRIDE_ROWS] - edge[_PAD_ROWS] + i * edge[_DILATION_ROWS]
                if y < 0 or y >= height:
                    continue
                for j in range(edge[_KERNEL_COLUMNS]):
                    x = column * edge[_STRIDE_COLUMNS] - edge[_PAD_COLUMNS] + j * edge[_DILATION_COLUMNS]
                    if x >= 0 and x < width:
                        met += starts[y * width + x + 1] - starts[y * width + x]
            most = max(most, met)
    return most


@njit(cache=True, nogil=True, inline="always")
def _rounds(edge, met):  # type: ignore[no-untyped-def]
    """In how many rounds, each of which 16 bits hold, the events that meet in one neuron are to be added; 0 for none.

    A round takes an equal share of the events of each of `reach` positions, rounded up. Where that is few events, sums
    in 32 bits are faster.
    """
    if met <= edge[_LIMIT]:
        return 1
    spare = edge[_LIMIT] - edge[_REACH]
    return -((edge[_REACH] - met) // spare) if spare >= _FEWEST * edge[_REACH] else 0


@njit(cache=True, nogil=True)
def _add_in_rounds(  # type: ignore[no-untyped-def]
    edge, layer, weights, low, high, index, starts, bases, cuts, positions, rounds, short_sums, sums,
):  # fmt: skip
    """Add all events to `sums`, some of each position at a time in 16 bits."""
    firsts, ends = cuts
    firsts[:positions] = starts[:positions]
    for k in range(1, rounds + 1):
        for p in range(positions):
            ends[p] = starts[p] + (starts[p + 1] - starts[p]) * k // rounds
        short_sums[: sums.size] = 0
        _add_units(edge, layer, weights, low, high, index, firsts, ends, bases, short_sums)
        for j in range(sums.size):
            sums[j] += short_sums[j]
        firsts[:positions] = ends[:positions]


@njit(cache=True, nogil=True)
def _add_values(edge, layer, weights, low, high, index, value, found, into):  # type: ignore[no-untyped-def]
    """Add the events of one edge that have values."""
    if edge[_KIND] == CONV:
        _add_conv_values(edge, weights, index, value, found, low, high, layer[_L_COLUMNS], layer[_L_CHANNELS], into)
    else:
        line = layer[_L_COLUMNS] * layer[_L_CHANNELS]
        _add_dense_values(edge, weights, low * line, high * line, index, value, found, into)


@njit(cache=True, nogil=True, inline="always")
def _list_events(edge, fired, words, index, starts, value):  # type: ignore[no-untyped-def]
    """List the events of one step of a source of spikes; returns positions, and the most events of one of them."""
    source, size = edge[_SOURCE], edge[_SOURCE_SIZE]
    if edge[_KIND] != CONV:
        starts[0], starts[1] = 0, _list_words(words, source // 8, (size + 7) // 8, index, 0)
        return 1, starts[1]
    positions = edge[_POOLED_HEIGHT] * edge[_POOLED_WIDTH]
    if edge[_CHANNELS] % 8 == 0:
        if edge[_POOLED]:
            return positions, _list_windows(edge, words, source // 8, index, starts)
        return positions, _list_positions(edge, words, source // 8, index, starts)
    if edge[_POOLED]:
        _pool(edge, fired[source : source + size], value)
        return positions, _list_units_by_position(edge, value, index, starts)
    return positions, _list_by_position(edge, words, source // 8, index, starts)


@njit(cache=True, nogil=True, inline="always")
def _sum_step(  # type: ignore[no-untyped-def]
    layer, edges, low, high, row, fired, words, graded, weights, index, starts, ends, bases, cuts, value, short_sums,
    sums,
):  # fmt: skip
    """Synaptic sums of one step for output rows low ... high - 1; returns whether `short_sums` holds them."""
    size = (high - low) * layer[_L_COLUMNS] * layer[_L_CHANNELS]
    single = layer[_END_EDGE] - layer[_FIRST_EDGE] == 1
    short = layer[_SHORT] != 0
    if short:
        short_sums[:size] = 0
    elif not single:
        sums[:size] = 0
    for e in range(layer[_FIRST_EDGE], layer[_END_EDGE]):
        edge = edges[e]
        past = row - edge[_DELAY]
        if edge[_GRADED]:
            source = graded[past, edge[_SOURCE] : edge[_SOURCE] + edge[_SOURCE_SIZE]]
            if edge[_POOLED]:
                _pool(edge, source, value)
                # The list is written over its own source, never ahead of what is read.
                found = _list_values(value, edge[_CHANNELS] * edge[_POOLED_HEIGHT] * edge[_POOLED_WIDTH], index, value)
            else:
                found = _list_values(source, edge[_SOURCE_SIZE], index, value)
            if single:
                sums[:size] = 0
            _add_values(edge, layer, weights, low, high, index, value, found, sums)
            continue
        positions, most = _list_events(edge, fired[past], words[past], index, starts, value)
        _place_rows(edge, index, starts[positions], bases)
        rounds = 1
        if not short:
            met = most * edge[_REACH]
            if met > edge[_LIMIT] and edge[_KIND] == CONV:
                met = _most_met(edge, starts, low, high, layer[_L_COLUMNS])
            rounds = _rounds(edge, met)
            if single:
                short = rounds == 1
                if short:
                    short_sums[:size] = 0
                else:
                    sums[:size] = 0
        if short:
            _add_units(edge, layer, weights, low, high, index, starts, ends, bases, short_sums)
        elif rounds > 0:
            _add_in_rounds(
                edge, layer, weights, low, high, index, starts, bases, cuts, positions, rounds, short_sums, sums[:size]
            )
        else:
            _add_units(edge, layer, weights, low, high, index, starts, ends, bases, sums)
    return short


@njit(cache=True, nogil=True)
def _decayed(x, keeps, kind):  # type: ignore[no-untyped-def]
    """tz(x·keeps), 0 <= keeps <= 4096, within the width of `kind`: the upper and the lower 12 bits apart."""
    size = kind(abs(x))
    kept = kind(kind(kind(size >> 12) * keeps) + kind(kind(kind(size & 4095) * keeps) >> 12))
    return kept if x >= 0 else kind(-kept)


@njit(cache=True, nogil=True)
def _decayed_small(x, keeps, shift, kind):  # type: ignore[no-untyped-def]
    """tz(x·keeps / 2^shift), of which the product is within the width of `kind`."""
    kept = kind(kind(kind(abs(x)) * keeps) >> shift)
    return kept if x >= 0 else kind(-kept)


def _neuron_kernel(*, keeps: bool = False, leaks: bool = True, small: bool = False) -> Any:
    """Neurons that keep a current or not, whose membrane leaks or not, or stays small: constants to the compiler."""

    @njit(nogil=True)
    def neurons(sums, u, v, constants, layer, begin, fired, seen):  # type: ignore[no-untyped-def]
        """One step of neurons begin ... begin + sums.size - 1 of a layer.

        Args:
            sums: synaptic sums.
            u, v: state of these neurons, 32 or 64 bits; written.
            constants: the least v that fires, bias, what u keeps and what v keeps; the layer knows where its own lie.
            fired: uint8, written.
            seen: extremes and overflows (5); written.
        """
        kind = v.dtype.type
        shift = layer[_SHIFT]
        half, lowest, highest = kind(layer[_HALF]), kind(layer[_LOWEST]), kind(layer[_HIGHEST])
        soft, strict, places = kind(-layer[_SOFT]), kind(layer[_STRICT]), kind(layer[_DECAY_SHIFT])
        top_a, low_a = kind(seen[0]), kind(-seen[0])
        top_u, low_u = kind(seen[1]), kind(-seen[1])
        top_v, low_v = kind(seen[2]), kind(-seen[2])
        wraps = saturations = np.int64(0)
        for first in range(0, sums.size, BLOCK):
            size = min(BLOCK, sums.size - first)
            at = begin + first
            # Offset and step of each constant: a step of 0 repeats one block for all neurons.
            theta = constants[layer[_CONSTANTS] + at * layer[_CONSTANTS + 1] :][:size]
            bias = constants[layer[_CONSTANTS + 2] + at * layer[_CONSTANTS + 3] :][:size]
            of_u = constants[layer[_CONSTANTS + 4] + at * layer[_CONSTANTS + 5] :][:size]
            of_v = constants[layer[_CONSTANTS + 6] + at * layer[_CONSTANTS + 7] :][:size]
            a, uu, vv, out = sums[first:][:size], u[first:][:size], v[first:][:size], fired[first:][:size]
            wrapped = saturated = np.int32(0)
            for j in range(size):
                arrived = kind(a[j])
                top_a, low_a = max(top_a, arrived), min(low_a, arrived)
                held = kind(arrived << shift)
                if keeps:
                    current = kind(held + _decayed(uu[j], of_u[j], kind))
                    held = current
                    if half != 0:
                        held = kind(current - 2 * half) if current > half else current
                        held = kind(current + 2 * half) if current <= -half else held
                        wrapped += held != current
                    uu[j] = held
                    top_u, low_u = max(top_u, held), min(low_u, held)
                kept = vv[j]
                if small:
                    kept = _decayed_small(kept, of_v[j], places, kind)
                elif leaks:
                    kept = _decayed(kept, of_v[j], kind)
                m = kind(kind(kept + held) + bias[j])
                if not small:
                    free, m = m, kind(min(max(m, lowest), highest))
                    saturated += m != free
                top_v, low_v = max(top_v, m), min(low_v, m)
                fires = m >= theta[j]
                vv[j] = kind(kind(kind(m - theta[j]) + strict) & soft) if fires else m
                out[j] = fires
            wraps += np.int64(wrapped)
            saturations += np.int64(saturated)
        seen[0] = max(np.int64(top_a), -np.int64(low_a))
        seen[2] = max(np.int64(top_v), -np.int64(low_v))
        seen[1] = max(np.int64(top_u), -np.int64(low_u)) if keeps else seen[0] << shift
        seen[3] += wraps
        seen[4] += saturations

    return neurons


_with_current, _leaking = _neuron_kernel(keeps=True), _neuron_kernel()
_adding, _small = _neuron_kernel(leaks=False), _neuron_kernel(small=True)


@njit(cache=True, nogil=True, inline="always")
def _neurons(sums, u, v, constants, layer, begin, fired, seen):  # type: ignore[no-untyped-def]
    """One step of neurons of whichever kind."""
    if layer[_KEEPS]:
        _with_current(sums, u, v, constants, layer, begin, fired, seen)
    elif layer[_SMALL]:
        _small(sums, u, v, constants, layer, begin, fired, seen)
    elif layer[_LEAKS]:
        _leaking(sums, u, v, constants, layer, begin, fired, seen)
    else:
        _adding(sums, u, v, constants, layer, begin, fired, seen)


@njit(cache=True, nogil=True)
def _last_current(sums, u, shift):  # type: ignore[no-untyped-def]
    """The current of neurons that keep none: what arrived in the last step."""
    for j in range(sums.size):
        u[j] = sums[j] << shift


@njit(cache=True, nogil=True)
def _same_input(layer, edges, row, graded):  # type: ignore[no-untyped-def]
    """Whether every source of a layer that sees only graded inputs holds what it held a step before."""
    for e in range(layer[_FIRST_EDGE], layer[_END_EDGE]):
        edge = edges[e]
        now, before = graded[row - edge[_DELAY]], graded[row - edge[_DELAY] - 1]
        for i in range(edge[_SOURCE], edge[_SOURCE] + edge[_SOURCE_SIZE]):
            if now[i] != before[i]:
                return False
    return True


@njit(cache=True, nogil=True)
def advance(  # type: ignore[no-untyped-def]
    first_layer, end_layer, part, parts, begin, end, layers, edges, weights, constants, fired, graded, u, v, seen,
    lists, value, short_sums, sums,
):  # fmt: skip
    """Compute rows begin ... end - 1 of the buffers for some layers and all samples.

    Layers are computed one after another over all rows, while their weights are in cache; call it row by row for layers
    that form a loop. It is compiled twice: for layers whose weights fit 8 bits and whose integers fit 32, and for any.

    Args:
        first_layer, end_layer: which layers.
        part, parts: compute only this share of each layer's output rows.
        begin, end: rows; enough earlier rows for every delay lie before them, and one more.
        layers, edges: the plan, int64 (layers, LAYER) and (edges, EDGE).
        weights: int8 or int32.
        constants: of the neurons, int32 or int64.
        fired: uint8 (samples, rows, bytes), 0 or 1: spiking inputs and layers; written.
        graded: int32 (samples, rows, values): inputs with values.
        u, v: int32 or int64 (samples, neurons); written.
        seen: int64 (samples, layers, 5); written.
        lists: int32 (5, events): scratch, likewise `value` (int32).
        short_sums, sums: accumulators, int16 and int32, or both int64.
    """
    index, starts, bases, cuts = lists[0], lists[1], lists[2], lists[3:]
    ends = starts[1:]
    for n in range(first_layer, end_layer):
        layer = layers[n]
        line = layer[_L_COLUMNS] * layer[_L_CHANNELS]
        low, high = layer[_L_ROWS] * part // parts, layer[_L_ROWS] * (part + 1) // parts
        size = (high - low) * line
        if size == 0:
            continue
        state, offset = layer[_STATE] + low * line, layer[_OFFSET] + low * line
        for s in range(fired.shape[0]):
            words = fired[s].view(np.uint64)
            own_u, own_v = u[s, state : state + size], v[s, state : state + size]
            short = False
            for row in range(begin, end):
                if row == begin or not layer[_STEADY] or not _same_input(layer, edges, row, graded[s]):
                    short = _sum_step(
                        layer, edges, low, high, row, fired[s], words, graded[s], weights, index, starts, ends, bases,
                        cuts, value, short_sums, sums,
                    )  # fmt: skip
                out = fired[s, row, offset : offset + size]
                if short:
                    _neurons(short_sums[:size], own_u, own_v, constants, layer, low * line, out, seen[s, n])
                else:
                    _neurons(sums[:size], own_u, own_v, constants, layer, low * line, out, seen[s, n])
            if not layer[_KEEPS]:
                if short:
                    _last_current(short_sums[:size], own_u, layer[_SHIFT])
                else:
                    _last_current(sums[:size], own_u, layer[_SHIFT])
