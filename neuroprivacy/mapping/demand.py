"""The resources that a layer needs, by neuron, and those that a contiguous partition of it needs on one core.

Counts are structural: a weight of zero is a synapse, as in `fan_out`. Synapses of a convolution are counted unrolled,
with its borders; its distinct weights are counted beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import ConvMap, DenseMap, Layer, LinearMap

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grid:
    """A two-dimensional convolution, described along its two axes.

    Attributes:
        map: the convolution.
        rows: (output rows, input rows): kernel positions and pooling windows that connect them.
        columns: the same for columns.
    """

    map: ConvMap
    rows: Int64
    columns: Int64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demand:
    """The chip resources that a layer needs.

    Attributes:
        layer: the layer.
        fan_in: synapses into each neuron, (neurons,).
        sources: different sources of each neuron, (neurons,); a source of two edges counts twice.
        weights: distinct weights of all its edges.
        order: the neurons in the order of partitioning, (neurons,): position by position where a layer has channels,
            since neighbours share sources and channels of one position share all of them.
        grids: its convolutions by edge; None where an edge is dense.
    """

    layer: Layer
    fan_in: Int64
    sources: Int64
    weights: int
    order: Int64
    grids: tuple[_Grid | None, ...]

    @property
    def synapses(self) -> int:
        """All synapses into the layer, convolutions unrolled."""
        return int(self.fan_in.sum())

    def touched(self, first: int, last: int) -> tuple[Bools, ...]:
        """For each edge, a mask of the sources of neurons first ... last - 1 of `order`, (source neurons,)."""
        found: list[Bools] = []
        for edge, grid in zip(self.layer.edges, self.grids, strict=True):
            found.append(np.ones(edge.map.in_size, bool) if grid is None else _touched(grid, self.order[first:last]))
        return tuple(found)

    def axons_in(self, first: int, last: int) -> int:
        """Sources of a core with neurons first ... last - 1 of `order`; a source of two edges counts twice."""
        return sum(int(mask.sum()) for mask in self.touched(first, last))


def demand_of(layer: Layer) -> Demand:
    """Compute the chip resources that a layer needs."""
    grids = tuple(_grid(edge.map) for edge in layer.edges)
    fan_in, sources = np.zeros(layer.size, np.int64), np.zeros(layer.size, np.int64)
    for edge, grid in zip(layer.edges, grids, strict=True):
        if grid is None:
            fan_in += edge.map.in_size
            sources += edge.map.in_size
        else:
            fan_in += _per_neuron(grid, grid.rows, grid.columns)
            sources += _per_neuron(grid, grid.rows > 0, grid.columns > 0)
    weights = sum(int(edge.map.weight.size) for edge in layer.edges)
    order = np.arange(layer.size).reshape(layer.shape)
    order = (order.transpose(1, 2, 0) if len(layer.shape) == 3 else order).reshape(-1)
    return Demand(layer=layer, fan_in=fan_in, sources=sources, weights=weights, order=order, grids=grids)


def fan_outs(layers: Sequence[Layer], sizes: dict[str, int]) -> dict[str, Int64]:
    """Port or layer -> synapses that one event of each of its neurons touches, over all its target layers."""
    found = {name: np.zeros(size, np.int64) for name, size in sizes.items()}
    for layer in layers:
        for edge in layer.edges:
            found[edge.source] += edge.map.fan_out()
    return found


def kernel_entries(linear: LinearMap, shape: tuple[int, ...]) -> int:
    """Weights that a DynapCNN core addresses for a map: kernel places and output channels rounded up to powers of two.

    Args:
        linear: the map; a dense one is a convolution whose kernel is as large as its source.
        shape: of the source, (neurons,) or (channels, height, width).

    Source: sinabs, docs/speck/overview.md, Memory Constraints and Network Sizing.
    """
    rows, columns = kernel_of(linear, shape)
    channels, outputs = int(linear.weight.shape[1]), int(linear.weight.shape[0])
    if isinstance(linear, DenseMap):
        channels //= rows * columns
    return channels * _power_of_two(rows * columns) * _power_of_two(outputs)


def kernel_of(linear: LinearMap, shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a map's kernel; that of a dense map covers its whole source."""
    if isinstance(linear, ConvMap):
        return int(linear.weight.shape[2]), int(linear.weight.shape[3])
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


def _power_of_two(number: int) -> int:
    """The smallest power of two that is not below `number`."""
    return 1 << (number - 1).bit_length()


def _grid(linear: LinearMap) -> _Grid | None:
    """The axes of a convolution; None for a dense map."""
    if isinstance(linear, DenseMap):
        return None
    return _Grid(map=linear, rows=linear.axis_paths(0), columns=linear.axis_paths(1))


def _per_neuron(grid: _Grid, rows: Int64 | Bools, columns: Int64 | Bools) -> Int64:
    """The product of both axes for each neuron of a convolution, (neurons,)."""
    plane = np.outer(rows.sum(axis=1), columns.sum(axis=1)).astype(np.int64) * grid.map.weight.shape[1]
    return np.broadcast_to(plane, grid.map.out_shape).reshape(-1).copy()


def _touched(grid: _Grid, neurons: Int64) -> Bools:
    """A mask of the sources of some neurons of a convolution, (source neurons,)."""
    channels, height, width = grid.map.out_shape
    chosen = np.zeros(channels * height * width, bool)
    chosen[neurons] = True
    positions = chosen.reshape(grid.map.groups, -1, height, width).any(axis=1).astype(np.float32)
    rows, columns = (axis.astype(np.float32) for axis in (grid.rows, grid.columns))
    masks = np.matmul(np.matmul(rows.T, positions), columns) > 0
    return np.repeat(masks, grid.map.weight.shape[1], axis=0).reshape(-1)
