"""The real-valued IR in time steps: populations of neurons with real weights.

u = alpha·u + Σ W·x[t - model_delay]     v = beta·v + u + bias     spike if v > threshold, then reset
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, TypeVar

import numpy as np

from neuroprivacy.core.errors import Issue, UnsupportedNode
from neuroprivacy.kernels.formats import Float64
from neuroprivacy.kernels.linear import ConvGeometry
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.program import Port, run_order
from neuroprivacy.program.network import Readout

#: Weights of the largest matrix that a convolution may be unrolled to.
MAX_MATRIX = 2**24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealMap:
    """A linear map with real weights.

    Attributes:
        weight: (outputs, inputs) if `conv` is None, else (out channels, in channels / groups, rows, columns): the
            change of u in one time step by a source value of 1.
        conv: geometry of a convolution; None for a matrix.
        weight_scale: quantization step on which the weights already lie, (1,) or (out channels,); None if the graph
            states none.
    """

    weight: Float64
    conv: ConvGeometry | None = None
    weight_scale: Float64 | None = None

    @property
    def window(self) -> int:
        """Source values that a sum pool adds up before the weight; 1 without a pool."""
        return self.conv.window if self.conv is not None else 1

    def scaled(self, factor: Float64, *, where: str) -> RealMap:
        """The map with the weights of each target neuron times a factor, (neurons,).

        Raises:
            UnsupportedNode: factors differ within a channel, and the unrolled convolution is too large.
        """
        linear = self
        if linear.conv is not None:
            by_channel = factor.reshape(len(linear.weight), -1)
            if np.ptp(by_channel, axis=1).any():
                linear = linear.as_matrix(where=where)
            else:
                factor = by_channel[:, 0]
        scale = linear.weight_scale
        if scale is not None:
            scale = (
                scale * factor[:1]
                if scale.size == 1 and not np.ptp(factor)
                else np.broadcast_to(scale, factor.shape) * factor
            )
        return replace(linear, weight=times_rows(linear.weight, factor), weight_scale=scale)

    def as_matrix(self, *, where: str) -> RealMap:
        """The same map, a convolution unrolled to a matrix.

        Raises:
            UnsupportedNode: the matrix would be too large.
        """
        if self.conv is None:
            return self
        sources = math.prod(self.conv.in_shape)
        check_matrix_size(where, sources, self.apply(np.zeros((1, sources))).size)
        scale = self.weight_scale if self.weight_scale is not None and self.weight_scale.size == 1 else None
        return RealMap(weight=self.apply(np.eye(sources)).T.copy(), weight_scale=scale)

    def apply(self, x: Float64) -> Float64:
        """W·x: x (samples, source values) -> (samples, neurons)."""
        if self.conv is None:
            result: Float64 = x @ self.weight.T
            return result
        images = x.reshape(-1, *self.conv.in_shape)
        return self.conv.convolved(self.weight, self.conv.pooled(images)).reshape(len(x), -1)


def times_rows(weight: Float64, factor: Float64) -> Float64:
    """The rows of a matrix, or the kernels of a convolution, times a factor each."""
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))


def check_matrix_size(where: str, columns: int, rows: int) -> None:
    """Refuse a matrix of more than MAX_MATRIX weights.

    Raises:
        UnsupportedNode: it is larger.
    """
    if columns * rows > MAX_MATRIX:
        raise UnsupportedNode(
            f"{where}: has to be unrolled to {rows} x {columns} weights, the limit is {MAX_MATRIX}; "
            "put neurons between linear layers, and use one constant per channel"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealConnection:
    """A linear map from a source to a population.

    Attributes:
        source: port or layer.
        map: the linear map.
        model_delay: time steps that the network itself delays the connection: its Delay nodes, and one if it closes a
            loop.
    """

    source: str
    map: RealMap
    model_delay: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealLayer:
    """A population of neurons with its incoming connections.

    Attributes:
        name: of the neuron node (or of the last linear node, for a membrane readout).
        shape: of its neurons.
        connections: into it.
        bias: added to v in each time step, (neurons,).
        threshold: θ, (neurons,).
        alpha: decay factor of the current, (neurons,), 0 ... 1; 0 for neurons without synaptic memory.
        beta: decay factor of the membrane, likewise.
        u_start: current before the first time step, (neurons,); likewise `v_start`.
        reset: rule.
        fires: false for a membrane readout.
        state_scale: value of a state of 1 in the units of the graph, (1,) or (neurons,).
    """

    name: str
    shape: tuple[int, ...]
    connections: tuple[RealConnection, ...]
    bias: Float64
    threshold: Float64
    alpha: Float64
    beta: Float64
    u_start: Float64
    v_start: Float64
    reset: Reset
    fires: bool = True
    state_scale: Float64 = field(default_factory=lambda: np.ones(1))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)


AnyLayer = TypeVar("AnyLayer", bound=RealLayer)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealNetwork:
    """A network with real weights in time steps.

    Attributes:
        inputs: ports.
        layers: sources first, recurrent connections apart.
        outputs: layers whose spikes are results.
        readout: of the first output.
        dt_s: time step, seconds.
        signed_split: whether inputs are sent as an on and an off channel.
        diagnostics: of the passes so far.
    """

    inputs: tuple[Port, ...]
    layers: tuple[RealLayer, ...]
    outputs: tuple[str, ...]
    readout: Readout
    dt_s: float
    signed_split: bool = False
    diagnostics: tuple[Issue, ...] = ()

    @property
    def input_ranges(self) -> dict[str, tuple[int, int]]:
        """Port -> lowest and highest value."""
        return {port.name: (port.low, port.high) for port in self.inputs}

    def diagnosed(self, found: Iterable[Issue]) -> Self:
        """A copy with more diagnostics."""
        return replace(self, diagnostics=(*self.diagnostics, *found))


def execution_order(layers: Sequence[AnyLayer]) -> tuple[tuple[tuple[AnyLayer, ...], bool], ...]:
    """Groups of layers, sources first; the layers of a loop are one group. Each with whether it is a loop."""
    by_name = {layer.name: layer for layer in layers}
    pairs = [(connection.source, layer.name) for layer in layers for connection in layer.connections]
    ordered = run_order(list(by_name), pairs)
    return tuple((tuple(by_name[name] for name in members), loop) for members, loop in ordered)


def field_values(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, for the type of the next stage."""
    return {f.name: getattr(value, f.name) for f in fields(value)}


def fresh_name(name: str, taken: set[str]) -> str:
    """The name, or a variant of it that is not taken; adds it to `taken`."""
    while name in taken:
        name += "'"
    taken.add(name)
    return name
