"""An ANN's layer graph to a spiking network: thresholds along the graph, first layer first.

A neuron that fires at rate r stands for an activation a = λ r: λ is the activation of one spike. Weights stay the
ANN's; the current of a layer that reads spikes of λ is 1/λ of the ANN's, so its bias is divided by λ, and the
threshold of the neurons behind it is θ/λ (threshold balancing). Where values of different λ meet in a sum, and where
the result is read, λ is multiplied into the weights before it, or into a factor where there are none (an identity
shortcut): from there on values are the ANN's. Source: Rueckauer et al. 2017, data-based normalization; Sengupta et al.
2019.

With a soft reset λ is the threshold in units of the activation. A hard reset discards what exceeds the threshold:
there, and for `matched`, λ is the factor that brings the rates nearest to the activations (least squares).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from neuroprivacy.conversion.thresholds import FRACTIONS, ThresholdMethod, largest, least_squares_gain, spike_rate
from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import LayerGraph, Node, SpikingNetwork, SpikingNeuron, SpikingSpec, Surrogate
from neuroprivacy.networks.layers import WEIGHTED, Scale, SignedInput
from neuroprivacy.networks.quantized import weight_scale_of


@torch.no_grad()
def spiking_form(
    ann: LayerGraph, spec: SpikingSpec, images: Tensor, spikes: Tensor, *, method: ThresholdMethod
) -> SpikingNetwork:
    """Turn an ANN's layer graph into a spiking network.

    Args:
        ann: batch norm folded.
        spec: settings of the network.
        images: (samples, *input shape), input of the ANN.
        spikes: (T or 1, samples, *input shape), the same images as the spiking network's input.
        method: how thresholds are found.

    Raises:
        ConfigurationError: an activation is never positive, or coding or readout do not fit the network.
    """
    last = ann.last
    if last.kind == "relu" and spec.readout == "membrane":
        raise ConfigurationError(f"readout: the network ends in {last.name}, whose membrane resets; use spike_count")
    making = _Making(ann, spec, ann.run(images), spikes, method)
    for node in ann.nodes:
        making.add(node)
    end = making.finish(last)
    return SpikingNetwork(spec, making.nodes, making.layers, outputs=[end]).eval()


@dataclass(slots=True, eq=False)
class _Making:
    """A network that grows node by node, run on the calibration samples as it does.

    Attributes:
        per_spike: node -> λ, the factor from its values to the ANN's.
        now: node -> its value on the calibration samples, (T or 1, samples, *shape).
        renamed: nodes of the ANN that the spiking network leaves out -> what stands for them.
    """

    ann: LayerGraph
    spec: SpikingSpec
    activations: Mapping[str, Tensor]
    spikes: Tensor
    method: ThresholdMethod
    nodes: list[Node] = field(default_factory=list)
    layers: dict[str, nn.Module] = field(default_factory=dict)
    per_spike: dict[str, float] = field(default_factory=dict)
    now: dict[str, Tensor] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Add the spiking form of one node of the ANN."""
        if node.kind == "input":
            self._put(node, None, self.spikes, 1.0)
        elif node.kind == "add":
            self._sum(node)
        elif node.kind == "relu":
            self._neurons(node.name, self._of(node.sources[0]), node.shape, self.activations[node.name])
        elif isinstance(self.ann.modules[node.name], SignedInput):
            self.renamed[node.name] = self._of(node.sources[0])  # the encoder sends 2x - 1
        else:
            self._layer(node)

    def finish(self, last: Node) -> str:
        """The node that is read: values as the ANN's, or neurons that fire."""
        name = self._of(last.name)
        if self.spec.readout == "spike_count" and last.kind != "relu":
            out = self._free("outact")
            self._neurons(out, name, last.shape, self.activations[last.name], read=True)
            return out
        return self._as_the_ann(name, self._free("outscale")) if self.spec.readout == "membrane" else name

    def _of(self, name: str) -> str:
        return self.renamed.get(name, name)

    def _layer(self, node: Node) -> None:
        module = deepcopy(self.ann.modules[node.name])
        source = self._of(node.sources[0])
        per_spike = self.per_spike[source]
        if isinstance(module, WEIGHTED) and module.bias is not None:
            module.bias.div_(per_spike)
        given = self.now[source]
        value = module(given.flatten(0, 1)).unflatten(0, (len(given), -1))
        self._put(Node(name=node.name, kind="layer", sources=(source,), shape=node.shape), module, value, per_spike)

    def _sum(self, node: Node) -> None:
        sources = tuple(self._of(source) for source in node.sources)
        if len({self.per_spike[source] for source in sources}) > 1:
            sources = tuple(self._as_the_ann(s, self._free(f"{node.name}_{s}")) for s in sources)
        total = sum((self.now[source] for source in sources[1:]), start=self.now[sources[0]])
        made = Node(name=node.name, kind="add", sources=sources, shape=node.shape)
        self._put(made, None, total, self.per_spike[sources[0]])

    def _as_the_ann(self, source: str, name: str) -> str:
        """The node whose values are the ANN's: with λ in the weights before it, or a factor behind it."""
        factor = self.per_spike[source]
        if factor == 1:
            return source
        chain = self._up_to_weights(source)
        if chain:
            layer = self.layers[chain[-1]]
            assert isinstance(layer, WEIGHTED)
            layer.weight.mul_(factor)
            if layer.bias is not None:
                layer.bias.mul_(factor)
            if (weight_scale := weight_scale_of(layer)) is not None:
                weight_scale.mul_(factor)  # the integers stay as they are
            for each in chain:
                self.now[each], self.per_spike[each] = self.now[each] * factor, 1.0
            return source
        shape = next(node.shape for node in self.nodes if node.name == source)
        made = Node(name=name, kind="layer", sources=(source,), shape=shape)
        self._put(made, Scale(factor), self.now[source] * factor, 1.0)
        return name

    def _up_to_weights(self, name: str) -> list[str]:
        """A node and what leads to it, back to a layer with weights; empty if anything else reads one of them."""
        chain: list[str] = []
        by_name = {node.name: node for node in self.nodes}
        while True:
            readers = [s for node in self.ann.nodes for s in node.sources if self._of(s) == name]
            layer = self.layers.get(name)
            if len(readers) > 1 or by_name[name].kind != "layer":
                return []
            chain.append(name)
            if isinstance(layer, WEIGHTED):
                return chain
            (name,) = by_name[name].sources

    def _neurons(
        self, name: str, source: str, shape: tuple[int, ...], activation: Tensor, *, read: bool = False
    ) -> None:
        """Neurons in place of a ReLU, or behind what is read: their threshold, and the activation of their spikes."""
        surrogate = Surrogate(name=self.spec.surrogate, scale=self.spec.surrogate_scale)
        neuron = SpikingNeuron(beta=self.spec.beta, reset=self.spec.reset, surrogate=surrogate)
        scale, current = self.per_spike[source], self.now[source]
        if self.method.name == "matched" and not read:
            threshold, per_spike = self._matched(neuron, current, name, activation)
        else:
            if self.method.name == "max-input":
                threshold = self.method.scale * largest(name, current)
                most = threshold * scale
            else:
                percentile = self.method.percentile if self.method.name == "percentile" else None
                most = largest(name, activation, percentile=percentile)
                most *= 1.0 if self.method.name == "matched" else self.method.scale
                threshold = most / scale
            neuron.threshold.fill_(threshold)
            per_spike = most
            if self.spec.reset == "hard" or self.method.name == "matched":
                rate = spike_rate(neuron, current, self.spec.time_steps)
                per_spike = least_squares_gain(activation, rate) or most
        neuron.threshold.fill_(threshold)
        fired = neuron(current.expand(self.spec.time_steps, *current.shape[1:]) if len(current) == 1 else current)
        self._put(Node(name=name, kind="neuron", sources=(source,), shape=shape), neuron, fired, per_spike)

    def _matched(self, neuron: SpikingNeuron, current: Tensor, name: str, activation: Tensor) -> tuple[float, float]:
        """The threshold whose rates best keep the ANN's answer, and the activation of one spike."""
        most = largest(name, current)
        target = self.activations[self.ann.outputs[0]].log_softmax(1)
        best, least = (most, largest(name, activation)), math.inf
        for fraction in FRACTIONS:
            neuron.threshold.fill_(most * fraction)
            rate = spike_rate(neuron, current, self.spec.time_steps)
            gain = least_squares_gain(activation, rate)
            if gain <= 0:
                continue
            answer = self.ann.result(self.activations, instead={name: gain * rate}).log_softmax(1)
            error = float(nn.functional.kl_div(answer, target, log_target=True, reduction="batchmean"))
            if error < least:
                best, least = (most * fraction, gain), error
        return best

    def _put(self, node: Node, module: nn.Module | None, value: Tensor, per_spike: float) -> None:
        self.nodes.append(node)
        if module is not None:
            self.layers[node.name] = module
        self.per_spike[node.name], self.now[node.name] = per_spike, value

    def _free(self, wanted: str) -> str:
        """A name that no node has."""
        taken = {node.name for node in (*self.nodes, *self.ann.nodes)}
        return next(n for n in (wanted, *(f"{wanted}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)
