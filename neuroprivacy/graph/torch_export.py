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
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.graph.metadata import DEFAULT_DT_S, WEIGHT_SCALE, GraphInfo
from neuroprivacy.nets import SpikingGraph, SpikingNet, SpikingNeuron
from neuroprivacy.nets.quantized import computed_weight, weight_unit


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
        from neuroprivacy.graph.torch_snntorch import snntorch_to_nir

        if input_shape is None:
            raise ConfigurationError("input shape: this network does not say it; give input_shape, without the batch")
        return snntorch_to_nir(net, input_shape=tuple(input_shape), dt_s=dt_s)
    spec = net.spec
    if input_shape is not None and tuple(input_shape) != tuple(spec.model.input_shape):
        raise ConfigurationError(f"input shape: the network's is {tuple(spec.model.input_shape)}; leave it out")
    if isinstance(net, SpikingGraph):
        from neuroprivacy.graph.torch_spiking_graph import spiking_graph_to_nir

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
            nodes[name] = _node(name, module, before, dt_s)
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


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().numpy().astype(np.float32)


def _weight(module: nn.Linear | nn.Conv1d | nn.Conv2d) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The weights that a layer computes with, and the unit on which they lie if they are quantized, as metadata."""
    unit = weight_unit(module)
    return _array(computed_weight(module)), {} if unit is None else {WEIGHT_SCALE: _array(unit).reshape(-1)}


def _node(name: str, module: nn.Module, shape: tuple[int, ...], dt_s: float) -> nir.NIRNode:
    """One layer as a node; `shape` is the shape of its input."""
    if isinstance(module, SpikingNeuron):
        return _neuron(module, shape, dt_s)
    if isinstance(module, nn.Linear):
        weight, unit = _weight(module)
        if module.bias is None:
            return nir.Linear(weight=weight, metadata=unit)
        return nir.Affine(weight=weight, bias=_array(module.bias), metadata=unit)
    if isinstance(module, nn.Conv2d):
        bias = module.bias if module.bias is not None else torch.zeros(module.out_channels)
        weight, unit = _weight(module)
        return nir.Conv2d(
            metadata=unit,
            input_shape=(int(shape[1]), int(shape[2])),
            weight=weight,
            stride=tuple(module.stride),
            padding=module.padding if isinstance(module.padding, str) else tuple(module.padding),
            dilation=tuple(module.dilation),
            groups=module.groups,
            bias=_array(bias),
        )
    if isinstance(module, nn.AvgPool2d):
        kernel, stride, padding = (np.array(_pair(v)) for v in (module.kernel_size, module.stride, module.padding))
        return nir.AvgPool2d(kernel_size=kernel, stride=stride, padding=padding)
    if isinstance(module, nn.Flatten):
        return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
    raise UnsupportedNode(f"{name}: {type(module).__name__} has no NIR form here; replace it by a supported layer")


def _neuron(module: SpikingNeuron, shape: tuple[int, ...], dt_s: float) -> nir.NIRNode:
    full = np.ones(shape, np.float32)
    threshold = full * float(module.threshold)
    if module.beta == 1:
        return nir.IF(r=full / dt_s, v_threshold=threshold, v_reset=full * 0)
    tau = dt_s / (1 - module.beta)
    return nir.LIF(tau=full * tau, r=full * (tau / dt_s), v_leak=full * 0, v_threshold=threshold, v_reset=full * 0)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
