"""Sources of edges: ring buffers of the past time steps of ports and layers.

A layer that is read with a delay of at most d keeps d + 1 steps. Spikes are bits, eight to a byte; ports with other
values keep them as the smallest type that holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

from neuroprivacy.program import Layer, Port, Program
from neuroprivacy_c99.packing import BYTES

#: Most time steps of a ring buffer, whose position is one byte.
LONGEST_RING = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A port or layer that other layers read spikes from.

    Attributes:
        id: identifier.
        size: values of one step.
        steps: how many steps are kept.
        type: of one element of a step; uint8_t of eight spikes if `bits`.
        bits: whether a step is bits.
        offset: of a port, where its values begin in the input.
    """

    id: str
    size: int
    steps: int
    type: str
    bits: bool
    offset: int | None

    @property
    def width(self) -> int:
        """Number of array elements that hold one time step."""
        return (self.size + 7) // 8 if self.bits else self.size

    @property
    def ram_bytes(self) -> int:
        """Bytes of the ring buffer and of its position."""
        return self.steps * self.width * BYTES[self.type] + (1 if self.steps > 1 else 0)

    def at(self, delay: int) -> str:
        """The C expression of the time step `delay` ago."""
        if self.steps == 1:
            return f"ring_{self.id}[0]"
        if delay == 0:
            return f"ring_{self.id}[now_{self.id}]"
        return f"ring_{self.id}[(now_{self.id} + {self.steps - delay}u) % {self.steps}u]"


def smallest_type(low: int, high: int) -> str:
    """The smallest integer type of C that holds low ... high."""
    for name, least, most in (
        ("uint8_t", 0, 255), ("int8_t", -128, 127), ("uint16_t", 0, 65535), ("int16_t", -32768, 32767),
    ):  # fmt: skip
        if least <= low and high <= most:
            return name
    return "int32_t"


def input_type(program: Program) -> str:
    """The type of one input value of any port."""
    return smallest_type(min(port.low for port in program.inputs), max(port.high for port in program.inputs))


def sources_of(program: Program, names: dict[str, str]) -> dict[str, Source]:
    """Port or layer name -> its ring buffer."""
    nodes: tuple[Port | Layer, ...] = (*program.inputs, *program.layers)
    longest = {node.name: 0 for node in nodes}
    for layer in program.layers:
        for edge in layer.edges:
            longest[edge.source] = max(longest[edge.source], edge.delay)
    found, offset = {}, 0
    for node in nodes:
        binary = isinstance(node, Layer) or (node.low >= 0 and node.high <= 1)
        found[node.name] = Source(
            id=names[node.name], size=node.size, steps=longest[node.name] + 1, bits=binary,
            type="uint8_t" if isinstance(node, Layer) or binary else smallest_type(node.low, node.high),
            offset=offset if isinstance(node, Port) else None,
        )  # fmt: skip
        offset += node.size if isinstance(node, Port) else 0
    return found
