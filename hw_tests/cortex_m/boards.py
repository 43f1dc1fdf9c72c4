"""The boards that QEMU has, one for each processor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A board of QEMU.

    Attributes:
        machine: its name there.
        cpu: what the compiler calls its processor.
        flash: (address, bytes), likewise `ram`.
    """

    machine: str
    cpu: str
    flash: tuple[int, int]
    ram: tuple[int, int]


_MIB = 2**20
_MPS2 = {"flash": (0, 4 * _MIB), "ram": (0x2000_0000, 4 * _MIB)}
#: Source of the addresses: QEMU 7.2, hw/arm/nrf51_soc.c, mps2.c, mps2-tz.c (the secure aliases of the last two).
BOARDS = {
    "cortex-m0": Board(machine="microbit", cpu="cortex-m0", flash=(0, 256 * 1024), ram=(0x2000_0000, 16 * 1024)),
    "cortex-m3": Board(machine="mps2-an385", cpu="cortex-m3", **_MPS2),
    "cortex-m4": Board(machine="mps2-an386", cpu="cortex-m4", **_MPS2),
    "cortex-m7": Board(machine="mps2-an500", cpu="cortex-m7", **_MPS2),
    "cortex-m33": Board(
        machine="mps2-an505", cpu="cortex-m33", flash=(0x1000_0000, 4 * _MIB), ram=(0x3800_0000, 2 * _MIB)
    ),
    "cortex-m55": Board(
        machine="mps3-an547", cpu="cortex-m55", flash=(0x1000_0000, 512 * 1024), ram=(0x3000_0000, 512 * 1024)
    ),
}
