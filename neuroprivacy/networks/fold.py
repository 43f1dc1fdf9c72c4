"""Batch norm folded into the layer before it: in use it computes the same function, with a bias.

w' = w γ/√(σ²+ε),  b' = β + (b - μ) γ/√(σ²+ε)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.networks.quantized import computed_weight, state_unit, weight_unit

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@torch.no_grad()
def plain_copy(layer: Weighted) -> Weighted:
    """A layer as torch.nn has it, with the weights that it computes with, and the unit of their grid if it has one."""
    bias = layer.bias is not None
    copy: Weighted
    if isinstance(layer, nn.Linear):
        copy = nn.Linear(layer.in_features, layer.out_features, bias=bias)
    else:
        kind: Any = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Conv1d
        copy = kind(
            layer.in_channels, layer.out_channels, layer.kernel_size, stride=layer.stride, padding=layer.padding,
            dilation=layer.dilation, groups=layer.groups, bias=bias,
        )  # fmt: skip
    copy.to(device=layer.weight.device, dtype=layer.weight.dtype)
    copy.weight.copy_(computed_weight(layer))
    if (unit := weight_unit(layer)) is not None:
        state_unit(copy, unit)
    if copy.bias is not None and layer.bias is not None:
        copy.bias.copy_(layer.bias)
    return copy.eval()


@torch.no_grad()
def folded(where: str, before: object, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Weighted:
    """A copy of a layer that computes what the batch norm behind it made of its values.

    Args:
        where: name of the batch norm, for refusals.
        before: what gives the batch norm its values, and nothing else.
        norm: taken with its running statistics.

    Raises:
        UnsupportedNode: there is no layer with real weights before it, or it keeps no statistics.
    """
    if not isinstance(before, WEIGHTED):
        raise UnsupportedNode(
            f"{where}: batch norm does not follow a convolution or linear layer of its own; it cannot be folded"
        )
    if weight_unit(before) is not None:
        raise UnsupportedNode(
            f"{where}: batch norm would take the quantized weights before it off their grid; fold it first, then "
            "quantize and train on"
        )
    if norm.running_mean is None or norm.running_var is None:
        raise UnsupportedNode(f"{where}: keeps no running statistics; train with track_running_stats=True")
    gain = 1 / torch.sqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        gain = gain * norm.weight
    copy = plain_copy(before)
    copy.weight.mul_(gain.view(-1, *[1] * (copy.weight.ndim - 1)))
    bias = copy.bias if copy.bias is not None else torch.zeros_like(gain)
    shift = norm.bias if norm.bias is not None else torch.zeros_like(gain)
    copy.bias = nn.Parameter(shift + (bias - norm.running_mean) * gain)
    return copy
