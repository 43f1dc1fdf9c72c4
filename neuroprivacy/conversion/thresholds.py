"""How thresholds are found, layer by layer, with the layers before already spiking.

    max         θ = largest activation of the ANN                                         Diehl et al. 2015
    percentile  θ = a percentile of its positive activations                              Rueckauer et al. 2017
    max-input   θ = largest weighted input of the spikes before, over time steps, too     Sengupta et al. 2019
    matched     θ = the fraction of the largest weighted input for which the ANN's remaining layers, on this layer's
                spike rates, have outputs closest to the ANN's (Kullback-Leibler divergence)      ours

`max-input` is the rule of PrivateSNN's code. `matched` judges a threshold by the network's output, not by the layer's:
synthetic images have far larger inputs than real ones, and hard-reset networks fail with thresholds from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import SpikingNeuron

Method = Literal["max", "percentile", "max-input", "matched"]
METHODS: tuple[str, ...] = get_args(Method)
#: Fractions of the largest weighted input that `matched` tries; chosen.
FRACTIONS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
_SAMPLED = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdMethod:
    """How `convert` finds thresholds.

    Attributes:
        name: see the module's table.
        percentile: for `percentile`, 0 ... 100.
        scale: multiplies what the first three methods find (Rathi et al. use 0.7 at few time steps).
    """

    name: Method = "matched"
    percentile: float = 99.7
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in METHODS:
            raise ConfigurationError(f"method: {self.name!r} is unknown; choose {', '.join(METHODS)}")
        if not 0 < self.percentile <= 100 or not self.scale > 0:
            raise ConfigurationError(
                f"method: percentile {self.percentile} is not in (0, 100], or scale {self.scale} is not positive"
            )


def largest(where: str, values: Tensor, *, percentile: float | None = None) -> float:
    """The largest of the values, or a percentile of the positive ones.

    Raises:
        ConfigurationError: none is positive.
    """
    if percentile is None:
        found = float(values.max())
    else:
        positive = values[values > 0].flatten()
        if len(positive) > _SAMPLED:
            positive = positive[:: len(positive) // _SAMPLED + 1]
        found = float(torch.quantile(positive, percentile / 100)) if len(positive) else 0.0
    if found <= 0:
        raise ConfigurationError(f"{where}: is never positive on the calibration samples; give others")
    return found


def spike_rate(neuron: SpikingNeuron, current: Tensor, time_steps: int, *, batch: int = 64) -> Tensor:
    """Spikes per time step, (samples, ...), computed a batch at a time; `current` is (T or 1, samples, ...)."""
    return torch.cat([
        neuron(part.expand(time_steps, *part.shape[1:])).mean(0) for part in torch.split(current, batch, dim=1)
    ])  # fmt: skip


def least_squares_gain(activation: Tensor, rate: Tensor) -> float:
    """The factor that brings rates nearest to activations; 0 if nothing fires."""
    power = float((rate * rate).sum())
    return float((activation * rate).sum()) / power if power else 0.0
