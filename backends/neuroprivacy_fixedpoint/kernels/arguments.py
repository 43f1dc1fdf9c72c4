"""Argument bundles of the kernels: the arrays of a Program, of a batch, of a thread, and of the event counters.

Python passes plain tuples in the order of the fields, since numba inspects a tuple in compiled code and a named one in
Python at every call. `advance` gives them their names.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Network(NamedTuple):
    """The arrays of a Program: layers, edges, weights and constants.

    Attributes:
        layers, edges: records, see `columns`.
        weights: int8 or int32.
        constants: of the neurons, int32 or int64.
        u_init, v_init: states before the first time step, int64 (neurons,).
    """

    layers: Any
    edges: Any
    weights: Any
    constants: Any
    u_init: Any
    v_init: Any


class Buffers(NamedTuple):
    """Spikes and states of a batch; of one sample, without the first axis.

    Attributes:
        fired: spikes of inputs and layers, 0 or 1, uint8 (samples, rows, bytes); written.
        graded: graded inputs, int32 (samples, rows, values).
        u, v: int32 or int64 (samples, neurons); written.
        seen: extremes and overflows, int64 (samples, layers, 5); written.
    """

    fired: Any
    graded: Any
    u: Any
    v: Any
    seen: Any


class Scratch(NamedTuple):
    """Arrays of one thread that hold nothing between calls.

    Attributes:
        lists: int32 (5, events): event numbers, where those of each position begin, offsets of their weights, and
            where a round begins and ends at each position.
        value: values of events, int32.
        short_sums, sums: accumulators of synaptic input, int16 and int32, or both int64.
        listed, starts: events of many time steps, int32, and where those of each begin, int64.
    """

    lists: Any
    value: Any
    short_sums: Any
    sums: Any
    listed: Any
    starts: Any


class Counters(NamedTuple):
    """Event counters of a batch.

    Attributes:
        has_graded: whether there are graded inputs.
        totals, graded_totals: time steps in which each value was not zero, int32 (samples, values); written.
        items: records, see `columns`.
        fan_out: synaptic operations that one event of each value causes, edge after edge, int64.
        tallied: events of a source, or synaptic operations of an edge, int64 (samples, items); written.
    """

    has_graded: Any
    totals: Any
    graded_totals: Any
    items: Any
    fan_out: Any
    tallied: Any


class Span(NamedTuple):
    """The part of a layer's output and the time steps that one call computes.

    Attributes:
        partition, partitions: one of so many partitions of its output rows, or tiles.
        begin, end: time steps, as rows of the buffers.
        fresh: whether samples begin: states are initialised, and counters are reset.
    """

    partition: Any
    partitions: Any
    begin: Any
    end: Any
    fresh: Any
