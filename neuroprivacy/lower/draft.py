"""The network between the graph and the Program: real weights, but time already in steps.

A draft layer is one population: maps that lead into it, a bias per step, and a neuron

    v = beta·v + Σ W·x + bias,   spike if v > threshold,   reset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.dynamics import Reset
from neuroprivacy.kernels.linear import Pair
from neuroprivacy.program import Port
from neuroprivacy.program.network import Readout

Float64 = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DraftEdge:
    """A map from a source.

    Attributes:
        source: port or layer.
        weight: (outputs, inputs) if `conv` is None, else (out channels, in channels / groups, rows, columns). Real
            units: what one unit of the source's integers adds to v in one step.
        conv: a convolution's options.
        delay: steps, the target's own cost included; -1 until `balance_delays` has run.
        recurrent: whether it closes a cycle.
    """

    source: str
    weight: Float64
    conv: ConvShape | None = None
    delay: int = -1
    recurrent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DraftLayer:
    """A population with what feeds it.

    Attributes:
        name: of the neuron node (or of the last linear node, for a membrane readout).
        shape: of its neurons.
        edges: into it.
        bias: added to v at each step, (neurons,).
        threshold: θ, (neurons,).
        beta: decay per step, (neurons,), 0 ... 1.
        reset: rule.
        fires: false for a membrane readout.
    """

    name: str
    shape: tuple[int, ...]
    edges: tuple[DraftEdge, ...]
    bias: Float64
    threshold: Float64
    beta: Float64
    reset: Reset
    fires: bool = True

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
    """

    inputs: tuple[Port, ...]
    layers: tuple[DraftLayer, ...]
    outputs: tuple[str, ...]
    readout: Readout
    depth: dict[str, int] | None = None
    signed_split: bool = False
