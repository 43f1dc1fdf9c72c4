"""What Python calls: a range of layers over a range of steps, and counters."""

from __future__ import annotations

from typing import Any

from neuroprivacy_fixedpoint.columns import TILE
from neuroprivacy_fixedpoint.kernels.compiled import entry, inner, sources
from neuroprivacy_fixedpoint.kernels.counting import count_rows
from neuroprivacy_fixedpoint.kernels.neurons import last_current, neurons
from neuroprivacy_fixedpoint.kernels.sums import same_input, sum_step
from neuroprivacy_fixedpoint.kernels.tiles import advance_tiles



@inner
def _advance_rows(
    layer, low, high, begin, end, edges, weights, constants, fired, graded, u, v, seen, lists, value, short_sums, sums,
    listed, bounds,
):  # fmt: skip
    """Compute rows begin ... end - 1 of output rows low ... high - 1 of a layer, one sample, step after step."""
    index, starts, bases, cuts = lists[0], lists[1], lists[2], lists[3:]
    line = layer.columns * layer.channels
    first, last = low * line, high * line
    own = slice(layer.state + first, layer.state + last)
    short = False
    for row in range(begin, end):
        if row == begin or not layer.steady or not same_input(layer, edges, row, graded):
            short = sum_step(
                layer, edges, low, high, row, fired, graded, weights, index, starts, starts[1:], bases, cuts,
                value, short_sums, sums, listed, bounds,
            )  # fmt: skip
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
def _advance_layer(
    n, part, parts, begin, end, fresh, layers, edges, weights, constants, u_init, v_init, fired, graded, u, v, seen,
    lists, value, short_sums, sums, listed, starts,
):  # fmt: skip
    """Compute rows begin ... end - 1 of a part of a layer for one sample."""
    layer = layers[n]
    line = layer.columns * layer.channels
    size = layer.rows * line
    # Parts end where a tile does: tiles themselves, or output rows as many as make whole ones.
    unit, rows = (TILE, 1) if layer.tiled else (line, max(1, TILE // (line & -line)))
    units = (size + unit * rows - 1) // (unit * rows)
    low, high = units * part // parts * rows, units * (part + 1) // parts * rows
    if not layer.tiled:
        high = min(high, layer.rows)
    if fresh:
        seen[n] = 0
        for j in range(layer.state + low * unit, layer.state + min(size, high * unit)):
            u[j], v[j] = u_init[j], v_init[j]
    if low == high:
        return
    if layer.tiled:
        advance_tiles(
            layer, low, high, begin, end, edges, weights, constants, fired, u, v, seen[n], listed, starts, sums
        )  # fmt: skip
    else:
        _advance_rows(
            layer, low, high, begin, end, edges, weights, constants, fired, graded, u, v, seen[n], lists, value,
            short_sums, sums, listed, starts,
        )  # fmt: skip


def _compiled(sources: str) -> Any:
    """The function, and with it all that it calls."""

    @entry
    def advance(
        first_layer, end_layer, loop, part, parts, begin, end, fresh, counts, layers, edges, weights, constants,
        u_init, v_init, fired, graded, u, v, seen, lists, value, short_sums, sums, listed, starts, has_graded, totals,
        graded_totals, items, reach, tallied,
    ):  # fmt: skip
        """Compute rows begin ... end - 1 of the buffers for some layers and all samples.

        Layers are computed one after another over all rows, while their weights are in cache, and those of a loop row
        after row. It is compiled twice: for layers whose weights fit 8 bits and whose integers fit 32, and for any.

        Args:
            first_layer, end_layer: which layers; `loop`: whether they form one.
            part, parts: compute only this share of each layer's output rows, or tiles.
            begin, end: rows; enough earlier rows for every delay lie before them, and one more.
            fresh: whether samples begin: states are what they were before the first step, nothing has been seen.
            counts: whether all layers will then have been computed: events are to be counted.
            layers, edges: the plan, int64 (layers) and (edges).
            weights: int8 or int32.
            constants: of the neurons, int32 or int64.
            u_init, v_init: int64 (neurons,).
            fired: uint8 (samples, rows, bytes), 0 or 1: spiking inputs and layers; written.
            graded: int32 (samples, rows, values): inputs with values.
            u, v: int32 or int64 (samples, neurons); written.
            seen: int64 (samples, layers, 5); written.
            lists: int32 (5, events): scratch, likewise `value` (int32), `listed` (int32) and `starts` (int64).
            short_sums, sums: accumulators, int16 and int32, or both int64.
            has_graded, totals, graded_totals, items, reach, tallied: see `count_rows`.
        """
        _of = sources  # in the closure, see `compiled`
        if loop:
            for s in range(fired.shape[0]):
                for row in range(begin, end):
                    for n in range(first_layer, end_layer):
                        _advance_layer(
                            n, part, parts, row, row + 1, fresh and row == begin, layers, edges, weights, constants,
                            u_init, v_init, fired[s], graded[s], u[s], v[s], seen[s], lists, value, short_sums, sums,
                            listed, starts,
                        )  # fmt: skip
        else:
            for n in range(first_layer, end_layer):
                for s in range(fired.shape[0]):
                    _advance_layer(
                        n, part, parts, begin, end, fresh, layers, edges, weights, constants, u_init, v_init, fired[s],
                        graded[s], u[s], v[s], seen[s], lists, value, short_sums, sums, listed, starts,
                    )  # fmt: skip
        if counts:
            count_rows(
                fired, graded, begin, end, fresh, value, has_graded, totals, graded_totals, items, reach, tallied
            )  # fmt: skip

    return advance


advance = _compiled(sources())
