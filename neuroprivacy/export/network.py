"""Torch networks to NIR: our spiking networks, and modules of snnTorch neurons.

A membrane readout ends in the last linear layer; a reader sees the currents whose sum over time is the readout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nir
from torch import nn

from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.export.nodes import node_of
from neuroprivacy.export.writer import GraphWriter
from neuroprivacy.graph.metadata import DEFAULT_DT_S, GraphInfo
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks import Node, SpikingNetwork
from neuroprivacy.networks.layer_graph import Shape
from neuroprivacy.networks.layers import Delay, Scale
from neuroprivacy.networks.quantized import QuantizedScale


def to_nir(net: nn.Module, *, input_shape: Sequence[int] | None = None, dt_s: float = DEFAULT_DT_S) -> nir.NIRGraph:
    """A spiking network as a NIR graph.

    Args:
        net: a SpikingNetwork, or a network of snnTorch neurons: a Sequential, or a module whose forward is one time
            step.
        input_shape: of one time step's input, without the batch; our own networks state theirs.
        dt_s: duration of one time step, seconds.

    Returns:
        Nodes named as the network's layers, from `input` to `output`; dropout is left out.

    Raises:
        UnsupportedNode: a layer, or the rule of a neuron, has no NIR form.
        ConfigurationError: the input's shape is not given, or is not the network's.
    """
    if not isinstance(net, SpikingNetwork):
        from neuroprivacy.export.snntorch_network import snntorch_to_nir

        if input_shape is None:
            raise ConfigurationError("input shape: this network does not state it; give input_shape, without the batch")
        return snntorch_to_nir(net, input_shape=tuple(input_shape), dt_s=dt_s)
    if input_shape is not None and tuple(input_shape) != tuple(net.input_shape):
        raise ConfigurationError(f"input shape: the network's is {tuple(net.input_shape)}; leave it out")
    nodes, outputs = _without_reshaping(net)
    writer = GraphWriter(nodes)
    shapes = {node.name: node.shape for node in net.nodes}
    read_shapes = {node.name: shapes[node.sources[0]] for node in net.nodes if node.sources}

    def make(node: Node, shape: Shape) -> nir.NIRNode:
        """Make the NIR node of one layer."""
        module = net.layers[node.name]
        # NIR has no Unflatten: the node behind one states the shape in which it reads the values.
        as_written = isinstance(module, nn.Flatten | Scale | QuantizedScale | Delay)
        return node_of(node.name, module, shape if as_written else read_shapes[node.name], dt_s)

    def nothing(_: Node) -> Mapping[str, Any]:
        """Recurrent connections are nodes of the network itself."""
        return {}

    writer.write(make, nothing)
    for name in outputs:
        writer.end(name, "output" if len(outputs) == 1 else f"output_{name}")
    spec = net.spec
    return writer.graph(GraphInfo(
        dt_s=dt_s, reset=_reset(net), readout=spec.readout, coding=spec.coding, time_steps=spec.time_steps,
        readout_beta=spec.beta, schedule=spec.schedule,
    ))  # fmt: skip


def _reset(net: SpikingNetwork) -> Reset:
    """The reset rule that all neurons share; that of the settings if there are no neurons.

    Raises:
        UnsupportedNode: two populations differ in it.
    """
    first: dict[Reset, str] = {}
    for name, neuron in net.neurons().items():
        first.setdefault(neuron.reset, name)
    if len(first) > 1:
        raise UnsupportedNode(
            f"{first['soft']}: has a soft reset and {first['hard']} a hard one; give all neurons one rule"
        )
    return next(iter(first), net.spec.reset)


def _without_reshaping(net: SpikingNetwork) -> tuple[list[Node], list[str]]:
    """The nodes and outputs of a network; dropout, and values read in another shape, are passed over."""
    left_out = nn.Dropout | nn.Unflatten
    passed = {node.name: node.sources[0] for node in net.nodes if isinstance(net.module_of(node.name), left_out)}

    def source(name: str) -> str:
        """The node that is read once layers without an effect at inference are passed over."""
        return source(passed[name]) if name in passed else name

    nodes = [
        Node(name=node.name, kind=node.kind, sources=tuple(source(s) for s in node.sources), shape=node.shape)
        for node in net.nodes
        if node.name not in passed
    ]
    return nodes, [source(name) for name in net.outputs]
