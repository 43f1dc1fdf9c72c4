"""SpikingNet to NIR. Every node has full-shape parameters, so that other frameworks can read the file.

    IF:   dv/dt = R I            with R = 1/dt        gives v += I in one Euler step
    LIF:  τ dv/dt = -v + R I     with τ = dt/(1 - β), R = τ/dt   gives v = β v + I

Average pooling is written as NIR's AvgPool2d. A membrane readout ends in the last linear layer; a reader sees the
currents whose sum over time is the readout.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.export.nodes import node_of
from neuroprivacy.graph.metadata import DEFAULT_DT_S, GraphInfo
from neuroprivacy.networks import SpikingGraph, SpikingNet, SpikingNeuron


def to_nir(net: nn.Module, *, input_shape: Sequence[int] | None = None, dt_s: float = DEFAULT_DT_S) -> nir.NIRGraph:
    """A spiking network as a NIR graph.

    Args:
        net: a SpikingNet, a SpikingGraph, or a network of snnTorch neurons: a Sequential, or a module whose forward is
            one time step.
        input_shape: of one time step's input, without the batch; our own networks know theirs.
        dt_s: what one time step lasts, seconds.

    Returns:
        Nodes named as the network's layers, from `input` to `output`.

    Raises:
        UnsupportedNode: a layer, or the rule of a neuron, has no NIR form.
        ConfigurationError: the input's shape is not given, or is not the network's.
    """
    if not isinstance(net, SpikingNet | SpikingGraph):
        from neuroprivacy.export.snntorch_network import snntorch_to_nir

        if input_shape is None:
            raise ConfigurationError("input shape: this network does not say it; give input_shape, without the batch")
        return snntorch_to_nir(net, input_shape=tuple(input_shape), dt_s=dt_s)
    spec = net.spec
    if input_shape is not None and tuple(input_shape) != tuple(spec.model.input_shape):
        raise ConfigurationError(f"input shape: the network's is {tuple(spec.model.input_shape)}; leave it out")
    if isinstance(net, SpikingGraph):
        from neuroprivacy.export.spiking_graph import spiking_graph_to_nir

        return spiking_graph_to_nir(net, dt_s=dt_s)
    shape = spec.model.input_shape
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(shape)})}
    chain = ["input"]
    x = torch.zeros(1, *shape)
    with torch.no_grad():
        for name, module in net.layers.named_children():
            before = tuple(x.shape[1:])
            if isinstance(module, nn.Dropout):
                continue
            if not isinstance(module, SpikingNeuron):
                x = module(x)
            nodes[name] = node_of(name, module, before, dt_s)
            chain.append(name)
    nodes["output"] = nir.Output({"output": np.array(x.shape[1:])})
    chain.append("output")
    info = GraphInfo(dt_s=dt_s, reset=spec.reset, readout=spec.readout, coding=spec.coding, steps=spec.steps,
        readout_beta=spec.beta, schedule=spec.schedule,
    )  # fmt: skip
    # nir takes one side of a kernel for both; shapes are inferred by our own reader.
    return nir.NIRGraph(
        nodes=nodes, edges=list(itertools.pairwise(chain)), metadata=info.to_metadata(), type_check=False
    )
