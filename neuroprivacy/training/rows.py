"""Train the recurrent network that reads rows, or take it up where it is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.core.storage import read_json, write_bytes, write_json
from neuroprivacy.networks.row_net import RowNet
from neuroprivacy.training.fit import FitSettings, fit


def train_rows(
    net: RowNet,
    spikes: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    settings: FitSettings,
    folder: Path,
    key: str,
) -> RowNet:
    """Train in place on spikes (samples, T, inputs), unless the folder holds the result of the same `key`."""
    path, made = folder / "weights.safetensors", folder / "made.json"
    if made.exists() and read_json(made).get("key") == key:
        net.load_state_dict(safetensors.torch.load(path.read_bytes()))
        return net.eval()
    fit(
        net, torch.from_numpy(spikes), torch.from_numpy(labels.copy()),
        loss=lambda x, y: nn.functional.cross_entropy(net(x) / x.shape[1], y), settings=settings, state_folder=folder,
        resume=True, identity=key,
    )  # fmt: skip
    write_bytes(path, safetensors.torch.save(net.state_dict()))
    write_json(made, {"key": key})
    return net.eval()
