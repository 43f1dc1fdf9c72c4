"""MODEL on the command line: one of our checkpoints, or a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuroprivacy.core.errors import BadFile


def load_graph(model: Path) -> Any:
    """The NIR graph of MODEL.

    Raises:
        BadFile: it is neither a checkpoint folder nor a NIR file.
        ConfigurationError: it is an ANN.
    """
    from neuroprivacy.graph import load_nir

    if model.is_dir() or model.name == "model.json":
        from neuroprivacy.export.network import to_nir
        from neuroprivacy.networks import load_checkpoint

        return to_nir(load_checkpoint(model).spiking)
    if not model.exists():
        raise BadFile(model, "does not exist", hint="give a checkpoint folder or a .nir file")
    return load_nir(model)


def torch_run(model: Path, lowered: Any) -> Any:
    """What runs the float torch network of MODEL for `trace`; None where there is none (a NIR file)."""
    if not (model.is_dir() or model.name == "model.json"):
        return None

    def run(inputs: Any) -> Any:
        """Spikes by layer for the ports' integers."""
        from neuroprivacy.networks import load_checkpoint, recorded_spikes

        port = lowered.program.inputs[0]
        return recorded_spikes(
            load_checkpoint(model).spiking, inputs[port.name], scale=port.scale, split=lowered.real_network.signed_split
        )

    return run
