"""Layers of torch as NIR nodes, each with full-shape parameters, so that other frameworks can read the file.

IF:   dv/dt = R I            with R = 1/dt        is v += I in one Euler step
LIF:  tau dv/dt = -v + R I   with tau = dt/(1 - beta), R = tau/dt   is v = beta v + I
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.export.neurons import neuron_node
from neuroprivacy.graph.metadata import WEIGHT_SCALE
from neuroprivacy.kernels.linear import as_pair
from neuroprivacy.networks import SpikingNeuron
from neuroprivacy.networks.layers import Delay, Scale, SumPool2d, check_options
from neuroprivacy.networks.quantized import QuantizedScale, computed_weight, weight_scale_of


def array(tensor: torch.Tensor) -> NDArray[np.float32]:
    """The values of a tensor, in single precision."""
    return tensor.detach().cpu().numpy().astype(np.float32)


def weight_of(module: nn.Linear | nn.Conv1d | nn.Conv2d) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The weights that a layer computes with, and the scale of its integer weights, if it has one, as metadata."""
    scale = weight_scale_of(module)
    return array(computed_weight(module)), {} if scale is None else {WEIGHT_SCALE: array(scale).reshape(-1)}


def node_of(name: str, module: nn.Module, shape: tuple[int, ...], dt_s: float) -> nir.NIRNode:
    """Make the NIR node of one layer.

    Args:
        name: of the layer, for refusals.
        module: the layer.
        shape: of its input, without the batch.
        dt_s: duration of one time step, seconds.

    Raises:
        UnsupportedNode: the layer has no NIR form.
    """
    check_options(name, module)
    if isinstance(module, SpikingNeuron):
        return _neuron(name, module, shape, dt_s)
    if isinstance(module, nn.Linear):
        weight, metadata = weight_of(module)
        if module.bias is None:
            return nir.Linear(weight=weight, metadata=metadata)
        return nir.Affine(weight=weight, bias=array(module.bias), metadata=metadata)
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return _convolution(module, shape)
    if isinstance(module, Scale | QuantizedScale):
        scale = weight_scale_of(module)
        factor = np.broadcast_to(array(scale_factor(module)), shape).astype(np.float32)
        return nir.Scale(scale=factor, metadata={} if scale is None else {WEIGHT_SCALE: array(scale).reshape(-1)})
    if isinstance(module, Delay):
        delay = np.broadcast_to(module.time_steps.numpy() * dt_s, shape).astype(np.float64)
        return nir.Delay(delay=delay)
    if isinstance(module, nn.AvgPool2d | SumPool2d):
        kernel, stride, padding = (np.array(as_pair(v)) for v in (module.kernel_size, module.stride, module.padding))
        kind = nir.AvgPool2d if isinstance(module, nn.AvgPool2d) else nir.SumPool2d
        return kind(kernel_size=kernel, stride=stride, padding=padding)
    if isinstance(module, nn.Flatten):
        return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
    raise UnsupportedNode(f"{name}: {type(module).__name__} has no NIR form here; replace it by a supported layer")


def _convolution(module: nn.Conv1d | nn.Conv2d, shape: tuple[int, ...]) -> nir.NIRNode:
    weight, metadata = weight_of(module)
    bias = array(module.bias if module.bias is not None else torch.zeros(module.out_channels))
    if isinstance(module, nn.Conv2d):
        return nir.Conv2d(
            input_shape=(int(shape[1]), int(shape[2])), weight=weight, stride=tuple(module.stride),
            padding=module.padding if isinstance(module.padding, str) else tuple(module.padding),
            dilation=tuple(module.dilation), groups=module.groups, bias=bias, metadata=metadata,
        )  # fmt: skip
    return nir.Conv1d(
        input_shape=int(shape[1]), weight=weight, stride=int(module.stride[0]),
        padding=module.padding if isinstance(module.padding, str) else int(module.padding[0]),
        dilation=int(module.dilation[0]), groups=module.groups, bias=bias, metadata=metadata,
    )  # fmt: skip


def scale_factor(module: Scale | QuantizedScale) -> torch.Tensor:
    """The factor that a scale computes with."""
    if isinstance(module, Scale):
        return module.factor
    value: torch.Tensor = module.quant_weight().value
    return value.detach().reshape(module.factor.shape)


def _neuron(name: str, module: SpikingNeuron, shape: tuple[int, ...], dt_s: float) -> nir.NIRNode:
    if module.is_plain:
        full = np.ones(shape, np.float32)
        threshold = full * float(module.threshold)
        if module.beta == 1:
            return nir.IF(r=full / dt_s, v_threshold=threshold, v_reset=full * 0)
        tau = dt_s / (1 - float(module.beta))
        return nir.LIF(tau=full * tau, r=full * (tau / dt_s), v_leak=full * 0, v_threshold=threshold, v_reset=full * 0)
    return neuron_node(name, module, shape, dt_s)
