"""Noise on weights: how sensitive a network is by itself."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


def noisy(net: nn.Module, size: float, *, layers: int | None = None) -> nn.Module:
    """A copy whose weights have Gaussian noise of `size` times their layer's root mean square added; seed 0.

    Args:
        net: not changed.
        size: a share.
        layers: only of the first so many; None for all.
    """
    changed = deepcopy(net)
    generator = torch.Generator().manual_seed(0)
    weights = [parameter for parameter in changed.parameters() if parameter.ndim > 1]
    with torch.no_grad():
        for weight in weights[:layers]:
            weight.add_(size * weight.square().mean().sqrt() * torch.randn(weight.shape, generator=generator))
    return changed
