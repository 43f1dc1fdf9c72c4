"""The quantized IR: integer weights and their scale beside the real weights that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.lowering.ir.real import field_values
from neuroprivacy.lowering.ir.scheduled import ScheduledConnection, ScheduledLayer, ScheduledNetwork


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedConnection(ScheduledConnection):
    """A connection with integer weights.

    Attributes:
        q_weight: of the shape of `map.weight`.

    Raises:
        ValueError: the shapes differ.
    """

    q_weight: Int64

    def __post_init__(self) -> None:
        if self.q_weight.shape != self.map.weight.shape:
            raise ValueError(f"{self.source}: q_weight {self.q_weight.shape} is not {self.map.weight.shape}")

    @classmethod
    def quantized(cls, connection: ScheduledConnection, *, q_weight: Int64) -> Self:
        """The connection with integer weights."""
        return cls(**{**field_values(connection), "q_weight": q_weight})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedLayer(ScheduledLayer):
    """A population with integer weights.

    Attributes:
        connections: into it.
        weight_scale: value of an integer weight of 1 in the layer's own units, (1,) or (output channels,).
    """

    connections: tuple[QuantizedConnection, ...]
    weight_scale: Float64

    @classmethod
    def quantized(
        cls, layer: ScheduledLayer, *, connections: tuple[QuantizedConnection, ...], weight_scale: Float64
    ) -> Self:
        """The layer with integer weights."""
        return cls(**{**field_values(layer), "connections": connections, "weight_scale": weight_scale})

    @property
    def neuron_scale(self) -> Float64:
        """The weight scale of each neuron, (1,) or (neurons,)."""
        scale = self.weight_scale
        return np.repeat(scale, self.size // scale.size) if scale.size > 1 else scale


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedNetwork(ScheduledNetwork):
    """A network with integer weights.

    Attributes:
        layers: as before.
        channel_groups: layer to split -> group of each of its output channels, numbered from 0.
        populations: layer of the graph -> its populations, each by name with its neurons, for split layers.
    """

    layers: tuple[QuantizedLayer, ...]
    channel_groups: Mapping[str, Int64] = field(default_factory=dict)
    populations: Mapping[str, Mapping[str, Int64]] = field(default_factory=dict)

    @classmethod
    def quantized(
        cls, network: ScheduledNetwork, *, layers: tuple[QuantizedLayer, ...], channel_groups: Mapping[str, Int64]
    ) -> Self:
        """The network with integer weights."""
        return cls(**{**field_values(network), "layers": layers, "channel_groups": channel_groups})

    def layer(self, name: str) -> QuantizedLayer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)
