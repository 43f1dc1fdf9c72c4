"""Weights packed at their bit width, and constant arrays as C text.

A weight of b bits takes the bits i·b ... i·b + b - 1 of a row of bytes, lowest bit first, in two's complement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64

_PER_LINE = 24
#: Integer types of C -> bytes.
BYTES = {"uint8_t": 1, "int8_t": 1, "uint16_t": 2, "int16_t": 2, "int32_t": 4, "int64_t": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A constant array of the C file, placed in flash.

    Attributes:
        name: identifier.
        type: of one element, as C names it.
        values: its elements.
    """

    name: str
    type: str
    values: Int64

    @property
    def size_bytes(self) -> int:
        """Size in flash, bytes."""
        return self.values.size * BYTES[self.type]

    def text(self) -> str:
        """The C definition of the array."""
        parts = [_literal(int(value)) for value in self.values]
        lines = [", ".join(parts[i : i + _PER_LINE]) for i in range(0, len(parts), _PER_LINE)]
        body = ",\n    ".join(lines)
        return f"static const {self.type} {self.name}[{self.values.size}] = {{\n    {body}\n}};\n"


def _literal(value: int) -> str:
    """A number as C reads it; the smallest of 32 bits has no literal of its own."""
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def bits_of(values: Int64) -> int:
    """The least number of bits, 2 ... 32, for all values in two's complement."""
    top = max(int(values.max()), -int(values.min()) - 1, 1)
    return top.bit_length() + 1


def stored_bits(values: Int64) -> int:
    """The bit width of stored weights: 2 ... 8, 16 or 32."""
    needed = bits_of(values)
    return needed if needed <= 8 else 16 if needed <= 16 else 32


def packed(values: Int64, bits: int) -> NDArray[np.uint8]:
    """Values (count,) as bytes, with one byte of padding if a weight may straddle two bytes."""
    unsigned = (values & ((1 << bits) - 1)).astype(np.uint64)
    each = ((unsigned[:, None] >> np.arange(bits, dtype=np.uint64)) & np.uint64(1)).astype(np.uint8)
    found = np.packbits(each.reshape(-1), bitorder="little")
    return found if 8 % bits == 0 else np.append(found, np.uint8(0))


def unpacked(stored: NDArray[np.uint8], bits: int, count: int) -> Int64:
    """The inverse of `packed`."""
    each = np.unpackbits(stored, bitorder="little", count=count * bits).reshape(count, bits).astype(np.int64)
    unsigned = (each << np.arange(bits)).sum(1)
    return np.asarray(np.where(unsigned >= 1 << (bits - 1), unsigned - (1 << bits), unsigned), np.int64)


def weight_constant(name: str, values: Int64) -> tuple[Constant, str]:
    """Weights in the order of their events, and the C expression of one: `{at}` stands for its index."""
    bits = stored_bits(values)
    if bits >= 8:
        return Constant(name=name, type=f"int{bits}_t", values=values), f"{name}[{{at}}]"
    stored = packed(values, bits).astype(np.int64)
    return Constant(name=name, type="uint8_t", values=stored), f"weight_{bits}({name}, {{at}})"


def unpacker(bits: int) -> str:
    """The C function that reads one weight of so many bits."""
    mask, sign = (1 << bits) - 1, 1 << (bits - 1)
    if 8 % bits == 0:
        read = f"uint32_t field = ((uint32_t)packed[bit >> 3] >> (bit & 7u)) & {mask}u;"
    else:
        read = (
            f"uint32_t pair = (uint32_t)packed[bit >> 3] | ((uint32_t)packed[(bit >> 3) + 1u] << 8);\n"
            f"    uint32_t field = (pair >> (bit & 7u)) & {mask}u;"
        )
    return (
        f"static int32_t weight_{bits}(const uint8_t *packed, uint32_t at)\n{{\n"
        f"    uint32_t bit = at * {bits}u;\n    {read}\n"
        f"    return (int32_t)(field ^ {sign}u) - {sign};\n}}\n"
    )
