"""A model on disk, one of our checkpoints or a NIR file, as a NIR graph; and the torch network of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import load_nir
from neuroprivacy.lowering import Lowered
from neuroprivacy.networks import load_checkpoint, recorded_spikes


def is_checkpoint(model: Path) -> bool:
    """Whether a path is a checkpoint folder, or the `model.json` in it."""
    return model.is_dir() or model.name == "model.json"


def model_graph(model: Path) -> nir.NIRGraph:
    """The NIR graph of a checkpoint or NIR file.

    Raises:
        BadFile: it is neither.
        ConfigurationError: it is an ANN.
    """
    if is_checkpoint(model):
        return to_nir(load_checkpoint(model).spiking)
    if not model.exists():
        raise BadFile(model, "does not exist", hint="give a checkpoint folder or a .nir file")
    return load_nir(model)


def torch_run(
    model: Path, lowered: Lowered
) -> Callable[[Mapping[str, NDArray[np.int64]]], dict[str, NDArray[np.uint8]]] | None:
    """The run of a checkpoint's torch network for `trace`: integers by port -> spikes by layer; None for a NIR file."""
    if not is_checkpoint(model):
        return None

    def run(inputs: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.uint8]]:
        """Run the float network and record its spikes: layer -> (samples, time steps, neurons)."""
        port = lowered.program.inputs[0]
        return recorded_spikes(
            load_checkpoint(model).spiking, inputs[port.name], scale=port.scale, split=lowered.real_network.signed_split
        )

    return run
