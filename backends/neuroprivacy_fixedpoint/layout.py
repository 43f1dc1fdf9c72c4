"""Memory layout of neurons: channels-last, so that the targets of one event are contiguous."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, Port, Program, unroll

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Layout:
    """The memory layout of one port or layer.

    Attributes:
        grid: (channels, rows, columns) that its C order is read as.
    """

    grid: Grid

    @cached_property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.grid)

    @cached_property
    def plain(self) -> bool:
        """Whether the channels-last order equals the plain C order."""
        return self.grid[0] == 1 or self.grid[1] * self.grid[2] == 1

    def inside(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """(..., size) in C order -> channels-last."""
        if self.plain:
            return values
        channels, rows, columns = self.grid
        apart = values.reshape(*values.shape[:-1], channels, rows * columns)
        return np.ascontiguousarray(np.swapaxes(apart, -1, -2)).reshape(values.shape)

    def outside(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """(..., size) channels-last -> C order; the values themselves where that is the same."""
        if self.plain:
            return values
        channels, rows, columns = self.grid
        apart = values.reshape(*values.shape[:-1], rows * columns, channels)
        return np.swapaxes(apart, -1, -2).reshape(values.shape)


def choose_layouts(program: Program) -> dict[str, Layout]:
    """Port or layer name -> layout: output shape of its own convolution, else input shape of its first reader."""
    nodes: tuple[Port | Layer, ...] = (*program.inputs, *program.layers)
    return {node.name: Layout(_grid(program, node)) for node in nodes}


def _grid(program: Program, node: Port | Layer) -> Grid:
    if isinstance(node, Layer):
        for edge in node.edges:
            if isinstance(edge.map, ConvMap):
                return edge.map.out_shape
    for layer in program.layers:
        for edge in layer.edges:
            if edge.source == node.name and isinstance(edge.map, ConvMap):
                return edge.map.in_shape
    return (1, node.size, 1)


def fitting(edge: Edge, source: Layout, target: Layout) -> Edge:
    """The edge. A convolution whose source or target has another layout becomes a matrix."""
    if isinstance(edge.map, DenseMap) or (edge.map.in_shape == source.grid and edge.map.out_shape == target.grid):
        return edge
    matrix = unroll(edge.map)
    weight = np.zeros(matrix.shape, np.int64)
    np.add.at(weight, (matrix.rows, matrix.columns), matrix.values)
    return Edge(source=edge.source, map=DenseMap(weight=weight), delay=edge.delay)
