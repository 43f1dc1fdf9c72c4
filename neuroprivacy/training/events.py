"""Training and measuring on recorded spikes: event data, and images that are read as spikes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.core.progress import Progress, silent
from neuroprivacy.networks import SpikingNetwork
from neuroprivacy.networks.quantize import clamp_biases
from neuroprivacy.training.fit import FitSettings, fit


def train_on_events(
    net: SpikingNetwork,
    spikes: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    settings: FitSettings,
    state_folder: Path | None = None,
    resume: bool = False,
    identity: str = "",
    progress: Progress = silent,
) -> list[float]:
    """Train a network in place by backpropagation through time; cross-entropy of its readout divided by T.

    Args:
        net: the network, with one input.
        spikes: (samples, T, *input shape).
        labels: (samples,).
        settings: epochs, learning rate and so on.
        state_folder: see `fit`; likewise `resume`, `identity` and `progress`.

    Returns:
        Mean loss of each epoch.
    """
    return fit(
        net, torch.from_numpy(spikes), torch.from_numpy(labels.copy()),
        loss=lambda x, y: nn.functional.cross_entropy(net(x.swapaxes(0, 1)).readout / x.shape[1], y),
        settings=settings, project=lambda: clamp_biases(net), state_folder=state_folder, resume=resume,
        identity=identity, progress=progress,
    )  # fmt: skip


@torch.no_grad()
def event_logits(net: SpikingNetwork, spikes: NDArray[np.float32], *, batch_size: int = 500) -> NDArray[np.float32]:
    """Outputs of a network for spikes (samples, T, *input shape): (samples, outputs)."""
    net.eval()
    parts = torch.split(torch.from_numpy(spikes), batch_size)
    like = next(net.parameters())
    return np.concatenate([net(part.to(like).swapaxes(0, 1)).readout.cpu().numpy() for part in parts])
