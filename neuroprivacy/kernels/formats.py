"""Fixed-point number formats with their overflow and rounding rules.

A format states its bits, its fractional bits and, with no default, overflow and rounding. All arithmetic is on int64
arrays; nothing is done in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Overflow = Literal["wrap", "saturate", "error"]
Rounding = Literal["nearest_even", "toward_zero", "floor"]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Number = TypeVar("Number", np.int64, np.float64)
#: Width of weights: 2 ... 8, or `ternary` (-1, 0, 1).
WeightBits = int | Literal["ternary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoint:
    """A two's-complement fixed-point format.

    Attributes:
        bits: width in bits, the sign included; 1 ... 62.
        frac: number of fractional bits; one least significant bit is 2**-frac.
        signed: two's complement if true.
        overflow: rule for a value outside the range.
        rounding: rule from a real number to an integer.
    """

    bits: int
    frac: int
    signed: bool
    overflow: Overflow
    rounding: Rounding

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 62:
            raise ValueError(f"FixedPoint: bits ({self.bits}) must be 1 to 62")

    @property
    def lowest(self) -> int:
        """The smallest integer of the format."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The largest integer of the format."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def lsb(self) -> float:
        """Real value of the least significant bit."""
        return float(2.0**-self.frac)


def saturate(value: NDArray[Number], *, lowest: int, highest: int) -> NDArray[Number]:
    """Clamp to [lowest, highest]; any shape."""
    return np.clip(value, lowest, highest)


def wrap(value: Int64, *, bits: int) -> Int64:
    """Two's complement wrap to a signed width: the representative of `value` modulo 2**bits in [-2**(bits-1), ...)."""
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half


def wrap_once(value: NDArray[Number], *, half: int) -> NDArray[Number]:
    """One conditional wrap, as Lava's 24-bit current does it: the result lies in (-half, half] if |value| <= 3*half.

    A value beyond three times `half` stays outside the range: Lava subtracts only once.

    Source: lava-nc 0.10.0, lava/proc/lif/models.py, `AbstractPyLifModelFixed.subthr_dynamics`.
    """
    return np.where(value > half, value - 2 * half, np.where(value <= -half, value + 2 * half, value))


def quantize(real: NDArray[np.float64], *, to: FixedPoint) -> Int64:
    """The integers of a format that are nearest to real numbers under its rounding and overflow rules.

    Args:
        real: numbers in real units, any shape.
        to: the format.

    Returns:
        int64, same shape, in lsb of the format.

    Raises:
        ValueError: a number is not finite, or overflows a format whose overflow rule is "error".
    """
    if not np.isfinite(real).all():
        raise ValueError("quantize: a value is not finite")
    scaled = np.asarray(real, np.float64) * 2.0**to.frac
    rounded = {"nearest_even": np.rint, "toward_zero": np.trunc, "floor": np.floor}[to.rounding](scaled)
    if to.overflow == "error" and ((rounded < to.lowest) | (rounded > to.highest)).any():
        raise ValueError(f"quantize: a value needs more than {to.bits} bits")
    if to.overflow == "wrap":
        modulus = 1 << to.bits
        unsigned = np.mod(rounded, float(modulus)).astype(np.int64)
        return np.where(unsigned > to.highest, unsigned - modulus, unsigned)
    return np.clip(rounded, to.lowest, to.highest).astype(np.int64)
