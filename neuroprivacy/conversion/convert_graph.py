"""A user's ANN to a spiking network: data-based normalisation along its graph, first step first.

A neuron that fires at rate r stands for an activation a = λ r: λ is what one spike is worth. So the weights that read
it are multiplied by λ, its own threshold is what its activation may be at most, and biases stay as they are. Where
spikes reach a sum without weights between (an identity shortcut) a factor λ is put in. Source: Rueckauer et al. 2017,
data-based normalization, with the division by the next layer's λ written as that layer's threshold.

    max         θ = largest activation of the ANN                  λ = θ for a soft reset
    percentile  θ = a percentile of its positive activations       λ = θ for a soft reset
    matched     θ = what keeps the ANN's answer best (`thresholds`)

A hard reset throws away what exceeds the threshold: there, and for `matched`, λ is the factor that brings the rates
nearest to the activations (least squares).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from neuroprivacy.conversion.ann_graph import AnnGraph
from neuroprivacy.conversion.thresholds import _FRACTIONS, ThresholdMethod, _rate, _statistic
from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import SpikingGraph, SpikingNeuron, SpikingSpec, Step
from neuroprivacy.networks.quantized import weight_unit
from neuroprivacy.networks.spiking_graph import Scale


def convert_graph(
    ann: AnnGraph, spec: SpikingSpec, images: Tensor, spikes: Tensor, *, method: ThresholdMethod
) -> SpikingGraph:
    """Turn the steps of an ANN into a spiking network.

    Args:
        ann: batch norm folded.
        spec: what the network shall be.
        images: (samples, *input shape), what the ANN sees.
        spikes: (T or 1, samples, *input shape), the same as the spiking network sees them.
        method: how thresholds are found.

    Raises:
        ConfigurationError: an activation is never positive, or the readout does not fit the last step.
    """
    last = ann.steps[-1]
    if last.kind == "relu" and spec.readout == "membrane":
        raise ConfigurationError(f"readout: the network ends in {last.name}, whose membrane resets; use spike_count")
    making = _Making(ann, spec, ann.run(images), spikes, method)
    for step in ann.steps:
        making.add(step)
    making.finish(last)
    return SpikingGraph(spec, making.steps, making.layers).eval()


@dataclass(slots=True, eq=False)
class _Making:
    """A network that grows step by step, run on the calibration samples as it does.

    Attributes:
        worth: step -> by what its values are multiplied to be the ANN's.
        now: step -> what it gives on the calibration samples, (T or 1, samples, *shape).
    """

    ann: AnnGraph
    spec: SpikingSpec
    activations: Mapping[str, Tensor]
    spikes: Tensor
    method: ThresholdMethod
    steps: list[Step] = field(default_factory=list)
    layers: dict[str, nn.Module] = field(default_factory=dict)
    worth: dict[str, float] = field(default_factory=dict)
    now: dict[str, Tensor] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        """One step of the ANN."""
        if step.kind == "input":
            self._put(step, None, self.spikes, 1.0)
        elif step.kind == "add":
            self._sum(step)
        elif step.kind == "relu":
            self._neurons(step, self.activations[step.name])
        else:
            self._layer(step)

    def finish(self, last: Step) -> None:
        """The readout: values as the ANN's, or neurons that fire."""
        if self.spec.readout == "spike_count" and last.kind != "relu":
            out = Step(name=self._free("outact"), kind="neuron", sources=(last.name,), shape=last.shape)
            self._neurons(out, self.activations[last.name])
        elif self.spec.readout == "membrane":
            self._scaled(last.name, self._free("outscale"))

    def _layer(self, step: Step) -> None:
        module = deepcopy(self.ann.modules[step.name])
        (source,) = step.sources
        worth = self.worth[source]
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            with torch.no_grad():
                module.weight.mul_(worth)
                if (unit := weight_unit(module)) is not None:
                    unit.mul_(worth)  # the integers stay as they are
            worth = 1.0
        given = self.now[source]
        with torch.no_grad():
            value = module(given.flatten(0, 1)).unflatten(0, (len(given), -1))
        self._put(step, module, value, worth)

    def _sum(self, step: Step) -> None:
        worths = {self.worth[source] for source in step.sources}
        sources = step.sources
        if len(worths) > 1:
            sources = tuple(self._scaled(s, self._free(f"{step.name}_{s}")) for s in sources)
        total = self.now[sources[0]] + self.now[sources[1]]
        self._put(Step(name=step.name, kind="add", sources=sources, shape=step.shape), None, total,
                  self.worth[sources[0]])  # fmt: skip

    def _scaled(self, source: str, name: str) -> str:
        """The step that gives what `source` does in the ANN's units: itself, or a factor behind it."""
        worth = self.worth[source]
        if worth == 1:
            return source
        shape = next(step.shape for step in self.steps if step.name == source)
        value = self.now[source] * worth
        self._put(Step(name=name, kind="layer", sources=(source,), shape=shape), Scale(worth), value, 1.0)
        return name

    def _neurons(self, step: Step, activation: Tensor) -> None:
        """Neurons in place of a ReLU, their threshold and what their spikes are worth."""
        (source,) = step.sources
        unit, current = self.worth[source], self.now[source]
        neuron = SpikingNeuron(beta=self.spec.beta, reset=self.spec.reset)
        if self.method.name == "matched" and step.kind == "relu":
            threshold, worth = self._matched(neuron, current, step.name, activation)
        else:
            most = _most(step.name, activation, self.method)
            threshold, worth = most / unit, most
            neuron.threshold.fill_(threshold)
            if self.spec.reset == "hard" or self.method.name == "matched":
                worth = _gain(activation, _rate(neuron, current, self.spec.steps)) or most
        neuron.threshold.fill_(threshold)
        fired = neuron(current.expand(self.spec.steps, *current.shape[1:]) if len(current) == 1 else current)
        self._put(Step(name=step.name, kind="neuron", sources=step.sources, shape=step.shape), neuron, fired, worth)

    def _matched(self, neuron: SpikingNeuron, current: Tensor, name: str, activation: Tensor) -> tuple[float, float]:
        """The threshold whose rates best keep the ANN's answer, and what its spikes are worth."""
        largest = _most(name, current, ThresholdMethod(name="max"))
        target = self.activations[self.ann.steps[-1].name].log_softmax(1)
        best, least = (largest, largest * self.worth[self._source(name)]), math.inf
        for fraction in _FRACTIONS:
            neuron.threshold.fill_(largest * fraction)
            rate = _rate(neuron, current, self.spec.steps)
            gain = _gain(activation, rate)
            if gain <= 0:
                continue
            answer = self.ann.result(self.activations, instead={name: gain * rate}).log_softmax(1)
            error = float(nn.functional.kl_div(answer, target, log_target=True, reduction="batchmean"))
            if error < least:
                best, least = (largest * fraction, gain), error
        return best

    def _source(self, name: str) -> str:
        return next(step.sources[0] for step in self.ann.steps if step.name == name)

    def _put(self, step: Step, module: nn.Module | None, value: Tensor, worth: float) -> None:
        self.steps.append(step)
        if module is not None:
            self.layers[step.name] = module
        self.worth[step.name], self.now[step.name] = worth, value

    def _free(self, wanted: str) -> str:
        """A name that no step has."""
        taken = {step.name for step in (*self.steps, *self.ann.steps)}
        return next(n for n in (wanted, *(f"{wanted}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _most(name: str, values: Tensor, method: ThresholdMethod) -> float:
    """What a threshold is made of: the largest of the values or their percentile, times the method's scale."""
    try:
        statistic = _statistic(values, method)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: is never positive on the calibration samples; give others") from error
    return method.scale * statistic if method.name != "matched" else statistic


def _gain(activation: Tensor, rate: Tensor) -> float:
    """The factor that brings rates nearest to activations; 0 if nothing fires."""
    power = float((rate * rate).sum())
    return float((activation * rate).sum()) / power if power else 0.0
