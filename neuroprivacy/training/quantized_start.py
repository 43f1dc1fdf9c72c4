"""Where training on integers best begins: at the integers that lowering finds with calibration samples.

Rounding each layer by itself costs most of the accuracy at few bits, and training has to win it back; compensated
rounding on samples (`lower`) loses little, and training goes on from there.
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
from neuroprivacy.networks.quantized import set_scale
from neuroprivacy.targets.spec import load_target


def quantized_start(
    net: SpikingNetwork, *, bits: WeightBits, target: str, populations: int, images: NDArray[np.float32]
) -> SpikingNetwork:
    """The network with quantized weights that computes what calibrated lowering gives, to be trained on.

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
    # A scale for every neuron is what no population of torch's holds: where the target has it, one for each layer.
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
    """Give a layer of torch the integers, units and biases of a rounded one."""
    (connection,) = layer.connections
    on_chip = connection.map.weight
    real = module.weight.double().numpy()
    if on_chip.size != real.size:
        raise ConfigurationError(
            f"{layer.name}: its weights are {real.size} in training and {on_chip.size} on the chip "
            "(signed input is sent as two channels); start without calibration (--calibration-samples 0)"
        )
    given = on_chip.reshape(real.shape)
    # What a pool or the scale of the input puts into the weights of the chip, training keeps outside.
    factor = float((given * real).sum() / (real * real).sum())
    if not np.allclose(given, real * factor, rtol=1e-4, atol=1e-6 * np.abs(given).max()):
        raise ConfigurationError(
            f"{layer.name}: its neurons are scaled each by itself on the chip; start without calibration "
            "(--calibration-samples 0)"
        )
    # A little more than the smallest unit that the target's widths allow stays so in single precision.
    unit = np.broadcast_to(layer.weight_scale / factor * (1 + 1e-6), (len(real),))
    module.weight.copy_(
        _like(connection.q_weight.reshape(real.shape) * unit.reshape(-1, *[1] * (real.ndim - 1)), module.weight)
    )
    set_scale(module, torch.from_numpy(unit.copy()))
    if module.bias is not None:
        bias = (layer.bias * layer.state_scale).reshape(len(real), -1).mean(axis=1)
        module.bias.copy_(_like(bias, module.bias))


def _like(values: NDArray[np.float64], tensor: Tensor) -> Tensor:
    return torch.from_numpy(values).to(tensor)
