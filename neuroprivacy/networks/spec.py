"""What a spiking network is beside its layers: constants of its neurons, input coding, time steps, readout, width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks.quantized import check_weight_bits
from neuroprivacy.networks.surrogate import Surrogate
from neuroprivacy.program.encoder import Coding
from neuroprivacy.program.network import Readout
from neuroprivacy.targets.spec import load_target

Schedule = Literal["ideal", "chip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikingSpec:
    """Settings of a spiking network; plain values, stored in checkpoints.

    Attributes:
        beta: decay factor of the membranes in a time step, (0, 1]; 1 is integrate-and-fire.
        reset: "hard" or "soft".
        coding: input coding; None for a network that takes events.
        time_steps: T.
        readout: "membrane" (the last layer integrates and never fires) or "spike_count".
        surrogate: name of the surrogate gradient.
        surrogate_scale: multiplies it.
        schedule: "ideal", or "chip" for a network that is trained and deployed with the chip's uncorrected bias timing.
        weight_bits: width of quantized weights (2 ... 8, or "ternary"), for quantization-aware training; None for none.
        state_target: name of the target whose integer neurons are computed while training, on quantized weights; None
            for real ones.
        populations: most different scales of a layer's quantized weights, one for each population of output channels
            on the chip.
    """

    beta: float = 1.0
    reset: Reset = "hard"
    coding: Coding | None = "direct"
    time_steps: int = 16
    readout: Readout = "membrane"
    surrogate: str = "privatesnn"
    surrogate_scale: float = 1.0
    schedule: Schedule = "ideal"
    weight_bits: WeightBits | None = None
    state_target: str | None = None
    populations: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.beta <= 1:
            raise ConfigurationError(f"beta: {self.beta} is not in (0, 1]")
        if self.time_steps < 1:
            raise ConfigurationError(f"time steps: {self.time_steps} is below 1")
        check_weight_bits(self.weight_bits)
        if self.populations < 1 or (self.populations > 1 and self.weight_bits is None):
            raise ConfigurationError(f"populations: {self.populations} of weights that are not quantized")
        if self.state_target is not None:
            load_target(self.state_target)
            if self.weight_bits is None or self.schedule != "ideal":
                raise ConfigurationError("state target: integer neurons need quantized weights and the ideal schedule")
        if self.reset not in ("hard", "soft") or self.readout not in ("membrane", "spike_count"):
            raise ConfigurationError(f"reset {self.reset!r} or readout {self.readout!r} is unknown")
        Surrogate(name=self.surrogate, scale=self.surrogate_scale)

    def describe(self) -> dict[str, Any]:
        """Plain JSON values; `spec_from` is the inverse."""
        return asdict(self)


def spec_from(described: Mapping[str, Any]) -> SpikingSpec:
    """The spec that `SpikingSpec.describe` wrote down."""
    return SpikingSpec(**described)
