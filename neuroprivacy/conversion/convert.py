"""The conversion: the ANN's weights, neurons in place of its activations, thresholds found on calibration images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.conversion.ann import must_compute_the_same, trace_ann
from neuroprivacy.conversion.normalize import spiking_form
from neuroprivacy.conversion.thresholds import ThresholdMethod
from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks import LayerGraph, SpikingNetwork, SpikingSpec, spiking_input
from neuroprivacy.networks.layers import SignedInput
from neuroprivacy.program.encoder import Coding
from neuroprivacy.program.network import Readout


def convert(
    ann: nn.Module,
    *,
    calibration: NDArray[np.float32],
    method: ThresholdMethod | None = None,
    time_steps: int = 16,
    reset: Reset = "hard",
    coding: Coding = "direct",
    readout: Readout = "membrane",
    beta: float = 1.0,
    samples: int = 200,
    seed: int = 0,
) -> SpikingNetwork:
    """Turn a trained ANN into a spiking network.

    Args:
        ann: any module that torch.fx can trace, our families among them, which consists of Linear, Conv1d, Conv2d,
            BatchNorm, ReLU, Dropout, average pools, Flatten and sums. It is not changed.
        calibration: (samples, *shape) in [0, 1]: synthetic images, or real ones where that is allowed.
        method: how thresholds are found.
        time_steps: T.
        reset: "hard" or "soft".
        coding: of the input.
        readout: of the last layer.
        beta: membrane decay factor; 1 is integrate-and-fire, what conversion theory assumes.
        samples: how many of `calibration` are used.
        seed: of the input's random draws.

    Raises:
        ConfigurationError: calibration, coding or readout do not fit, or a layer gets no positive input.
        UnsupportedNode: the forward cannot be traced, or a layer has no spiking form.
    """
    images = torch.from_numpy(np.array(calibration[:samples], np.float32))
    if not len(images):
        raise ConfigurationError("calibration: holds no samples")
    if not 0 <= float(images.min()) <= float(images.max()) <= 1:
        raise ConfigurationError("calibration: holds values outside [0, 1]; put the scaling into the first layer")
    graph = trace_ann(ann, input_shape=tuple(images.shape[1:]))
    must_compute_the_same(graph, ann, images)
    _check_coding(graph, coding)
    spec = SpikingSpec(beta=beta, reset=reset, coding=coding, time_steps=time_steps, readout=readout)
    given = spiking_input(images, spec=spec, generator=torch.Generator().manual_seed(seed))
    return spiking_form(graph, spec, images, given, method=method or ThresholdMethod())


def _check_coding(graph: LayerGraph, coding: Coding) -> None:
    """The encoder sends 2x - 1 exactly where the network's first layer computes it."""
    signed = {name for name, module in graph.modules.items() if isinstance(module, SignedInput)}
    if any(signed & set(node.sources) == set() and "input" in node.sources and node.name not in signed
           for node in graph.nodes if signed):  # fmt: skip
        raise ConfigurationError("coding: the network reads its input both signed and as it is; use one of them")
    if (coding == "poisson-signed") != bool(signed):
        raise ConfigurationError(
            f"coding: {coding} does not fit an ANN that was trained with{'' if signed else 'out'} signed input; "
            "train with --signed-input and use poisson-signed, or neither"
        )
