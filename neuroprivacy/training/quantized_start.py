"""The start of quantization-aware training: the integers that lowering finds with calibration samples.

At few bits, rounding each layer by itself loses most of the accuracy, which training has to recover. Calibrated
rounding with error feedback (`lower`) loses little.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph.encode import encode_for
from neuroprivacy.kernels.formats import WeightBits
from neuroprivacy.lowering import LowerOptions, quantized_network
from neuroprivacy.lowering.ir import QuantizedLayer
from neuroprivacy.networks import SpikingNetwork, quantize_weights
from neuroprivacy.networks.layers import WEIGHTED, Weighted
from neuroprivacy.networks.quantized import set_weight_scale
from neuroprivacy.targets.spec import load_target


def quantized_start(
    net: SpikingNetwork, *, bits: WeightBits, target: str, populations: int, images: NDArray[np.float32]
) -> SpikingNetwork:
    """The network with the integer weights of calibrated lowering, for quantization-aware training.

    Without biases it leaves out the corrections that lowering puts into them. Layers that share a population (a sum of
    two convolutions) keep the common scale that is fitted to their weights.

    Args:
        net: a float network.
        bits: 2 ... 8 or "ternary".
        target: the chip whose integer neurons are computed.
        populations: most that each layer may become.
        images: calibration images, (samples, *shape) in [0, 1].

    Raises:
        ConfigurationError: the target sends the network's signed input as two channels.
        DoesNotFit, UnsupportedNode: the network cannot be lowered, see `lower`.
    """
    graph = to_nir(net)
    # Torch layers have a scale for each output channel at most, so a scale for every neuron is not used.
    options = LowerOptions(
        weight_bits=bits, populations=populations, per_channel=False, calibration=encode_for(graph, images)
    )
    lowered = quantized_network(graph, target=load_target(target), options=options)
    start = quantize_weights(net, bits, state_target=target, populations=populations)
    members = {population.name: population.members for population in start.plan.populations}
    with torch.no_grad():
        for layer in lowered.layers:
            modules = [m for name in members[layer.name] if hasattr(m := start.module_of(name), "quant_weight")]
            if len(layer.connections) == 1 and len(modules) == 1 and isinstance(modules[0], WEIGHTED):
                _take_over(layer, modules[0])
    return start


def _take_over(layer: QuantizedLayer, module: Weighted) -> None:
    """Copy integers, weight scales and biases of a quantized layer into a torch layer."""
    (connection,) = layer.connections
    on_chip = connection.map.weight
    real = module.weight.double().numpy()
    if on_chip.size != real.size:
        raise ConfigurationError(
            f"{layer.name}: its weights are {real.size} in training and {on_chip.size} on the chip "
            "(signed input is sent as two channels); start without calibration (--calibration-samples 0)"
        )
    given = on_chip.reshape(real.shape)
    # Lowering folds the factor of a pool and the scale of the input into the weights; training does not.
    factor = float((given * real).sum() / (real * real).sum())
    if not np.allclose(given, real * factor, rtol=1e-4, atol=1e-6 * np.abs(given).max()):
        raise ConfigurationError(
            f"{layer.name}: its neurons are scaled each by itself on the chip; start without calibration "
            "(--calibration-samples 0)"
        )
    # Slightly above the smallest scale that the target's widths allow, so that single precision does not fall below it.
    scale = np.broadcast_to(layer.weight_scale / factor * (1 + 1e-6), (len(real),))
    module.weight.copy_(
        _like(connection.q_weight.reshape(real.shape) * scale.reshape(-1, *[1] * (real.ndim - 1)), module.weight)
    )
    set_weight_scale(module, torch.from_numpy(scale.copy()))
    if module.bias is not None:
        bias = (layer.bias * layer.state_scale).reshape(len(real), -1).mean(axis=1)
        module.bias.copy_(_like(bias, module.bias))


def _like(values: NDArray[np.float64], tensor: Tensor) -> Tensor:
    return torch.from_numpy(values).to(tensor)
