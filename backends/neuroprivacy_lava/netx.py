"""A `.net` file for lava-dl's netx, if netx supports the network.

netx reads HDF5 groups `layer/0 ... n` with `type`, `shape`, `weight`, `bias` and
`neuron/{type,iDecay,vDecay,vThMant}`. It knows chains of dense layers, convolutions and flatten; hard reset; biases
with an exponent of 6; no pooling, no joins, no delays, no initial membrane. Any other network gets no `.net` file, and
the reason is reported.

Source: lava-dl (commit d825ac5), lava/lib/dl/netx/hdf5.py and blocks.
"""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np

from neuroprivacy.core.storage import write_bytes
from neuroprivacy.program import ConvMap, DenseMap, Layer, Program

_BIAS_EXPONENT = 6


def why_not(program: Program) -> str | None:
    """The reason why netx does not support this network; None if it does."""
    if len(program.inputs) != 1 or program.inputs[0].high > 1:
        return "netx takes one input of spikes"
    before = program.inputs[0].name
    for layer in program.layers:
        if len(layer.edges) != 1 or layer.edges[0].source != before or layer.edges[0].delay != 1:
            return f"{layer.name}: netx knows chains without delays only"
        linear = layer.edges[0].map
        if isinstance(linear, ConvMap) and linear.pool != (1, 1):
            return f"{layer.name}: netx cannot read pooling"
        if isinstance(linear, ConvMap) and np.ptp(layer.bias.reshape(layer.shape[0], -1), axis=1).any():
            return f"{layer.name}: netx has one bias per channel"
        if layer.reset != "hard" and layer.fires:
            return f"{layer.name}: netx resets to zero"
        if layer.v_init.any() or layer.u_init.any():
            return f"{layer.name}: netx has no initial membrane or current"
        if (layer.bias % (1 << _BIAS_EXPONENT)).any():
            return f"{layer.name}: netx shifts biases by 6 bits, these are finer"
        before = layer.name
    return None


def write_net(program: Program, path: Path) -> str | None:
    """Write the `.net` file; if netx does not support the network, write nothing and return the reason."""
    reason = why_not(program)
    if reason is not None:
        return reason
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        port = program.inputs[0]
        first = file.create_group("layer/0")
        first["type"] = np.bytes_("input")
        first["shape"] = np.array(port.shape if len(port.shape) == 3 else (port.size,), np.int64)
        count, shape = 1, port.shape
        for layer in program.layers:
            if isinstance(layer.edges[0].map, DenseMap) and len(shape) == 3:
                flat = file.create_group(f"layer/{count}")
                flat["type"], flat["shape"] = np.bytes_("flatten"), np.array([int(np.prod(shape))], np.int64)
                count += 1
            _write_layer(file.create_group(f"layer/{count}"), layer)
            count, shape = count + 1, layer.shape
    write_bytes(path, stream.getvalue())
    return None


def _write_layer(group: h5py.Group, layer: Layer) -> None:
    """One dense or convolutional block with its neuron."""
    linear = layer.edges[0].map
    group["shape"] = np.array(layer.shape, np.int64)
    if isinstance(linear, ConvMap):
        group["type"] = np.bytes_("conv")
        group["weight"] = linear.weight[..., np.newaxis].astype(np.int32)
        for name in ("stride", "padding", "dilation"):
            group[name] = np.array(getattr(linear, name), np.int64)
        group["groups"] = linear.groups
        channels = layer.bias.reshape(layer.shape[0], -1)
        bias = channels[:, 0]
    else:
        group["type"] = np.bytes_("dense")
        group["weight"] = linear.weight.astype(np.int32)
        bias = layer.bias
    if bias.any():
        group["bias"] = (bias >> _BIAS_EXPONENT).astype(np.int32)
    neuron = group.create_group("neuron")
    neuron["type"] = np.bytes_("CUBA")
    neuron["iDecay"] = int(layer.du[0]) + 1
    neuron["vDecay"] = int(layer.dv[0])
    neuron["vThMant"] = int(layer.threshold[0])
