"""Spikes of a spiking network for the integers that its deployed form reads."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from neuroprivacy.networks.spiking import SpikingNetwork


@torch.no_grad()
def recorded_spikes(
    net: SpikingNetwork, values: NDArray[np.int64], *, scale: float, split: bool = False
) -> dict[str, NDArray[np.uint8]]:
    """Run the network and record the spikes of every layer.

    Args:
        net: the network; it is run on its device, in eval mode.
        values: (samples, steps, values) in the integers of the input port.
        scale: real value of one of them.
        split: whether the port has an on and an off channel, which the network reads as one signed value.

    Returns:
        Layer name -> (samples, steps, neurons).
    """
    real = values.astype(np.float32) * np.float32(scale)
    if split:
        on, off = np.split(real, 2, axis=2)
        real = on - off
    net.eval()
    x = torch.from_numpy(real).to(next(net.parameters())).swapaxes(0, 1)
    x = x.reshape(*x.shape[:2], *net.input_shape)
    spikes = net(x, record=True, schedule="ideal").spikes
    return {name: s.swapaxes(0, 1).flatten(2).cpu().numpy().astype(np.uint8) for name, s in spikes.items()}
