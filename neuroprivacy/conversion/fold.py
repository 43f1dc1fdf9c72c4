"""Batch norm folded into the convolution before it: inference computes the same function, with a bias."""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.networks import ModelSpec


def fold_batch_norm(ann: nn.Sequential, spec: ModelSpec) -> tuple[nn.Sequential, ModelSpec]:
    """A copy without batch norm, and its spec; the given pair if there is none.

    w' = w γ/√(σ²+ε),  b' = β + (b - μ) γ/√(σ²+ε)

    Raises:
        UnsupportedNode: a batch norm does not follow a convolution.
    """
    if not spec.batch_norm:
        return ann, spec
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in deepcopy(ann).named_children():
        if not isinstance(module, nn.BatchNorm2d):
            layers[name] = module
            continue
        before = next(reversed(layers.values()), None)
        if not isinstance(before, nn.Conv2d) or module.running_var is None or module.running_mean is None:
            raise UnsupportedNode(f"{name}: batch norm does not follow a convolution; it cannot be folded")
        with torch.no_grad():
            gain = module.weight / torch.sqrt(module.running_var + module.eps)
            before.weight.mul_(gain.view(-1, 1, 1, 1))
            bias = before.bias if before.bias is not None else torch.zeros_like(gain)
            before.bias = nn.Parameter(module.bias + (bias - module.running_mean) * gain)
    for module in layers.values():
        if isinstance(module, nn.Linear) and module.bias is None:
            module.bias = nn.Parameter(torch.zeros(module.out_features))
    return nn.Sequential(layers), replace(spec, batch_norm=False, bias=True)
