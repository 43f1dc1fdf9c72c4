"""The conversion: copy weights, put neurons in place of activations, find thresholds.

An ANN of our families becomes a `SpikingNet`; any other that torch.fx can trace becomes a `SpikingGraph`.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroprivacy.conversion.ann_graph import must_compute_the_same, trace_ann
from neuroprivacy.conversion.convert_graph import convert_graph
from neuroprivacy.conversion.fold import fold_batch_norm
from neuroprivacy.conversion.thresholds import ThresholdMethod, find_thresholds
from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks import ModelSpec, SpikingGraph, SpikingNet, SpikingSpec
from neuroprivacy.networks.spiking import spiking_input
from neuroprivacy.networks.spiking_graph import USER_FAMILY
from neuroprivacy.program.encoder import Coding
from neuroprivacy.program.network import Readout


@overload
def convert(
    ann: nn.Module,
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
) -> SpikingNet: ...


@overload
def convert(
    ann: nn.Module,
    *,
    spec: None = None,
    calibration: NDArray[np.float32],
    method: ThresholdMethod | None = None,
    steps: int = 16,
    reset: Reset = "hard",
    coding: Coding = "poisson",
    readout: Readout = "membrane",
    beta: float = 1.0,
    samples: int = 200,
    seed: int = 0,
) -> SpikingGraph: ...


def convert(
    ann: nn.Module,
    *,
    spec: ModelSpec | None = None,
    calibration: NDArray[np.float32],
    method: ThresholdMethod | None = None,
    steps: int = 16,
    reset: Reset = "hard",
    coding: Coding = "poisson",
    readout: Readout = "membrane",
    beta: float = 1.0,
    samples: int = 200,
    seed: int = 0,
) -> SpikingNet | SpikingGraph:
    """Turn a trained ANN into a spiking network.

    Args:
        ann: of one of our families, with its `spec`; or any module that torch.fx can trace, which consists of Linear,
            Conv1d, Conv2d, BatchNorm, ReLU, Dropout, average pools, Flatten and sums. It is not changed.
        spec: the layers of an ANN of our families; None for a user's own.
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
    images = torch.from_numpy(np.array(calibration[:samples], np.float32))
    generator = torch.Generator().manual_seed(seed)
    method = method or ThresholdMethod()
    if spec is None:
        if not len(images):
            raise ConfigurationError("calibration: holds no samples")
        if not 0 <= float(images.min()) <= float(images.max()) <= 1:
            raise ConfigurationError("calibration: holds values outside [0, 1]; put the scaling into the first layer")
        graph = trace_ann(ann, input_shape=tuple(images.shape[1:]))
        must_compute_the_same(graph, ann, images)
        own = ModelSpec(
            family=USER_FAMILY, input_shape=tuple(images.shape[1:]), classes=graph.steps[-1].shape[0], hidden=()
        )
        made = SpikingSpec(model=own, beta=beta, reset=reset, coding=coding, steps=steps, readout=readout)
        given = spiking_input(images, spec=made, generator=generator)
        return convert_graph(graph, made, images, given, method=method)
    if not isinstance(ann, nn.Sequential):
        raise ConfigurationError("ann: is none of our families; leave spec out")
    if calibration.shape[1:] != spec.input_shape:
        raise ConfigurationError(f"calibration: shape {calibration.shape[1:]} is not the network's {spec.input_shape}")
    folded, plain = fold_batch_norm(ann, spec)
    net = SpikingNet(SpikingSpec(model=plain, beta=beta, reset=reset, coding=coding, steps=steps, readout=readout))
    weights = folded.state_dict()
    net.layers.load_state_dict({**net.layers.state_dict(), **weights})
    find_thresholds(
        net.eval(),
        folded.eval(),
        images,
        spiking_input(images, spec=net.spec, generator=generator),
        method=method,
    )
    return net
