"""How many neurons the spiking layers of a network have, by shapes alone: nothing is run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from neuroprivacy.networks.neuron import SpikingNeuron


def neurons_of(layers: Iterable[nn.Module], shape: tuple[int, ...]) -> list[int]:
    """Neurons of each spiking layer.

    Args:
        layers: one after another.
        shape: of one input.
    """
    sizes = []
    for module in layers:
        if isinstance(module, SpikingNeuron):
            sizes.append(math.prod(shape))
        elif isinstance(module, nn.Linear):
            shape = (module.out_features,)
        elif isinstance(module, nn.Conv2d | nn.AvgPool2d):
            channels = module.out_channels if isinstance(module, nn.Conv2d) else shape[0]
            shape = (channels, *_grid_behind(module, shape[1:]))
    return sizes


def _grid_behind(module: nn.Conv2d | nn.AvgPool2d, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Rows and columns behind a convolution or a pool."""

    def both(value: Any) -> tuple[int, int]:
        """Of one number for rows and columns, or of two."""
        return (value, value) if isinstance(value, int) else (value[0], value[1])

    dilation = both(getattr(module, "dilation", 1))
    kernel, stride, padding = both(module.kernel_size), both(module.stride), both(module.padding)
    return tuple(
        (size + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i, size in enumerate(grid)
    )
