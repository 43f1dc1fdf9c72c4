"""Samples as the coding that a graph states makes them: what lowering calibrates on."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.graph.metadata import read_info
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program.encoder import Encoder, encode


def encode_for(graph: Any, samples: NDArray[np.float32], *, seed: int = 0) -> dict[str, Int64]:
    """Samples in [0, 1] as a graph's own coding makes them, before any target splits them into channels.

    Returns:
        Port name -> (samples, steps, values): what `LowerOptions.calibration` takes.

    Raises:
        ConfigurationError: the graph states no coding (it takes events), or has more than one input.
    """
    info = read_info(graph)
    ports = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if info.coding is None or len(ports) != 1:
        raise ConfigurationError("calibration: this graph states no coding of images; give an npz of spikes")
    spikes = encode(samples, encoder=Encoder(coding=info.coding, time_steps=info.time_steps or 1, seed=seed))
    return {ports[0]: spikes.reshape(*spikes.shape[:2], -1).astype(np.int64)}
