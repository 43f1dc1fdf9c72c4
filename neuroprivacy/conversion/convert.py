"""The conversion: copy weights, put neurons in place of activations, find thresholds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.conversion.fold import fold_batch_norm
from neuroprivacy.conversion.thresholds import ThresholdMethod, find_thresholds
from neuroprivacy.encoding import Coding
from neuroprivacy.errors import ConfigurationError
from neuroprivacy.kernels.dynamics import Reset
from neuroprivacy.nets import ModelSpec, SpikingNet, SpikingSpec
from neuroprivacy.nets.spiking import spiking_input
from neuroprivacy.program.network import Readout


def convert(
    ann: nn.Sequential,
    *,
    spec: ModelSpec,
    calibration: NDArray[np.float32],
    method: ThresholdMethod | None = None,
    steps: int = 16,
    reset: Reset = "hard",
    coding: Coding = "poisson",
    readout: Readout = "membrane",
    beta: float = 1.0,
    samples: int = 200,
    seed: int = 0,
) -> SpikingNet:
    """Turn a trained ANN into a spiking network.

    Args:
        ann: of one of our families.
        spec: its layers.
        calibration: (samples, *shape) in [0, 1]: synthetic images, or real ones where that is allowed.
        method: how thresholds are found.
        steps: time steps T.
        reset: "hard" or "soft".
        coding: of the input.
        readout: of the last layer.
        beta: membrane decay; 1 is integrate-and-fire, what conversion theory assumes.
        samples: how many of `calibration` are used.
        seed: of the input's random draws.

    Raises:
        ConfigurationError: shapes do not fit, or a layer gets no input.
        UnsupportedNode: a layer has no spiking form.
    """
    if calibration.shape[1:] != spec.input_shape:
        raise ConfigurationError(f"calibration: shape {calibration.shape[1:]} is not the network's {spec.input_shape}")
    folded, plain = fold_batch_norm(ann, spec)
    net = SpikingNet(SpikingSpec(model=plain, beta=beta, reset=reset, coding=coding, steps=steps, readout=readout))
    weights = folded.state_dict()
    net.layers.load_state_dict({**net.layers.state_dict(), **weights})
    images = torch.from_numpy(np.array(calibration[:samples], np.float32))
    generator = torch.Generator().manual_seed(seed)
    find_thresholds(
        net.eval(),
        folded.eval(),
        images,
        spiking_input(images, spec=net.spec, generator=generator),
        method=method or ThresholdMethod(),
    )
    return net
