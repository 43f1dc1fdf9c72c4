"""Calibration samples of lowering, read from disk: synthetic images, or a recording of spikes."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.data import load_spikes
from neuroprivacy.graph.encode import encode_for
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.synthesis.class_impressions import load_synthetic

#: Synthetic images that are used; more change the integers little and take time. Chosen.
IMAGES = 200


def load_calibration(graph: nir.NIRGraph, source: Path, *, seed: int = 0) -> dict[str, Int64]:
    """Read calibration input for `LowerOptions.calibration`: port name -> int64 (samples, steps, values).

    Args:
        graph: to be lowered; images are encoded as it states.
        source: a folder of synthetic images, or an npz with `spikes`.
        seed: of the encoder.

    Raises:
        BadFile: `source` is neither.
        ConfigurationError: the graph states no coding of images, or has more than one input.
    """
    if source.is_dir():
        return encode_for(graph, load_synthetic(source).images[:IMAGES], seed=seed)
    ports = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(ports) != 1:
        raise ConfigurationError(f"calibration: this graph has {len(ports)} inputs, an npz of spikes serves one")
    spikes, _ = load_spikes(source)
    return {ports[0]: spikes.reshape(*spikes.shape[:2], -1).astype(np.int64)}
