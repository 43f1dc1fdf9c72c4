"""The compiled kernels: synaptic sums from events, then the neurons, for one layer over a range of steps.

The accumulator is channels-last, so that the targets of one event lie side by side. All arithmetic of the neurons is
int64. Samples are spread over threads; none of them shares anything that is written.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from neuroprivacy_fixedpoint.plan import CONV, EDGE

_KIND, _FROM_INPUT, _SOURCE = EDGE["KIND"], EDGE["FROM_INPUT"], EDGE["SOURCE"]
_SOURCE_SIZE, _DELAY, _WEIGHTS = EDGE["SOURCE_SIZE"], EDGE["DELAY"], EDGE["WEIGHTS"]
_CHANNELS, _HEIGHT, _WIDTH = EDGE["CHANNELS"], EDGE["HEIGHT"], EDGE["WIDTH"]
_POOLED_HEIGHT, _POOLED_WIDTH = EDGE["POOLED_HEIGHT"], EDGE["POOLED_WIDTH"]
_GROUP_IN, _GROUP_OUT = EDGE["GROUP_IN"], EDGE["GROUP_OUT"]
_KERNEL_ROWS, _KERNEL_COLUMNS = EDGE["KERNEL_ROWS"], EDGE["KERNEL_COLUMNS"]
_STRIDE_ROWS, _STRIDE_COLUMNS = EDGE["STRIDE_ROWS"], EDGE["STRIDE_COLUMNS"]
_PAD_ROWS, _PAD_COLUMNS = EDGE["PAD_ROWS"], EDGE["PAD_COLUMNS"]
_DILATION_ROWS, _DILATION_COLUMNS = EDGE["DILATION_ROWS"], EDGE["DILATION_COLUMNS"]
_POOL_ROWS, _POOL_COLUMNS = EDGE["POOL_ROWS"], EDGE["POOL_COLUMNS"]
_POOL_STRIDE_ROWS, _POOL_STRIDE_COLUMNS = EDGE["POOL_STRIDE_ROWS"], EDGE["POOL_STRIDE_COLUMNS"]

#: Columns of the rule row handed to `advance`.
RULE_COLUMNS = (
    "ACTIVATION_SHIFT", "THRESHOLD_SHIFT", "DU_OFFSET", "KEEPS_CURRENT", "U_HALF", "V_LOWEST", "V_HIGHEST",
    "STRICT", "SOFT", "FIRES",
)  # fmt: skip
_ONE = 4096


@njit(cache=True, nogil=True)
def _toward_zero(product):  # type: ignore[no-untyped-def]
    """tz: drop 12 fractional bits towards zero."""
    return product >> 12 if product >= 0 else -((-product) >> 12)


@njit(cache=True, nogil=True)
def _collect(source, begin, size, index, value):  # type: ignore[no-untyped-def]
    """List the non-zero entries of one step: branch-free, returns how many."""
    found = 0
    for i in range(size):
        x = source[begin + i]
        index[found] = i
        value[found] = x
        found += x != 0
    return found


@njit(cache=True, nogil=True)
def _add_dense(edge, weights, index, value, found, accumulator):  # type: ignore[no-untyped-def]
    """Add one weight row per event."""
    size = accumulator.size
    base = edge[_WEIGHTS]
    for k in range(found):
        row = weights[base + index[k] * size : base + (index[k] + 1) * size]
        x = value[k]
        if x == 1:
            for j in range(size):
                accumulator[j] += row[j]
        else:
            for j in range(size):
                accumulator[j] += row[j] * x


@njit(cache=True, nogil=True)
def _pool(edge, index, value, found, pooled):  # type: ignore[no-untyped-def]
    """Sum events over pooling windows into `pooled`, then list what is non-zero in place; returns how many."""
    height, width = edge[_POOLED_HEIGHT], edge[_POOLED_WIDTH]
    size = edge[_CHANNELS] * height * width
    for i in range(size):
        pooled[i] = 0
    area = edge[_HEIGHT] * edge[_WIDTH]
    for k in range(found):
        channel = index[k] // area
        y = (index[k] - channel * area) // edge[_WIDTH]
        x = index[k] - channel * area - y * edge[_WIDTH]
        for row in range(
            max(0, (y - edge[_POOL_ROWS]) // edge[_POOL_STRIDE_ROWS] + 1), y // edge[_POOL_STRIDE_ROWS] + 1
        ):
            if row >= height:
                break
            for column in range(
                max(0, (x - edge[_POOL_COLUMNS]) // edge[_POOL_STRIDE_COLUMNS] + 1),
                x // edge[_POOL_STRIDE_COLUMNS] + 1,
            ):
                if column >= width:
                    break
                pooled[(channel * height + row) * width + column] += value[k]
    return _collect(pooled, 0, size, index, value)


@njit(cache=True, nogil=True)
def _add_conv(edge, weights, index, value, found, accumulator, channels, columns_out, rows_out):  # type: ignore[no-untyped-def]
    """Scatter the kernel of each event."""
    height, width = edge[_POOLED_HEIGHT], edge[_POOLED_WIDTH]
    area = height * width
    group_in, group_out = edge[_GROUP_IN], edge[_GROUP_OUT]
    kernel_rows, kernel_columns = edge[_KERNEL_ROWS], edge[_KERNEL_COLUMNS]
    for k in range(found):
        channel = index[k] // area
        y = (index[k] - channel * area) // width
        x = index[k] - channel * area - y * width
        group = channel // group_in
        amount = value[k]
        base = edge[_WEIGHTS] + channel * kernel_rows * kernel_columns * group_out
        top = y + edge[_PAD_ROWS]
        left = x + edge[_PAD_COLUMNS]
        reach_rows = (kernel_rows - 1) * edge[_DILATION_ROWS]
        reach_columns = (kernel_columns - 1) * edge[_DILATION_COLUMNS]
        # Only the outputs that this event reaches: a kernel as large as its input then costs one row, not all.
        first_row = max(0, (top - reach_rows + edge[_STRIDE_ROWS] - 1) // edge[_STRIDE_ROWS])
        first_column = max(0, (left - reach_columns + edge[_STRIDE_COLUMNS] - 1) // edge[_STRIDE_COLUMNS])
        for row in range(first_row, min(rows_out - 1, top // edge[_STRIDE_ROWS]) + 1):
            away = top - row * edge[_STRIDE_ROWS]
            if away % edge[_DILATION_ROWS] != 0:
                continue
            i = away // edge[_DILATION_ROWS]
            for column in range(first_column, min(columns_out - 1, left // edge[_STRIDE_COLUMNS]) + 1):
                aside = left - column * edge[_STRIDE_COLUMNS]
                if aside % edge[_DILATION_COLUMNS] != 0:
                    continue
                j = aside // edge[_DILATION_COLUMNS]
                first = base + (i * kernel_columns + j) * group_out
                target = (row * columns_out + column) * channels + group * group_out
                w = weights[first : first + group_out]
                a = accumulator[target : target + group_out]
                if amount == 1:
                    for o in range(group_out):
                        a[o] += w[o]
                else:
                    for o in range(group_out):
                        a[o] += w[o] * amount


@njit(cache=True, nogil=True)
def _neurons(accumulator, u, v, threshold, du, dv, bias, rule, channels, fired, seen):  # type: ignore[no-untyped-def]
    """One step of all neurons of a layer: writes u, v and spikes, and keeps extremes in `seen` (5)."""
    shift, lift, offset, keeps, half = rule[0], rule[1], rule[2], rule[3], rule[4]
    lowest, highest, strict, soft, fires = rule[5], rule[6], rule[7], rule[8], rule[9]
    positions = accumulator.size // channels
    top_a, top_u, top_v, wraps, saturations = seen[0], seen[1], seen[2], seen[3], seen[4]
    for channel in range(channels):
        for position in range(positions):
            n = channel * positions + position
            a = np.int64(accumulator[position * channels + channel])
            top_a = max(top_a, abs(a))
            current = a << shift
            if keeps:
                remaining = _ONE - (du[n if du.size > 1 else 0] + offset)
                if remaining != 0:
                    current += _toward_zero(u[n] * remaining)
                if current > half:
                    current -= 2 * half
                    wraps += 1
                elif current <= -half:
                    current += 2 * half
                    wraps += 1
            u[n] = current
            top_u = max(top_u, abs(current))
            leak = dv[n if dv.size > 1 else 0]
            membrane = v[n] if leak == 0 else _toward_zero(v[n] * (_ONE - leak))
            membrane += current + bias[n]
            if membrane > highest:
                membrane = highest
                saturations += 1
            elif membrane < lowest:
                membrane = lowest
                saturations += 1
            top_v = max(top_v, abs(membrane))
            spike = np.uint8(0)
            if fires:
                theta = threshold[n if threshold.size > 1 else 0] << lift
                if membrane > theta or (not strict and membrane == theta):
                    spike = np.uint8(1)
                    membrane = membrane - theta if soft else 0
            v[n] = membrane
            fired[n] = spike
    seen[0], seen[1], seen[2], seen[3], seen[4] = top_a, top_u, top_v, wraps, saturations


@njit(cache=True, nogil=True, parallel=True)
def advance(  # type: ignore[no-untyped-def]
    begin, end, given, edges, weights, shape, offset, inputs, fired, u, v,
    threshold, du, dv, bias, rule, seen, scratch, kind, keep_u, keep_v,
):  # fmt: skip
    """Compute steps begin ... end-1 of one layer for all samples.

    Args:
        begin, end: range of steps, from 0.
        given: steps of input; later ones are silent.
        edges, weights: the layer's plan.
        shape: (channels, rows, columns) of the layer.
        offset: where the layer's neurons begin in `fired`.
        inputs: int32 (samples, given, input size).
        fired: uint8 (samples, steps, neurons of the Program); this layer's part is written.
        u, v: int64 (samples, neurons of the layer); written.
        threshold, du, dv, bias: int64, as in the Program.
        rule: int64, RULE_COLUMNS.
        seen: int64 (samples, 5): extremes and overflows; written.
        scratch: size of the event lists.
        kind: an empty array of the accumulator's type.
        keep_u, keep_v: int64 (samples, steps, neurons) to record states, or empty.
    """
    samples, size = u.shape
    channels, rows_out, columns_out = shape
    for s in prange(samples):
        accumulator = np.zeros(size, kind.dtype)
        index = np.empty(scratch + 1, np.int64)
        value = np.empty(scratch + 1, np.int32)
        pooled = np.empty(scratch + 1, np.int32)
        for t in range(begin, end):
            accumulator[:] = 0
            for e in range(edges.shape[0]):
                edge = edges[e]
                past = t - edge[_DELAY]
                if past < 0:
                    continue
                if edge[_FROM_INPUT]:
                    if past >= given:
                        continue
                    found = _collect(inputs[s, past], edge[_SOURCE], edge[_SOURCE_SIZE], index, value)
                else:
                    found = _collect(fired[s, past], edge[_SOURCE], edge[_SOURCE_SIZE], index, value)
                if edge[_KIND] == CONV:
                    if (
                        edge[_POOL_ROWS] * edge[_POOL_COLUMNS] * edge[_POOL_STRIDE_ROWS] * edge[_POOL_STRIDE_COLUMNS]
                        != 1
                    ):
                        found = _pool(edge, index, value, found, pooled)
                    _add_conv(edge, weights, index, value, found, accumulator, channels, columns_out, rows_out)
                else:
                    _add_dense(edge, weights, index, value, found, accumulator)
            _neurons(
                accumulator, u[s], v[s], threshold, du, dv, bias, rule, channels,
                fired[s, t, offset : offset + size], seen[s],
            )  # fmt: skip
            if keep_u.size:
                keep_u[s, t] = u[s]
                keep_v[s, t] = v[s]
