"""Which neurons go on which core: layers cut into contiguous parts, or matched whole with cores that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.mapping.demand import Demand

#: First neuron and the one after the last, in the order of `Demand.order`.
Part = tuple[int, int]
#: Splitting a layer changes the output axons of what feeds it; a loop of recurrent layers need not settle.
_ROUNDS = 8


def split_layers(
    demands: Sequence[Demand], room: Mapping[str, int], synapse_bits: int
) -> tuple[dict[str, tuple[Part, ...]], dict[str, Int64]]:
    """Cut every layer so that no part needs more than a core has, each part as long as it can be.

    A limit that a single neuron already exceeds does not cut its layer: no splitting helps.

    Args:
        demands: of all layers.
        room: resource (see `RESOURCES`) -> what one core has.
        synapse_bits: memory of one synapse.

    Returns:
        The parts of each layer, and for each the cores that each of its neurons sends to, (neurons,).
    """
    parts: dict[str, tuple[Part, ...]] = {}
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
    demands: Sequence[Demand], parts: Mapping[str, Sequence[Part]], names: Sequence[str]
) -> dict[str, Int64]:
    """For each of the named layers, to how many cores each of its neurons sends, (neurons,)."""
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


def _cut(demand: Demand, room: Mapping[str, int], synapse_bits: int, sent: Int64) -> tuple[Part, ...]:
    """One layer in parts."""
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

    def heard(first: int, last: int) -> bool:
        """Whether a core can listen to all that these neurons need."""
        return "axons_in" not in left or demand.axons_in(first, last) <= left["axons_in"]

    found: list[Part] = []
    first = 0
    while first < size:
        # Every resource grows with the part: sums say how long it may be, bisection how long its sources allow.
        high = min(size, first + left.get("neurons", size))
        for sums, name in ((memory, "memory_bits"), (axons, "axons_out")):
            if name in left:
                high = min(high, int(np.searchsorted(sums, sums[first] + left[name], side="right")) - 1)
        low = high if heard(first, high) else first + 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if heard(first, middle + 1) else (low, middle)
        found.append((first, low))
        first = low
    return tuple(found)


def match_layers(
    needs: Sequence[tuple[int, int]], kernel_bits: Sequence[int], neurons: Sequence[int]
) -> tuple[int | None, ...]:
    """A core of its own for as many layers as can have one, cores by index.

    Args:
        needs: (bits of weights, neurons) of each layer.
        kernel_bits: what each core has.
        neurons: what each core has.

    Returns:
        The core of each layer; None for one that gets none.
    """
    owner: dict[int, int] = {}

    def seat(layer: int, tried: set[int]) -> bool:
        """Find a core for a layer: a free one, else one whose layer can move."""
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
