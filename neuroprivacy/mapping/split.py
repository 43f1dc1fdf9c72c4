"""The neurons of each core: layers cut into contiguous partitions, or matched whole with cores that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.mapping.demand import Demand

#: First neuron and the one after the last, in the order of `Demand.order`.
Partition = tuple[int, int]
#: Splitting a layer changes the output axons of its sources; with recurrent layers this need not converge.
_ROUNDS = 8


def split_layers(
    demands: Sequence[Demand], room: Mapping[str, int], synapse_bits: int
) -> tuple[dict[str, tuple[Partition, ...]], dict[str, Int64]]:
    """Partition every layer so that each partition fits one core and is as long as possible.

    A limit that a single neuron already exceeds does not split its layer.

    Args:
        demands: of all layers.
        room: resource (see `RESOURCES`) -> capacity of one core.
        synapse_bits: memory of one synapse.

    Returns:
        The partitions of each layer, and for each layer the number of target cores of each neuron, (neurons,).
    """
    parts: dict[str, tuple[Partition, ...]] = {}
    none = {demand.layer.name: np.zeros(demand.layer.size, np.int64) for demand in demands}
    for demand in demands:
        parts[demand.layer.name] = _cut(demand, room, synapse_bits, none[demand.layer.name])
    for _ in range(_ROUNDS):
        before = dict(parts)
        for demand in reversed(demands):
            sent = destinations(demands, parts, (demand.layer.name,))[demand.layer.name]
            parts[demand.layer.name] = _cut(demand, room, synapse_bits, sent)
        if parts == before:
            break
    return parts, destinations(demands, parts, tuple(none))


def destinations(
    demands: Sequence[Demand], parts: Mapping[str, Sequence[Partition]], names: Sequence[str]
) -> dict[str, Int64]:
    """For each of the named layers, the number of target cores of each neuron, (neurons,)."""
    found = {
        demand.layer.name: np.zeros(demand.layer.size, np.int64) for demand in demands if demand.layer.name in names
    }
    for demand in demands:
        if not any(edge.source in found for edge in demand.layer.edges):
            continue
        for first, last in parts[demand.layer.name]:
            for edge, mask in zip(demand.layer.edges, demand.touched(first, last), strict=True):
                if edge.source in found:
                    found[edge.source] += mask
    return found


def _cut(demand: Demand, room: Mapping[str, int], synapse_bits: int, sent: Int64) -> tuple[Partition, ...]:
    """Cut one layer into partitions, one for each core."""
    size = demand.layer.size
    alone = {
        "neurons": 1,
        "memory_bits": int(demand.fan_in.max()) * synapse_bits,
        "axons_in": int(demand.sources.max()),
        "axons_out": int(sent.max()),
    }
    left = {name: limit for name, limit in room.items() if alone[name] <= limit}
    memory = np.concatenate(([0], np.cumsum(demand.fan_in[demand.order] * synapse_bits)))
    axons = np.concatenate(([0], np.cumsum(sent[demand.order])))

    def axons_fit(first: int, last: int) -> bool:
        """Whether a core has enough input axons for all sources of these neurons."""
        return "axons_in" not in left or demand.axons_in(first, last) <= left["axons_in"]

    found: list[Partition] = []
    first = 0
    while first < size:
        # Every resource grows with the partition: cumulative sums and bisection give its longest length.
        high = min(size, first + left.get("neurons", size))
        for sums, name in ((memory, "memory_bits"), (axons, "axons_out")):
            if name in left:
                high = min(high, int(np.searchsorted(sums, sums[first] + left[name], side="right")) - 1)
        low = high if axons_fit(first, high) else first + 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if axons_fit(first, middle + 1) else (low, middle)
        found.append((first, low))
        first = low
    return tuple(found)


def match_layers(
    needs: Sequence[tuple[int, int]], kernel_bits: Sequence[int], neurons: Sequence[int]
) -> tuple[int | None, ...]:
    """One core for each of as many layers as possible, cores by index.

    Args:
        needs: (bits of weights, neurons) of each layer.
        kernel_bits: weight memory of each core.
        neurons: neurons of each core.

    Returns:
        The core of each layer; None for a layer without one.
    """
    owner: dict[int, int] = {}

    def seat(layer: int, tried: set[int]) -> bool:
        """Assign a core to a layer: a free one, else one whose layer can move to another."""
        bits, count = needs[layer]
        fitting = [
            core
            for core, room in enumerate(zip(kernel_bits, neurons, strict=True))
            if bits <= room[0] and count <= room[1]
        ]
        for core in sorted(fitting, key=lambda core: (core in owner, core)):
            if core not in tried:
                tried.add(core)
                if core not in owner or seat(owner[core], tried):
                    owner[core] = layer
                    return True
        return False

    for layer in range(len(needs)):
        seat(layer, set())
    seats = {layer: core for core, layer in owner.items()}
    return tuple(seats.get(layer) for layer in range(len(needs)))
