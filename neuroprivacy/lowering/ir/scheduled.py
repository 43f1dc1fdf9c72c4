"""The real-valued IR with a schedule: every layer has a latency, every connection its delay on the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from neuroprivacy.lowering.ir.real import RealConnection, RealLayer, RealNetwork, field_values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScheduledConnection(RealConnection):
    """A connection with its delay in time steps.

    Attributes:
        delay: time steps on the target, the target's own cost and the model delay included.
    """

    delay: int

    @classmethod
    def of(cls, connection: RealConnection, *, delay: int) -> Self:
        """The connection with a delay."""
        return cls(**{**field_values(connection), "delay": delay})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScheduledLayer(RealLayer):
    """A population whose connections have delays."""

    connections: tuple[ScheduledConnection, ...]

    @classmethod
    def of(cls, layer: RealLayer, *, connections: tuple[ScheduledConnection, ...]) -> Self:
        """The layer with scheduled connections."""
        return cls(**{**field_values(layer), "connections": connections})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScheduledNetwork(RealNetwork):
    """A network whose delays are known.

    Attributes:
        layers: as before.
        latencies: port or layer -> time steps from the input.
    """

    layers: tuple[ScheduledLayer, ...]
    latencies: Mapping[str, int]

    @classmethod
    def of(cls, network: RealNetwork, *, layers: tuple[ScheduledLayer, ...], latencies: Mapping[str, int]) -> Self:
        """The network with a schedule."""
        return cls(**{**field_values(network), "layers": layers, "latencies": latencies})

    @property
    def output_latencies(self) -> tuple[int, ...]:
        """Latency of each output."""
        return tuple(self.latencies[name] for name in self.outputs)
