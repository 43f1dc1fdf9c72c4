"""Synaptic input of one time step: weight rows and convolution kernels, added per event or times a graded value."""

from __future__ import annotations

import numpy as np

from neuroprivacy_fixedpoint.columns import CONV, LARGEST, TILE
from neuroprivacy_fixedpoint.kernels.compiled import inlined, inner
from neuroprivacy_fixedpoint.kernels.conv_tiles import add_conv_tiles
from neuroprivacy_fixedpoint.kernels.events import count_ones, list_events, list_values, pool

#: Least events of each position in a round of 16-bit sums that make it faster than 32-bit sums: measured on kernels of
#: 3 x 3 to 16 x 16, of which 7 x 7 breaks even.
_FEWEST = 4


@inner
def _add_rows(weights, bases, first, end, offset, length, target, into):
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


@inlined
def _add_dense(edge, weights, size, low, high, bases, first, end, into):
    """Add the part low ... high - 1 of one weight row per event; of whole rows also the zeros behind them."""
    length = edge.row_length if high - low == size else high - low
    _add_rows(weights, bases, first, end, edge.weights + low, length, 0, into)


@inner
def _add_dense_values(edge, weights, low, high, index, value, found, into):
    """The same for events with values."""
    one, size, events = np.uint64(1), np.uint64(high - low), np.uint64(found)
    two, three, four = np.uint64(2), np.uint64(3), np.uint64(4)
    k, base, row = np.uint64(0), edge.weights + low, edge.row_length
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


@inlined
def _row_reached(edge, y, i, low, high):
    """The output row of low ... high - 1 that source row y reaches through kernel row i; -1 if none."""
    down = y + edge.pad_rows - i * edge.dilation_rows
    row = down // edge.stride_rows
    return row if low <= row < high and row * edge.stride_rows == down else -1


@inlined
def _column_reached(edge, left, j, columns_out):
    """The output column that a padded source column reaches through the kernel's column j from the right; or -1."""
    aside = left - (edge.kernel_columns - 1 - j) * edge.dilation_columns
    column = aside // edge.stride_columns
    return column if aside >= 0 and column < columns_out and column * edge.stride_columns == aside else -1


@inner
def _add_conv(
    edge, weights, index, firsts, ends, bases, low, high, columns_out, channels, into,
):  # fmt: skip
    """Scatter the kernels of the events firsts ... ends - 1 of each position into output rows low ... high - 1.

    Where columns are neither strided, dilated nor grouped, the outputs of one kernel row lie side by side.
    """
    height, width = edge.pooled_height, edge.pooled_width
    kernel_rows, kernel_columns = edge.kernel_rows, edge.kernel_columns
    group_in, group_out = edge.group_in, edge.group_out
    stride, dilation = edge.stride_columns, edge.dilation_columns
    side_by_side = stride == 1 and dilation == 1 and group_out == channels
    for y in range(height):
        if firsts[y * width] == ends[(y + 1) * width - 1]:
            continue
        for i in range(kernel_rows):
            row = _row_reached(edge, y, i, low, high)
            if row < 0:
                continue
            line = ((row - low) * columns_out) * channels
            kernel = edge.weights + i * kernel_columns * group_out
            for x in range(width):
                first, end = firsts[y * width + x], ends[y * width + x]
                if first == end:
                    continue
                left = x + edge.pad_columns
                if side_by_side:
                    column = left - kernel_columns + 1
                    skipped = max(0, -column)
                    length = (min(kernel_columns, columns_out - column) - skipped) * group_out
                    if length > 0:
                        target = line + (column + skipped) * channels
                        _add_rows(weights, bases, first, end, kernel + skipped * group_out, length, target, into)
                    continue
                for j in range(kernel_columns):
                    column = _column_reached(edge, left, j, columns_out)
                    if column < 0:
                        continue
                    for k in range(first, end):
                        w = weights[kernel + bases[k] + j * group_out :][:group_out]
                        target = line + column * channels + index[k] // group_in * group_out
                        a = into[target : target + group_out]
                        for o in range(group_out):
                            a[o] += w[o]


@inner
def _add_conv_values(edge, weights, index, value, found, low, high, columns_out, channels, into):
    """The same for events with values; `index` counts (row, column, channel)."""
    width, of_position = edge.pooled_width, edge.channels
    kernel_rows, kernel_columns = edge.kernel_rows, edge.kernel_columns
    group_in, group_out = edge.group_in, edge.group_out
    for k in range(found):
        p = index[k] // of_position
        channel = index[k] - p * of_position
        y = p // width
        left = p - y * width + edge.pad_columns
        x = value[k]
        for i in range(kernel_rows):
            row = _row_reached(edge, y, i, low, high)
            if row < 0:
                continue
            first = edge.weights + (channel * kernel_rows + i) * kernel_columns * group_out
            for j in range(kernel_columns):
                column = _column_reached(edge, left, j, columns_out)
                if column < 0:
                    continue
                target = ((row - low) * columns_out + column) * channels + channel // group_in * group_out
                w = weights[first + j * group_out : first + (j + 1) * group_out]
                a = into[target : target + group_out]
                for o in range(group_out):
                    a[o] += w[o] * x


@inlined
def _place_rows(edge, index, found, bases):
    """Compute where the weights of each event begin."""
    row = edge.row_length
    for k in range(found):
        bases[k] = index[k] * row


@inlined
def _add_units(edge, layer, weights, low, high, index, firsts, ends, bases, into):
    """Add the events firsts ... ends - 1 of each position of one edge, ones all; a matrix has one position."""
    if edge.kind == CONV:
        _add_conv(edge, weights, index, firsts, ends, bases, low, high, layer.columns, layer.channels, into)
    else:
        line = layer.columns * layer.channels
        _add_dense(edge, weights, line * layer.rows, low * line, high * line, bases, firsts[0], ends[0], into)


@inner
def _most_coincident(edge, starts, low, high, columns_out):
    """The most coincident events of one neuron in output rows low ... high - 1 of a convolution."""
    height, width = edge.pooled_height, edge.pooled_width
    most = 0
    for row in range(low, high):
        for column in range(columns_out):
            coincident = 0
            for i in range(edge.kernel_rows):
                y = row * edge.stride_rows - edge.pad_rows + i * edge.dilation_rows
                if y < 0 or y >= height:
                    continue
                for j in range(edge.kernel_columns):
                    x = column * edge.stride_columns - edge.pad_columns + j * edge.dilation_columns
                    if x >= 0 and x < width:
                        coincident += starts[y * width + x + 1] - starts[y * width + x]
            most = max(most, coincident)
    return most


@inlined
def _rounds(edge, coincident):
    """The number of rounds in which 16 bits hold the coincident events of one neuron; 0 if 32-bit sums are faster.

    A round takes an equal fraction of the events of each of `taps` positions, rounded up.
    """
    if coincident <= edge.max_events:
        return 1
    spare = edge.max_events - edge.taps
    return -((edge.taps - coincident) // spare) if spare >= _FEWEST * edge.taps else 0


@inner
def _add_in_rounds(
    edge, layer, weights, low, high, index, starts, bases, cuts, positions, rounds, short_sums, sums,
):  # fmt: skip
    """Add all events to `sums`, some of each position at a time in 16 bits."""
    firsts, ends = cuts
    for p in range(positions):
        ends[p] = starts[p]
    for k in range(1, rounds + 1):
        for p in range(positions):
            firsts[p] = ends[p]
            ends[p] = starts[p] + (starts[p + 1] - starts[p]) * k // rounds
        short_sums[: sums.size] = 0
        _add_units(edge, layer, weights, low, high, index, firsts, ends, bases, short_sums)
        for j in range(sums.size):
            sums[j] += short_sums[j]


@inner
def _add_values(edge, layer, weights, low, high, index, value, found, into):
    """Add the events of one edge that have values."""
    if edge.kind == CONV:
        _add_conv_values(edge, weights, index, value, found, low, high, layer.columns, layer.channels, into)
    else:
        line = layer.columns * layer.channels
        _add_dense_values(edge, weights, low * line, high * line, index, value, found, into)


@inlined
def sum_step(layer, low, high, row, network, sample, scratch):
    """Synaptic input of output rows low ... high - 1 in one time step; returns whether `short_sums` holds it."""
    edges, weights, lists, value = network.edges, network.weights, scratch.lists, scratch.value
    short_sums, sums, listed, bounds = scratch.short_sums, scratch.sums, scratch.listed, scratch.starts
    index, starts, ends, bases, cuts = lists[0], lists[1], lists[1, 1:], lists[2], lists[3:]
    # Sums up to the end of a tile are 0: see `neurons`.
    size = ((high - low) * layer.columns * layer.channels + TILE - 1) // TILE * TILE
    single = layer.end_edge - layer.first_edge == 1
    short = layer.short != 0
    if short:
        short_sums[:size] = 0
    elif not single:
        sums[:size] = 0
    for e in range(layer.first_edge, layer.end_edge):
        edge = edges[e]
        past = row - edge.delay
        if edge.graded:
            source = sample.graded[past, edge.source : edge.source + edge.source_size]
            if edge.pooled:
                pool(edge, source, value)
                # The list is written over its own source, never ahead of what is read.
                found = list_values(value, edge.channels * edge.pooled_height * edge.pooled_width, index, value)
            else:
                found = list_values(source, edge.source_size, index, value)
            if single:
                sums[:size] = 0
            _add_values(edge, layer, weights, low, high, index, value, found, sums)
            continue
        fires, tile = sample.fired[past], edge.tile
        if tile and count_ones(fires, edge.source, edge.source_size) < edge.density_threshold:
            tile = 0
        positions, most = list_events(edge, fires, index, starts, value, tile)
        if not tile:
            _place_rows(edge, index, starts[positions], bases)
        rounds = 1
        if not short and (single or not tile):
            coincident = most * edge.taps
            if coincident > edge.max_events and edge.kind == CONV:
                coincident = _most_coincident(edge, starts, low, high, layer.columns)
            rounds = _rounds(edge, coincident)
            if single:
                short = rounds == 1
                if short:
                    short_sums[:size] = 0
                else:
                    sums[:size] = 0
        if tile:
            grid = (low, high, layer.columns, layer.channels)
            if short:
                add_conv_tiles(edge, weights, index, starts, most, grid, LARGEST, listed, bounds, short_sums)
            else:
                add_conv_tiles(edge, weights, index, starts, most, grid, edge.max_events, listed, bounds, sums)
        elif short:
            _add_units(edge, layer, weights, low, high, index, starts, ends, bases, short_sums)
        elif rounds > 0:
            _add_in_rounds(
                edge, layer, weights, low, high, index, starts, bases, cuts, positions, rounds, short_sums, sums[:size]
            )
        else:
            _add_units(edge, layer, weights, low, high, index, starts, ends, bases, sums)
    return short


@inner
def same_input(layer, edges, row, graded):
    """Whether all graded sources of a layer send the values of the time step before."""
    for e in range(layer.first_edge, layer.end_edge):
        edge = edges[e]
        now, before = graded[row - edge.delay], graded[row - edge.delay - 1]
        for i in range(edge.source, edge.source + edge.source_size):
            if now[i] != before[i]:
                return False
    return True
