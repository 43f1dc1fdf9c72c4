"""The last stages: the layers of the Program, and the Program itself, each beside the real network it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from neuroprivacy.core.errors import Issue
from neuroprivacy.lowering.ir.quantized import QuantizedNetwork
from neuroprivacy.lowering.ir.real import field_values
from neuroprivacy.program import Layer, Program


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerNetwork:
    """A network whose layers hold integers only.

    Attributes:
        network: the quantized IR, layer by layer.
        layers: integers alone.
        diagnostics: of the passes so far.
    """

    network: QuantizedNetwork
    layers: tuple[Layer, ...]
    diagnostics: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundedNetwork(IntegerNetwork):
    """The layers of a Program whose readout is proved.

    Attributes:
        max_steps: input time steps for which the readout stays below the threshold; None for any number.
    """

    max_steps: int | None

    @classmethod
    def of(cls, network: IntegerNetwork, *, max_steps: int | None) -> Self:
        """Join the integer layers with the proof of their ranges."""
        return cls(**{**field_values(network), "max_steps": max_steps})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lowered:
    """A Program and the diagnostics of its lowering; the result of `lower`.

    Attributes:
        program: the integers.
        diagnostics: of all passes; none is fatal.
        real_network: the network that the integers stand for, with its real weights and its schedule; `trace`
            compares both.
    """

    program: Program
    diagnostics: tuple[Issue, ...]
    real_network: QuantizedNetwork

    def diagnosed(self, found: Iterable[Issue]) -> Self:
        """A copy with more diagnostics."""
        return replace(self, diagnostics=(*self.diagnostics, *found))
