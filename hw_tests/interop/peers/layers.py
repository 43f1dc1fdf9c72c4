"""Seeded torch layers for the peers' networks."""

from __future__ import annotations

import torch
from harness import draw_weights
from torch import nn

torch.set_num_threads(1)


def dense(seed: int, n_in: int, n_out: int, gain: float = 1.0, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    """A linear layer with small biases."""
    layer = kind(n_in, n_out)
    layer.weight.data = torch.from_numpy(draw_weights(seed, n_out, n_in, gain=gain))
    layer.bias.data = torch.linspace(-0.05, 0.05, n_out)
    return layer


def conv(seed: int, n_in: int, n_out: int, gain: float = 0.5, kind: type[nn.Conv2d] = nn.Conv2d) -> nn.Conv2d:
    """A convolution 3 x 3 that keeps the image's size, with small biases."""
    layer = kind(n_in, n_out, 3, padding=1)
    layer.weight.data = torch.from_numpy(draw_weights(seed, n_out, n_in, 3, 3, gain=gain))
    layer.bias.data = torch.linspace(-0.05, 0.05, n_out)
    return layer


def run_steps(net: nn.Module, inputs: torch.Tensor, *, batched: bool) -> torch.Tensor:
    """Step by step through a module (x, state) -> (output, state), as nirtorch makes them; (T, *output shape)."""
    state, outputs = None, []
    with torch.no_grad():
        for x in inputs:
            result, state = net(x[None] if batched else x, state)
            # snnTorch's own IF gives (spikes, membrane).
            result = result[0] if isinstance(result, tuple) else result
            outputs.append(result[0] if batched else result)
    return torch.stack(outputs)
