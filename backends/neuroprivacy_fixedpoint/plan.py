"""A Program laid out for the kernels: weights, constants, records of layers and edges, execution order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import DenseMap, Edge, Layer, Port, Program, fits_32_bits, largest_inputs, run_order
from neuroprivacy_fixedpoint.aligned import zeros
from neuroprivacy_fixedpoint.columns import EDGE, LAYER, STEPS, TILE
from neuroprivacy_fixedpoint.constants import Constants
from neuroprivacy_fixedpoint.items import Items, make_items
from neuroprivacy_fixedpoint.layout import Layout, choose_layouts, fitting
from neuroprivacy_fixedpoint.weights import Weights

#: Spikes and states of a layer begin at a multiple of this many values.
_ALIGN = 64
#: Runs of at most so many steps use the same plan: within them, few membranes can exceed 32 bits.
SHORT = 4096
#: Length of the event list of many time steps, chosen to fit the cache.
_LISTED = 2**15


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A Program laid out as arrays for the kernels.

    Attributes:
        order: the layers in the order of the rows of `layers`; `numbers` names their places.
        stages: (first layer, end, whether they form a loop, whether they need wide integers).
        layouts: port or layer name -> order of its values.
        spikes: name -> offset in a row of spikes; `width`: bytes of a row.
        graded: port name -> offset in a row of graded inputs; `graded_width`: values of a row.
        states: layer name -> offset of its u and v; `neurons`: in all.
        u_init, v_init: int64 (neurons,), states before the first step.
        history: earlier time steps that must be kept.
        layers, edges: see `columns`.
        weights: int8, event by event; `wide_weights` int32, of layers that need wide integers.
        constants: int32, of the neurons; `wide_constants` int64.
        wide: names of the layers that need wide integers: 32 bits for weights, 64 for all else.
        items: the counters.
        events: length of the event list of one time step; `listed` and `starts`: of many; `largest`: of an accumulator.
        work: synaptic operations of one time step of one sample if every source fired.
        idle: buffers to be reused.
    """

    order: tuple[Layer, ...]
    stages: tuple[tuple[int, int, bool, bool], ...]
    layouts: dict[str, Layout]
    spikes: dict[str, int]
    width: int
    graded: dict[str, int]
    graded_width: int
    states: dict[str, int]
    neurons: int
    u_init: Int64
    v_init: Int64
    history: int
    layers: NDArray[np.void]
    edges: NDArray[np.void]
    weights: NDArray[np.int8]
    wide_weights: NDArray[np.int32]
    constants: NDArray[np.int32]
    wide_constants: Int64
    wide: frozenset[str]
    items: Items
    events: int
    listed: int
    starts: int
    largest: int
    work: int
    idle: deque[Any] = field(default_factory=lambda: deque(maxlen=8))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Layer name -> its place in the order."""
        return {layer.name: i for i, layer in enumerate(self.order)}


#: Held while a plan is made.
_MAKING = Lock()
if hasattr(os, "register_at_fork"):  # no child begins with a lock that a thread of its parent held
    os.register_at_fork(before=_MAKING.acquire, after_in_parent=_MAKING.release, after_in_child=_MAKING.release)

_PLANS: WeakKeyDictionary[Program, dict[bool, Plan]] = WeakKeyDictionary()


def plan_of(program: Program, steps: int) -> Plan:
    """The plan of a Program for runs of so many steps, made once for as long as the Program lives."""
    short = steps <= SHORT
    made = _PLANS.get(program)
    if made is not None and short in made:
        return made[short]
    with _MAKING:
        kept = _PLANS.setdefault(program, {})
        if short not in kept:
            kept[short] = make_plan(program, steps=SHORT if short else None)
        return kept[short]


def make_plan(program: Program, *, steps: int | None) -> Plan:
    """Lay a Program out as arrays for the kernels.

    Args:
        program: what to run.
        steps: the most steps of a run, which bounds its membranes; None for any number.
    """
    layouts = choose_layouts(program)
    pairs = [(edge.source, layer.name) for layer in program.layers for edge in layer.edges]
    ordered = run_order([layer.name for layer in program.layers], pairs)
    order = tuple(program.layer(name) for members, _ in ordered for name in members)
    binary = [port for port in program.inputs if port.low >= 0 and port.high <= 1]
    nodes: tuple[Port | Layer, ...] = (*binary, *order)
    spikes, width = _places([(node.name, node.size) for node in nodes])
    graded, graded_width = _places([(port.name, port.size) for port in program.inputs if port not in binary])
    states, neurons = _places([(layer.name, layer.size) for layer in order])
    fitted = {
        layer.name: tuple(fitting(edge, layouts[edge.source], layouts[layer.name]) for edge in layer.edges)
        for layer in order
    }
    wide = _wide_layers(program, fitted, [members for members, _ in ordered], steps)
    weights, constants = Weights(), Constants()
    u_init, v_init = np.zeros(neurons, np.int64), np.zeros(neurons, np.int64)
    rows: list[np.void] = []
    edge_rows: list[np.void] = []
    for layer in order:
        edges = fitted[layer.name]
        row = np.zeros(1, LAYER)[0]
        row["first_edge"], row["end_edge"] = len(edge_rows), len(edge_rows) + len(edges)
        row["offset"], row["state"] = spikes[layer.name], states[layer.name]
        row["channels"], row["rows"], row["columns"] = layouts[layer.name].grid
        row["steady"] = all(edge.source in graded for edge in edges)
        tiled = layer.name not in wide and all(isinstance(e.map, DenseMap) and e.source in spikes for e in edges)
        row["tiled"] = tiled
        for edge in edges:
            placed = np.zeros(1, EDGE)[0]
            placed["graded"] = edge.source in graded
            placed["source"] = graded[edge.source] if edge.source in graded else spikes[edge.source]
            weights.add(placed, edge, layouts[edge.source], layouts[layer.name], wide=layer.name in wide, tiled=tiled)
            edge_rows.append(placed)
        bound = layer.activation_bound(largest_inputs(program))
        row["short"] = bound < 2**15 and not any(edge.source in graded for edge in edges)
        constants.add(row, program, layer, layouts[layer.name], bound, steps=steps, wide=layer.name in wide)
        rows.append(row)
        own = slice(states[layer.name], states[layer.name] + layer.size)
        u_init[own], v_init[own] = (layouts[layer.name].inside(each) for each in (layer.u_init, layer.v_init))
    most_edges = max(len(edges) for edges in fitted.values())
    return Plan(
        order=order, stages=_stages([(members, loop, members[0] in wide) for members, loop in ordered]),
        layouts=layouts, spikes=spikes, width=width, graded=graded, graded_width=graded_width, states=states,
        neurons=neurons, u_init=u_init, v_init=v_init,
        history=1 + max(edge.delay for layer in order for edge in layer.edges),
        layers=np.array(rows, LAYER), edges=np.array(edge_rows, EDGE),
        weights=_joined(weights.narrow, np.int8), wide_weights=_joined(weights.wide, np.int32),
        constants=_joined(constants.narrow, np.int32), wide_constants=_joined(constants.wide, np.int64),
        wide=wide, items=make_items(program, layouts, spikes, graded), events=weights.events + TILE,
        listed=max(_LISTED, most_edges * (weights.events + TILE), weights.most_coincident + 2 * TILE),
        starts=STEPS * most_edges + 1,
        largest=max(STEPS * TILE, max(layer.size for layer in order) + TILE), work=weights.work,
    )  # fmt: skip


def _wide_layers(
    program: Program, fitted: Mapping[str, Sequence[Edge]], groups: Sequence[tuple[str, ...]], steps: int | None
) -> frozenset[str]:
    """Layers that need more than 8-bit weights and 32-bit integers. If one layer of a loop does, all do."""
    needing = {
        layer.name
        for layer in program.layers
        if not _fit_8_bits(fitted[layer.name]) or not fits_32_bits(program, layer, steps=steps)
    }
    return frozenset(name for members in groups if needing & set(members) for name in members)


def _fit_8_bits(edges: Sequence[Edge]) -> bool:
    """Whether all weights fit, as they are laid out: a convolution that became a matrix may have summed some."""
    return max(max(int(edge.map.weight.max()), -int(edge.map.weight.min()) - 1) for edge in edges) <= 127


def _stages(groups: list[tuple[tuple[str, ...], bool, bool]]) -> tuple[tuple[int, int, bool, bool], ...]:
    """Groups by their places in the order."""
    ends = np.cumsum([len(members) for members, _, _ in groups])
    return tuple(
        (int(end) - len(members), int(end), loop, wide) for end, (members, loop, wide) in zip(ends, groups, strict=True)
    )


def _places(sizes: list[tuple[str, int]]) -> tuple[dict[str, int], int]:
    """Aligned offsets, and the length of a row. Kernels may read past the end of each."""
    places, position = {}, 0
    for name, size in sizes:
        places[name] = position
        position += -(-size // _ALIGN) * _ALIGN
    return places, position + _ALIGN


def _joined(parts: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    """One flat array, followed by zeros that kernels may read."""
    joined = zeros(sum(part.size for part in parts) + TILE, kind)
    if parts:
        np.concatenate([part.reshape(-1) for part in parts], out=joined[:-TILE])
    return joined
