"""The choices of lowering, and the context that every pass reads them from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.graph import GraphInfo, read_info
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.lowering.discretize import RULES, Rule
from neuroprivacy.lowering.quantization.round_weights import ROUNDINGS, Rounding, weight_grid
from neuroprivacy.targets.spec import TargetSpec

#: Input time steps that ranges are proved for where neither options nor graph state a number.
DEFAULT_TIME_STEPS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerOptions:
    """Options of lowering.

    Attributes:
        dt_s: time step, seconds; None takes the graph's own, or the one that its time constants imply.
        rule: how time constants become decay factors: `euler` or `exponential`.
        weight_bits: 2 up to the target's width, or `ternary`; None for the target's width.
        rounding: `nearest`, or `compensated`: error feedback (GPTQ).
        per_channel: a weight scale for each output channel, where the target has a threshold per neuron.
        populations: most populations of one layer where the target has one threshold for each: output channels with a
            finer weight scale, or with another decay, become a population of their own. 1 splits none.
        calibration: samples as they are sent, port name -> int64 (samples, time steps, values). Weight scale, rounding
            and bias of each layer then minimise the error of its sums on the output of the quantized layers before
            it. None for no samples.
        constants: decays that differ by neuron where the target has one per layer are refused (`exact`) or averaged
            (`mean`).
        input_max: largest event count of an input that has no encoder.
        time_steps: input time steps that ranges are proved for; None takes the graph's own.
        seed: of the encoder that is stored with the Program.
        strict: whether a diagnostic is a refusal.
    """

    dt_s: float | None = None
    rule: Rule = "euler"
    weight_bits: WeightBits | None = None
    rounding: Rounding = "compensated"
    per_channel: bool = True
    populations: int = 4
    calibration: Mapping[str, NDArray[np.int64]] | None = None
    constants: Literal["exact", "mean"] = "exact"
    input_max: int = 1
    time_steps: int | None = None
    seed: int = 0
    strict: bool = False

    def __post_init__(self) -> None:
        if self.dt_s is not None and not 0 < self.dt_s < math.inf:
            raise ConfigurationError(f"dt: {self.dt_s} s is not a positive time step")
        if self.time_steps is not None and self.time_steps < 1:
            raise ConfigurationError(f"time steps: {self.time_steps} is below 1")
        for name, value in (("input max", self.input_max), ("populations", self.populations)):
            if value < 1:
                raise ConfigurationError(f"{name}: {value} is below 1")
        for name, legal in (("rule", RULES), ("rounding", ROUNDINGS), ("constants", ("exact", "mean"))):
            if getattr(self, name) not in legal:
                raise ConfigurationError(f"{name}: {getattr(self, name)!r} is none of {', '.join(legal)}")
        if self.weight_bits is not None:
            weight_grid(self.weight_bits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrontEndContext:
    """The options and the graph's metadata: the context of passes that depend on no target.

    Attributes:
        options: as given.
        info: metadata of the graph.
    """

    options: LowerOptions
    info: GraphInfo

    @classmethod
    def of(cls, graph: nir.NIRGraph, options: LowerOptions) -> FrontEndContext:
        """The lowering context of a graph."""
        return FrontEndContext(options=options, info=read_info(graph))

    @property
    def time_steps(self) -> int:
        """Input time steps that ranges are proved for."""
        return self.options.time_steps or self.info.time_steps or DEFAULT_TIME_STEPS

    @property
    def ideal_schedule(self) -> bool:
        """Whether biases act as without latency; false if the network was trained with the bias timing of the chip."""
        return self.info.schedule != "chip"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoweringContext(FrontEndContext):
    """The context of a graph on a target.

    Attributes:
        target: the chip.
        weight_bits: width of the integer weights.
        provenance: stored with the Program.
    """

    target: TargetSpec
    weight_bits: WeightBits
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def on(
        cls, target: TargetSpec, graph: nir.NIRGraph, options: LowerOptions, provenance: Mapping[str, Any] | None = None
    ) -> LoweringContext:
        """The context of a graph on a target.

        Raises:
            ConfigurationError: the target has no weights of that width.
        """
        front = FrontEndContext.of(graph, options)
        bits = options.weight_bits if options.weight_bits is not None else target.weight_bits
        if bits != "ternary" and not 2 <= bits <= target.weight_bits:
            raise ConfigurationError(
                f"weight bits: {bits} is not in 2 ... {target.weight_bits} of {target.name}, nor ternary"
            )
        return LoweringContext(
            options=options, info=front.info, target=target, weight_bits=bits, provenance=dict(provenance or {})
        )
