"""Accuracy of a float network, in batches, without gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import SpikingNetwork
from neuroprivacy.program.encoder import Encoder, encode


@torch.no_grad()
def logits(net: nn.Module, images: NDArray[np.float32], *, batch_size: int = 250, seed: int = 0) -> NDArray[np.float32]:
    """Outputs of a network: (samples, outputs).

    A spiking network reads the integers that `encode` makes for its deployed form, scaled to real values.

    Args:
        net: ANN or SpikingNetwork.
        images: (samples, *shape) in [0, 1].
        batch_size: samples at once.
        seed: of the encoder.

    Raises:
        ConfigurationError: the network takes events, not images.
    """
    net.eval()
    like = next(net.parameters())
    found = []
    for first in range(0, len(images), batch_size):
        batch = images[first : first + batch_size]
        if isinstance(net, SpikingNetwork):
            spec = net.spec
            if spec.coding is None:
                raise ConfigurationError("coding: this network takes events; run it on spikes")
            steps = 1 if spec.coding == "direct" else spec.time_steps
            encoder = Encoder(coding=spec.coding, time_steps=steps, seed=seed)
            scale = encoder.port(batch.shape[1:]).scale
            values = encode(batch, encoder=encoder, first=first).swapaxes(0, 1).astype(np.float32) * np.float32(scale)
            result: Tensor = net(torch.from_numpy(values).to(like)).readout
        else:
            result = net(torch.from_numpy(batch.copy()).to(like))
        found.append(result.cpu().numpy())
    return np.concatenate(found)


def accuracy(
    net: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64], *, batch_size: int = 250, seed: int = 0
) -> float:
    """Fraction of samples whose largest output is the label, 0 ... 1."""
    return float((logits(net, images, batch_size=batch_size, seed=seed).argmax(1) == labels).mean())
