"""A Program laid out for the kernels: flat weight buffer, one row of numbers per layer and edge, and an order to run.

Layers that are in no cycle run over all steps at once, while their weights are in cache; layers of a cycle advance
together, a step at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, Program, run_order, unroll

#: Columns of an edge's row. `SOURCE` is an offset into the input buffer (FROM_INPUT = 1) or the spike buffer (0).
EDGE_COLUMNS = (
    "KIND", "FROM_INPUT", "SOURCE", "SOURCE_SIZE", "DELAY", "WEIGHTS",
    "CHANNELS", "HEIGHT", "WIDTH", "POOLED_HEIGHT", "POOLED_WIDTH", "GROUP_IN", "GROUP_OUT",
    "KERNEL_ROWS", "KERNEL_COLUMNS", "STRIDE_ROWS", "STRIDE_COLUMNS", "PAD_ROWS", "PAD_COLUMNS",
    "DILATION_ROWS", "DILATION_COLUMNS", "POOL_ROWS", "POOL_COLUMNS", "POOL_STRIDE_ROWS", "POOL_STRIDE_COLUMNS",
)  # fmt: skip
EDGE = {name: i for i, name in enumerate(EDGE_COLUMNS)}
DENSE, CONV = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerPlan:
    """One layer for the kernels.

    Attributes:
        layer: the Program's layer.
        offset: where its neurons begin in the spike buffer.
        shape: (channels, rows, columns) of the convolutions that feed it, whatever the layer's own shape: how the
            channels-last accumulator maps to neurons; (neurons, 1, 1) if there is none.
        edges: int64 (edges, columns), see EDGE_COLUMNS.
        weights: int16 or int32, all edges one after another.
        narrow: whether every synaptic sum is proved to fit int32.
    """

    layer: Layer
    offset: int
    shape: tuple[int, int, int]
    edges: NDArray[np.int64]
    weights: NDArray[np.signedinteger[Any]]
    narrow: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A Program for the kernels: layers by group; a group of more than one layer, or with a self-loop, is a cycle."""

    layers: tuple[LayerPlan, ...]
    groups: tuple[tuple[tuple[LayerPlan, ...], bool], ...]
    input_offsets: dict[str, int]
    input_size: int
    neurons: int
    scratch: int


def make_plan(program: Program) -> Plan:
    """Lay a Program out."""
    input_offsets, position = {}, 0
    for port in program.inputs:
        input_offsets[port.name] = position
        position += port.size
    layer_offsets, neurons = {}, 0
    for layer in program.layers:
        layer_offsets[layer.name] = neurons
        neurons += layer.size
    largest = {port.name: max(abs(port.low), abs(port.high)) for port in program.inputs}
    plans = {layer.name: _plan_layer(program, layer, input_offsets, layer_offsets, largest) for layer in program.layers}
    return Plan(
        layers=tuple(plans.values()),
        groups=_groups(program, plans),
        input_offsets=input_offsets,
        input_size=position,
        neurons=neurons,
        scratch=max(edge.map.in_size for layer in program.layers for edge in layer.edges),
    )


def _groups(program: Program, plans: dict[str, LayerPlan]) -> tuple[tuple[tuple[LayerPlan, ...], bool], ...]:
    """Layers by loop, in an order in which every group's sources come first."""
    pairs = [(edge.source, layer.name) for layer in program.layers for edge in layer.edges]
    return tuple((tuple(plans[n] for n in members), cyclic) for members, cyclic in run_order(list(plans), pairs))


def _plan_layer(
    program: Program,
    layer: Layer,
    input_offsets: dict[str, int],
    layer_offsets: dict[str, int],
    largest: dict[str, int],
) -> LayerPlan:
    shape = next((e.map.out_shape for e in layer.edges if isinstance(e.map, ConvMap)), (layer.size, 1, 1))
    rows, weights, position = [], [], 0
    for edge in (_as_dense(edge, unless=shape) for edge in layer.edges):
        ordered = _pack(edge, channels=shape[0], positions=shape[1] * shape[2])
        row = np.zeros(len(EDGE_COLUMNS), np.int64)
        inside = edge.source in layer_offsets
        row[EDGE["FROM_INPUT"]] = not inside
        row[EDGE["SOURCE"]] = layer_offsets[edge.source] if inside else input_offsets[edge.source]
        row[EDGE["SOURCE_SIZE"]] = edge.map.in_size
        row[EDGE["DELAY"]] = edge.delay
        row[EDGE["WEIGHTS"]] = position
        _describe(row, edge)
        rows.append(row)
        weights.append(ordered)
        position += ordered.size
    packed = np.concatenate(weights)
    return LayerPlan(
        layer=layer,
        offset=layer_offsets[layer.name],
        shape=shape,
        edges=np.stack(rows),
        weights=packed.astype(np.int16 if np.abs(packed).max() < 2**15 else np.int32),
        narrow=layer.activation_bound(largest) < 2**31,
    )


def _as_dense(edge: Edge, *, unless: tuple[int, int, int]) -> Edge:
    """The edge; a convolution of another output shape than `unless`, which the accumulator cannot hold, as a matrix."""
    if isinstance(edge.map, DenseMap) or edge.map.out_shape == unless:
        return edge
    matrix = unroll(edge.map)
    weight = np.zeros(matrix.shape, np.int64)
    np.add.at(weight, (matrix.rows, matrix.columns), matrix.values)
    return Edge(source=edge.source, map=DenseMap(weight=weight), delay=edge.delay)


def _pack(edge: Edge, *, channels: int, positions: int) -> NDArray[np.int64]:
    """Weights in the order in which an event reads them: its targets side by side, in the accumulator's order."""
    if isinstance(edge.map, DenseMap):
        rows = edge.map.weight.reshape(channels, positions, -1).transpose(2, 1, 0)
        return np.ascontiguousarray(rows).reshape(-1)
    grouped = edge.map.weight.reshape(edge.map.groups, -1, *edge.map.weight.shape[1:])
    return np.ascontiguousarray(grouped.transpose(0, 2, 3, 4, 1)).reshape(-1)


def _describe(row: NDArray[np.int64], edge: Edge) -> None:
    """Fill in the columns of a convolution."""
    if isinstance(edge.map, DenseMap):
        row[EDGE["KIND"]] = DENSE
        return
    linear = edge.map
    row[EDGE["KIND"]] = CONV
    row[[EDGE["CHANNELS"], EDGE["HEIGHT"], EDGE["WIDTH"]]] = linear.in_shape
    row[[EDGE["POOLED_HEIGHT"], EDGE["POOLED_WIDTH"]]] = linear.pooled_shape[1:]
    row[EDGE["GROUP_IN"]] = linear.weight.shape[1]
    row[EDGE["GROUP_OUT"]] = linear.weight.shape[0] // linear.groups
    row[[EDGE["KERNEL_ROWS"], EDGE["KERNEL_COLUMNS"]]] = linear.weight.shape[2:]
    row[[EDGE["STRIDE_ROWS"], EDGE["STRIDE_COLUMNS"]]] = linear.stride
    row[[EDGE["PAD_ROWS"], EDGE["PAD_COLUMNS"]]] = linear.padding
    row[[EDGE["DILATION_ROWS"], EDGE["DILATION_COLUMNS"]]] = linear.dilation
    row[[EDGE["POOL_ROWS"], EDGE["POOL_COLUMNS"]]] = linear.pool
    row[[EDGE["POOL_STRIDE_ROWS"], EDGE["POOL_STRIDE_COLUMNS"]]] = linear.pool_stride
