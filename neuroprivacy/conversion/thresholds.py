"""Thresholds, layer by layer, with the layers before already spiking.

`max` (PrivateSNN's code): the largest weighted input over units, samples and steps.
`percentile` (Rueckauer et al. 2017): a percentile of the positive weighted inputs.
`matched` (ours): the fraction of the largest input for which the ANN's remaining layers, fed with this layer's spike
rates, answer most like the ANN itself (Kullback-Leibler divergence).

`matched` asks what the threshold does to the answer, not to the layer. On synthetic images it is what makes hard-reset
networks work: their largest input is far above that of real images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import SpikingNet, SpikingNeuron

Method = Literal["max", "percentile", "matched"]
METHODS: tuple[str, ...] = get_args(Method)
_FRACTIONS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
_SAMPLED = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdMethod:
    """How thresholds are found.

    Attributes:
        name: see the module's table.
        percentile: for `percentile`, 0 ... 100.
        scale: multiplies what `max` and `percentile` find (Rathi et al. use 0.7 at few steps).
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


@torch.no_grad()
def find_thresholds(
    net: SpikingNet, ann: nn.Sequential, images: Tensor, spikes: Tensor, *, method: ThresholdMethod
) -> dict[str, float]:
    """Set every threshold of `net`, first layer first.

    Args:
        net: the spiking network; its thresholds are set.
        ann: the ANN with the same layers (batch norm folded).
        images: (samples, *shape), what the ANN sees.
        spikes: (T or 1, samples, *shape), the same as the spiking network sees them.
        method: how.

    Returns:
        Layer name -> threshold.
    """
    activations, target = _ann_activations(ann, images)
    found: dict[str, float] = {}
    x = spikes
    order = [name for name, _ in ann.named_children()]
    for name, module in net.layers.named_children():
        if not isinstance(module, SpikingNeuron):
            x = x if isinstance(module, nn.Dropout) else module(x.flatten(0, 1)).unflatten(0, (len(x), -1))
            continue
        if method.name == "matched" and name in activations:
            rest = nn.Sequential(*[m for _, m in list(ann.named_children())[order.index(name) + 1 :]])
            value = _matched(module, x, net.spec.steps, activations[name], rest, target)
        else:
            value = method.scale * _statistic(x, method)
        module.threshold.fill_(value)
        found[name] = value
        x = module(x.expand(net.spec.steps, *x.shape[1:]))
    return found


def _statistic(current: Tensor, method: ThresholdMethod) -> float:
    """Largest value or percentile of the positive currents."""
    if method.name != "percentile":
        value = float(current.max())
    else:
        positive = current[current > 0].flatten()
        if len(positive) > _SAMPLED:
            positive = positive[:: len(positive) // _SAMPLED + 1]
        value = float(torch.quantile(positive, method.percentile / 100)) if len(positive) else 0.0
    if value <= 0:
        raise ConfigurationError("convert: a layer gets no positive input from the calibration images; give others")
    return value


def _matched(
    neuron: SpikingNeuron, current: Tensor, steps: int, activation: Tensor, rest: nn.Sequential, target: Tensor
) -> float:
    """The fraction of the largest input whose rates, scaled to the activations, best keep the ANN's answer."""
    largest = _statistic(current, ThresholdMethod(name="max"))
    best, best_error = largest, float("inf")
    for fraction in _FRACTIONS:
        neuron.threshold.fill_(largest * fraction)
        rate = _rate(neuron, current, steps)
        power = float((rate * rate).sum())
        if power == 0:
            continue
        gain = float((activation * rate).sum()) / power
        answer = rest(gain * rate).log_softmax(1)
        error = float(nn.functional.kl_div(answer, target, log_target=True, reduction="batchmean"))
        if error < best_error:
            best, best_error = largest * fraction, error
    return best


def _rate(neuron: SpikingNeuron, current: Tensor, steps: int, *, chunk: int = 64) -> Tensor:
    """Spikes per step, (samples, ...), computed a few samples at a time."""
    parts = []
    for part in torch.split(current, chunk, dim=1):
        parts.append(neuron(part.expand(steps, *part.shape[1:])).mean(0))
    return torch.cat(parts)


def _ann_activations(ann: nn.Sequential, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Activation of each ReLU by name, and the log-probabilities."""
    ann.eval()
    kept: dict[str, Tensor] = {}
    x = images
    for name, module in ann.named_children():
        x = module(x)
        if isinstance(module, nn.ReLU):
            kept[name] = x
    return kept, x.log_softmax(1)
