"""Neuron dynamics: current, membrane, threshold and reset of some neurons over some time steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload

from neuroprivacy_fixedpoint.columns import BLOCK, NEVER, TILE
from neuroprivacy_fixedpoint.kernels.compiled import inlined, inner
from neuroprivacy_fixedpoint.kernels.lanes import (
    as_lanes,
    count_true,
    lane_numbers,
    larger,
    largest_lane,
    load_lanes,
    size_of,
    store_lanes,
    where,
)

#: No shift is larger: numba shifts 64 bits, the compiler then sees that 32 do (a third fewer operations).
_WORD = 31


@inlined
def _decayed(x, decay, kind):
    """tz(x·decay / 4096), 0 <= decay <= 4096, within the width of `kind`, in two halves of 12 bits."""
    size = kind(size_of(x))
    kept = kind(kind(kind(size >> 12) * decay) + kind(kind(kind(size & 4095) * decay) >> 12))
    return where(x >= 0, kept, kind(0 - kept))


@inlined
def _decayed_small(x, decay, shift, kind):
    """tz(x·decay / 2^shift); the product fits the width of `kind`."""
    kept = kind(kind(kind(size_of(x)) * decay) >> (shift & _WORD))
    return where(x >= 0, kept, kind(0 - kept))


def _neuron_kernel(*, has_current: bool = False, leaky: bool = True, small: bool = False) -> tuple[Any, Any]:
    """Kernels for neurons with or without a synaptic current, leaky or not, or `small`: compile-time constants."""

    @inlined
    def advanced(arrived, u, v, theta, bias, decay_u, decay_v, rule, kind):
        """One step of one neuron, or of lanes of them.

        Returns:
            u, v, the membrane that was tested, whether it fires, whether the current wrapped, whether v saturated.
        """
        shift, half, lowest, highest, soft, strict, places = rule
        held = kind(kind(arrived) << (shift & _WORD))
        current = held
        if has_current:
            current = kind(held + _decayed(u, decay_u, kind))
            held = current
            if half != 0:
                held = where(current > half, kind(current - 2 * half), current)
                held = where(current <= -half, kind(current + 2 * half), held)
        kept = v
        if small:
            kept = _decayed_small(v, decay_v, places, kind)
        elif leaky:
            kept = _decayed(v, decay_v, kind)
        free = kind(kind(kept + held) + bias)
        m = free
        if not small:
            m = where(m < lowest, kind(lowest), m)
            m = where(m > highest, kind(highest), m)
        fires = m >= theta
        after = where(fires, kind(kind(kind(m - theta) + strict) & soft), m)
        return held, after, m, fires, held != current, m != free

    @inner
    def in_order(sums, u, v, constants, layer, begin, fired, seen):
        """One step of neurons begin ... begin + u.size - 1 of a layer.

        Args:
            sums: synaptic input.
            u, v: state of these neurons, 32 or 64 bits; written, u where it is kept.
            constants: the least v that fires, bias, decay factors of u and v; the layer's record has the offsets.
            fired: uint8, written.
            seen: extremes and overflows (5); written.
        """
        kind = v.dtype.type
        rule = _rule(layer, kind)
        top_a, top_u, top_v = kind(seen[0]), kind(seen[1]), kind(seen[2])
        wraps = saturations = np.int64(0)
        for first in range(0, u.size, BLOCK):
            size = min(BLOCK, u.size - first)
            of = _places(layer, begin + first)
            theta, bias = constants[of[0] :][:size], constants[of[1] :][:size]
            decay_u, decay_v = constants[of[2] :][:size], constants[of[3] :][:size]
            a, uu, vv, out = sums[first:][:size], u[first:][:size], v[first:][:size], fired[first:][:size]
            wrapped = saturated = np.int32(0)
            for j in range(size):
                held, after, m, fires, wraps_now, saturates = advanced(
                    a[j], uu[j], vv[j], theta[j], bias[j], decay_u[j], decay_v[j], rule, kind
                )
                if has_current:
                    uu[j] = held
                    top_u = larger(top_u, size_of(held))
                    wrapped += wraps_now
                saturated += saturates
                vv[j], out[j] = after, fires
                top_a, top_v = larger(top_a, kind(size_of(kind(a[j])))), larger(top_v, kind(size_of(m)))
            wraps += np.int64(wrapped)
            saturations += np.int64(saturated)
        seen[0], seen[2] = top_a, top_v
        seen[1] = np.int64(top_u) if has_current else seen[0] << rule[0]
        seen[3] += wraps
        seen[4] += saturations

    @inner
    def in_tiles(sums, steps, u, v, constants, layer, begin, fired, row, offset, seen):
        """The same for whole tiles in one time step, or for at most one tile in several: states stay in registers.

        Without a persistent current, u is not written, see `last_current`. States after an incomplete tile are
        overwritten with unused values.

        Args:
            sums: of all neurons, or (steps · TILE,), 0 where there is no neuron; else as above, integers of 32 bits.
            fired: uint8 (rows, bytes), written from `row` and `offset` on.
        """
        rule, nothing = _rule(layer, np.int32), as_lanes(0)
        top_a = top_u = top_v = nothing
        wraps = saturations = np.int64(0)
        for first in range(0, u.size, TILE):
            of = _places(layer, begin + first)
            theta, bias = load_lanes(constants, of[0]), load_lanes(constants, of[1])
            decay_u, decay_v = load_lanes(constants, of[2]), load_lanes(constants, of[3])
            uu, vv = load_lanes(u, first), load_lanes(v, first)
            if u.size - first < TILE:
                there = lane_numbers() < u.size - first
                theta, bias = where(there, theta, as_lanes(NEVER)), where(there, bias, nothing)
                uu, vv = where(there, uu, nothing), where(there, vv, nothing)
            for step in range(steps):
                arrived = load_lanes(sums, first + step * TILE)
                uu, vv, m, fires, wraps_now, saturates = advanced(
                    arrived, uu, vv, theta, bias, decay_u, decay_v, rule, as_lanes
                )
                store_lanes(fired, (row + step) * fired.shape[1] + offset + first, fires)
                top_a, top_v = larger(top_a, size_of(arrived)), larger(top_v, size_of(m))
                if has_current:
                    top_u = larger(top_u, size_of(uu))
                    wraps += count_true(wraps_now)
                if not small:
                    saturations += count_true(saturates)
            if has_current:
                store_lanes(u, first, uu)
            store_lanes(v, first, vv)
        seen[0], seen[2] = max(seen[0], largest_lane(top_a)), max(seen[2], largest_lane(top_v))
        seen[1] = max(seen[1], largest_lane(top_u)) if has_current else seen[0] << rule[0]
        seen[3] += wraps
        seen[4] += saturations

    return in_order, in_tiles


@inlined
def _rule(layer, kind):
    """Constants that all neurons of a layer share."""
    return (
        layer.shift, kind(layer.half), kind(layer.lowest), kind(layer.highest), kind(-layer.soft),
        kind(layer.strict), layer.decay_shift,
    )  # fmt: skip


@inlined
def _places(layer, at):
    """Offsets of a neuron's threshold, bias and decay factors. A step of 0 repeats one block for all neurons."""
    return (
        layer.theta + at * layer.theta_step, layer.bias + at * layer.bias_step,
        layer.decay_u + at * layer.decay_u_step, layer.decay_v + at * layer.decay_v_step,
    )  # fmt: skip


_with_current, _current_tiles = _neuron_kernel(has_current=True)
_leaking, _leaking_tiles = _neuron_kernel()
_adding, _adding_tiles = _neuron_kernel(leaky=False)
_, _small_tiles = _neuron_kernel(small=True)


@inlined
def _in_order(sums, u, v, constants, layer, begin, fired, row, offset, seen):
    """One step of neurons of whichever kind, one after another."""
    out = fired[row, offset : offset + u.size]
    if layer.has_current:
        _with_current(sums, u, v, constants, layer, begin, out, seen)
    elif layer.leaky:
        _leaking(sums, u, v, constants, layer, begin, out, seen)
    else:
        _adding(sums, u, v, constants, layer, begin, out, seen)


@inlined
def neurons_in_tiles(sums, steps, u, v, constants, layer, begin, fired, row, offset, seen):
    """One step of neurons of whichever kind, in tiles, or some steps of one tile or less."""
    if layer.has_current:
        _current_tiles(sums, steps, u, v, constants, layer, begin, fired, row, offset, seen)
    elif layer.small:
        _small_tiles(sums, steps, u, v, constants, layer, begin, fired, row, offset, seen)
    elif layer.leaky:
        _leaking_tiles(sums, steps, u, v, constants, layer, begin, fired, row, offset, seen)
    else:
        _adding_tiles(sums, steps, u, v, constants, layer, begin, fired, row, offset, seen)


def neurons(*given: Any) -> None:
    """One step of neurons: in tiles, if their integers have 32 bits; only one way is compiled."""


@overload(neurons)
def _neurons(sums, u, v, constants, layer, begin, fired, row, offset, seen):
    """By the width of their integers."""
    if v.dtype.bitwidth == 32:

        def tiles(sums, u, v, constants, layer, begin, fired, row, offset, seen):
            neurons_in_tiles(sums, np.int64(1), u, v, constants, layer, begin, fired, row, offset, seen)

        return tiles

    def order(sums, u, v, constants, layer, begin, fired, row, offset, seen):
        _in_order(sums, u, v, constants, layer, begin, fired, row, offset, seen)

    return order


@inner
def last_current(sums, u, shift):
    """The current of neurons without a persistent one: the synaptic input of the last time step."""
    for j in range(u.size):
        u[j] = u.dtype.type(sums[j]) << (shift & _WORD)
