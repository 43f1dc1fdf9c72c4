"""The network between the graph and the Program: real weights, but time already in steps.

A draft layer is one population: maps that lead into it, a bias per step, and a neuron

    u = alpha·u + Σ W·x,   v = beta·v + u + bias,   spike if v > threshold,   reset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from neuroprivacy.core.errors import Issue, UnsupportedNode
from neuroprivacy.kernels import conv_apply, conv_output_shape, sum_pool
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.linear import Pair
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.program import Port, run_order
from neuroprivacy.program.network import Readout

Shape = tuple[int, ...]


#: Weights of a matrix that a map may be multiplied out to.
MAX_MATRIX = 2**24


def must_be_small(where: str, columns: int, rows: int) -> None:
    """Refuse to multiply out what would be too large.

    Raises:
        UnsupportedNode: it is.
    """
    if columns * rows > MAX_MATRIX:
        raise UnsupportedNode(
            f"{where}: has to be multiplied out into {rows} x {columns} weights, the limit is {MAX_MATRIX}; "
            "put neurons between linear layers, and use one constant per channel"
        )


def fresh_name(name: str, taken: set[str]) -> str:
    """That name, or one like it that nothing has; it is taken then."""
    while name in taken:
        name += "'"
    taken.add(name)
    return name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConvShape:
    """A convolution's options; see `neuroprivacy.program.ConvMap`."""

    in_shape: tuple[int, int, int]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pool: Pair = (1, 1)
    pool_stride: Pair = (1, 1)

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) after the sum pool."""
        channels, height, width = self.in_shape
        rows, columns = conv_output_shape(
            height, width, kernel=self.pool, stride=self.pool_stride, padding=(0, 0), dilation=(1, 1)
        )
        return channels, rows, columns

    def pooled(self, images: Float64) -> Float64:
        """The sum pool of images (samples, *in_shape)."""
        if self.pool == (1, 1) and self.pool_stride == (1, 1):
            return images
        return sum_pool(images, kernel=self.pool, stride=self.pool_stride)

    def convolved(self, weight: Float64, pooled: Float64) -> Float64:
        """The convolution of what `pooled` gives: (samples, out channels, rows, columns)."""
        return conv_apply(
            weight, pooled, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DraftEdge:
    """A map from a source.

    Attributes:
        source: port or layer.
        weight: (outputs, inputs) if `conv` is None, else (out channels, in channels / groups, rows, columns). Real
            units: what one unit of the source's integers adds to v in one step.
        conv: a convolution's options.
        wait: steps that the network itself delays this edge: its Delay nodes, and one if it closes a loop.
        delay: steps, the target's own cost included; -1 until `balance_delays` has run.
        grid: unit on which the weights already lie, (1,) or (out channels,); None if they lie on none.
        whole: the integers that stand for the weights, of their shape; None until `quantize` has run.
    """

    source: str
    weight: Float64
    conv: ConvShape | None = None
    wait: int = 0
    delay: int = -1
    grid: Float64 | None = None
    whole: Int64 | None = None

    def scaled(self, factor: Float64) -> DraftEdge:
        """The edge with the weights of each target neuron times a factor, (neurons,).

        Raises:
            UnsupportedNode: factors differ within a channel, and the convolution is too large to be multiplied out.
        """
        edge = self
        if edge.conv is not None:
            by_channel = factor.reshape(len(edge.weight), -1)
            if np.ptp(by_channel, axis=1).any():
                edge = edge.as_matrix()
            else:
                factor = by_channel[:, 0]
        grid = edge.grid
        if grid is not None:
            grid = (
                grid * factor[:1]
                if grid.size == 1 and not np.ptp(factor)
                else np.broadcast_to(grid, factor.shape) * factor
            )
        return replace(edge, weight=edge.weight * factor.reshape(-1, *[1] * (edge.weight.ndim - 1)), grid=grid)

    def as_matrix(self) -> DraftEdge:
        """The same edge with its convolution, if it has one, multiplied out.

        Raises:
            UnsupportedNode: the matrix would be too large.
        """
        if self.conv is None:
            return self
        sources = math.prod(self.conv.in_shape)
        must_be_small(self.source, sources, self.apply(np.zeros((1, sources))).size)
        grid = self.grid if self.grid is not None and self.grid.size == 1 else None
        return replace(self, weight=self.apply(np.eye(sources)).T.copy(), conv=None, grid=grid)

    def apply(self, x: Float64) -> Float64:
        """W·x: x (samples, source values) -> (samples, neurons)."""
        if self.conv is None:
            result: Float64 = x @ self.weight.T
            return result
        images = x.reshape(-1, *self.conv.in_shape)
        return self.conv.convolved(self.weight, self.conv.pooled(images)).reshape(len(x), -1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DraftLayer:
    """A population with what feeds it.

    Attributes:
        name: of the neuron node (or of the last linear node, for a membrane readout).
        shape: of its neurons.
        edges: into it.
        bias: added to v at each step, (neurons,).
        threshold: θ, (neurons,).
        alpha: what is left of the current after a step, (neurons,), 0 ... 1; 0 for neurons without synaptic memory.
        beta: likewise of the membrane.
        u_start: current before step 1, (neurons,); likewise `v_start`.
        reset: rule.
        fires: false for a membrane readout.
        unit: what one unit of the neuron's u and v is worth in the units of the graph, (neurons,).
        lsb: what one integer of the weights is worth in the layer's own units, (1,) or (output channels,); 0 until
            `quantize` has run.
    """

    name: str
    shape: tuple[int, ...]
    edges: tuple[DraftEdge, ...]
    bias: Float64
    threshold: Float64
    alpha: Float64
    beta: Float64
    u_start: Float64
    v_start: Float64
    reset: Reset
    fires: bool = True
    unit: Float64 = field(default_factory=lambda: np.ones(1))
    lsb: Float64 = field(default_factory=lambda: np.zeros(1))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draft:
    """A network in real units and whole steps.

    Attributes:
        inputs: ports.
        layers: in an order in which sources come first, recurrent edges apart.
        outputs: layers whose spikes are results.
        readout: of the first output.
        depth: layer -> steps from the input, once `balance_delays` has run.
        signed_split: whether inputs are sent as an on and an off channel.
        populations: layer of the graph -> its populations, each by name with the neurons that it took, for the layers
            that `split_populations` split.
        remarks: what the passes had to say so far.
    """

    inputs: tuple[Port, ...]
    layers: tuple[DraftLayer, ...]
    outputs: tuple[str, ...]
    readout: Readout
    depth: dict[str, int] | None = None
    signed_split: bool = False
    populations: Mapping[str, Mapping[str, Int64]] = field(default_factory=dict)
    remarks: tuple[Issue, ...] = ()

    def groups(self) -> tuple[tuple[tuple[DraftLayer, ...], bool], ...]:
        """Layers after what feeds them, those of a loop together; and whether they form a loop."""
        by_name = {layer.name: layer for layer in self.layers}
        pairs = [(edge.source, layer.name) for layer in self.layers for edge in layer.edges]
        ordered = run_order(list(by_name), pairs)
        return tuple((tuple(by_name[name] for name in members), loop) for members, loop in ordered)
