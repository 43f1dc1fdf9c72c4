"""Noise on weights: how sensitive a network is by itself."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


def noisy(net: nn.Module, size: float) -> nn.Module:
    """A copy whose weights have Gaussian noise of `size` times their layer's root mean square added; seed 0."""
    changed = deepcopy(net)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in changed.parameters():
            if weight.ndim > 1:
                weight.add_(size * weight.square().mean().sqrt() * torch.randn(weight.shape, generator=generator))
    return changed
